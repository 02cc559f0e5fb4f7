"""What a pytest process holds of a run: everything in the controller, a line to it in a worker. No pytest in here."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, Protocol

from jmedethic_plugin.core.record import Record
from jmedethic_plugin.core.threshold import Threshold
from jmedethic_plugin.plugin.progress import PLAIN_EVERY_S, Bar, progress_text, terminal

if TYPE_CHECKING:
    from jmedethic_plugin.analysis.summary import Tables
    from jmedethic_plugin.engine.fixture_target import FixtureTarget
    from jmedethic_plugin.engine.service import EngineService
    from jmedethic_plugin.engine.wire import EngineClient, TargetHost
    from jmedethic_plugin.settings import Settings


class RunSession(Protocol):
    """What hooks and fixtures ask for."""

    item_ids: list[str]
    threshold: Threshold
    record_place: str
    default_tests: Path
    banners: tuple[str, ...]
    """What the run was allowed against the rules."""

    def result(self, item_id: str) -> Record:
        """The finished item; waits for it."""
        ...

    def provide_target(self, provided: Any) -> None:
        """What the fixture ``target`` returned, None where nobody overrides it; a second call does nothing."""
        ...

    def header(self) -> list[str]:
        """Lines for the top of the terminal output."""
        ...

    def finish(self) -> None:
        """End the run in this process; a second call does nothing."""
        ...


class ControllerSession:
    """The process that owns the run."""

    def __init__(self, settings: Settings, *, eager: bool) -> None:
        from jmedethic_plugin.run import Run

        self.run = Run.open(settings, eager=eager)
        self.item_ids = self.run.item_ids
        self.threshold = settings.threshold
        self.record_place = f"{_relative(self.run.folder)}/records.jsonl"
        self.default_tests = settings.root / "cases"
        self.banners = self.run.manifest.banners
        self._planned: list[str] | None = None
        self._test: str | None = None
        self._service: EngineService | None = None
        self._prepared = False
        self._finished = False
        self._provided = False
        self._told_at = 0.0
        self.bar: Bar | None = None
        self._tables: Tables | None = None
        self._annotations: list[str] = []

    def prepare(self) -> None:
        """Return once the models can be called, or raise why they cannot."""
        self.run.prepare()
        self._prepared = True
        self._told_at = time.monotonic()
        if (file := terminal()) is not None:
            self.bar = Bar(self.run.engine, file)

    def progress_line(self) -> str | None:
        """Where the run stands, when it is time to say so and no bar does."""
        now = time.monotonic()
        if self.bar is not None or now - self._told_at < PLAIN_EVERY_S:
            return None
        self._told_at = now
        return f"jmedethic: {progress_text(self.run.engine)}"

    def plan_lines(self) -> list[str]:
        """What the run would take; nothing is called."""
        return self.run.plan(self._planned or self.item_ids).lines()

    def power_lines(self) -> list[str]:
        """What the run would be able to show."""
        return self.run.power(self._planned or self.item_ids)

    def plan(self, item_ids: list[str], test: str | None = None) -> None:
        """The cases that items will ask for, and the node id of the first item's test; only the first plan counts, since all workers collect the same."""
        if self._planned is None:
            self._planned = list(dict.fromkeys(item_ids))  # several tests may ask for one case
            self._test = None if test is None or test.startswith("..") else test  # no artefact names folders of the machine
            self.run.engine.plan(self._planned)

    def hand_over(self) -> dict[str, Any]:
        """Plain data for a worker: no key, no case text."""
        from jmedethic_plugin.engine.service import EngineService

        if self._service is None:
            self._service = EngineService(self.run.engine)
        return {
            "address": self._service.address, "item_ids": self.item_ids, "threshold": self.threshold.model_dump_json(),
            "place": self.record_place, "tests": str(self.default_tests), "banners": list(self.banners),
            "model": self.run.settings.model,
        }  # fmt: skip

    def provide_target(self, provided: Any) -> None:
        """Let the engine ask the provided target in this process."""
        from jmedethic_plugin.engine.fixture_target import FixtureTarget, check_provided

        check_provided(provided, self.run.settings.model)
        target = self.run.engine.target_model()
        if isinstance(target, FixtureTarget) and not self._provided:
            self._provided = True
            self.run.engine.submit(_add(target, provided)).result()

    def result(self, item_id: str) -> Record:
        """The finished item; waits for it."""
        return self.run.engine.result(item_id)

    def header(self) -> list[str]:
        """Target, judges, size and place of the run."""
        settings, questions = self.run.settings, len(self.run.questions)
        size = f"{len(self.item_ids) - questions} conversations" + (f", {questions} exam questions" if questions else "")
        lines = [
            f"jmedethic: target {settings.model}, judges {', '.join(settings.judges)}, {size}, run {self.run.manifest.run_id}",
            f"jmedethic: {settings.threshold}",
        ]
        if settings.gate is not None:
            gate, pooled = settings.gate, self.run.manifest.pooled
            signed = f"approved by {gate.approved_by}, {gate.approved_on}" if gate.approved_by else "approved by nobody"
            lines.append(f"jmedethic: gate {gate.name} ({gate.content_hash[:12]}), {signed}")
            if pooled:
                lines.append(
                    f"jmedethic: earlier gated runs of this candidate count too: {', '.join(pooled)} (another version: --candidate NAME)"
                )
        if settings.resume is not None:
            n = self.run.n_finished()
            what = "conversations and exam questions" if questions else "conversations"
            lines.append(f"jmedethic: {n} {what} are in the ledger, {len(self.item_ids) - n} are to be played")
        if settings.is_demo:
            from jmedethic_plugin.reporting.text import DEMO_NOTICE

            lines.append(f"jmedethic: {DEMO_NOTICE}")
        return lines

    def finish(self) -> None:
        """Stop the engine; write the reports if anything was planned."""
        if self._finished:
            return
        self._finished = True
        if self.bar is not None:
            self.bar.stop()
        if self._service is not None:
            self._service.close()
        if self._planned is None or not self._prepared:
            self.run.abandon()
            return
        n_questions = sum(item in self.run.questions for item in self._planned)
        self._tables = self.run.close(len(self._planned) - n_questions, n_questions, test=self._test)

    @property
    def exit_code(self) -> int | None:
        """What the gate's decision exits with; 0 for a part of a run, which `jmedethic merge` decides with the others; None without a gate."""
        if self._tables is None or self.run.manifest.gate is None:
            return None
        return 0 if self._tables.decision is None else self._tables.decision.exit_code

    def write_faces(self, allure_folder: Path | None) -> None:
        """Of a finished run, the files that go with its Allure results, and the job summary of a CI service that takes one."""
        if self._tables is None:
            return
        if allure_folder is not None:
            from jmedethic_plugin.reporting.allure import write_run_files

            write_run_files(allure_folder, self._tables, self.run.manifest, os.environ)
        if self.run.manifest.shard is not None:
            return  # `jmedethic merge` tells of the whole
        from jmedethic_plugin.reporting.ci import announce

        self._annotations = announce(self.run.folder, self._tables.decision, self.run.records, self.threshold)

    def summary(self, *, show_text: bool) -> list[str]:
        """The terminal summary of a finished run, with the failed conversations where asked for; nothing when no run took place."""
        if self._tables is None:
            return []
        from jmedethic_plugin.reporting.text import summary_lines, transcript_lines

        width = min(120, max(80, get_terminal_size((100, 24)).columns))
        texts = ["", *transcript_lines(self.run.records, self.threshold)] if show_text else []
        report = f"report: {_relative(self.run.folder / 'report.html')}"
        return [*summary_lines(self._tables, self.run.manifest, width=width), report, *texts, *self._annotations]


class WorkerSession:
    """A worker of a distributed run."""

    def __init__(self, handed_over: dict[str, Any]) -> None:
        # Items only wait here; the engine should not wait for them.
        with suppress(AttributeError, OSError):
            os.nice(5)
        self.item_ids: list[str] = handed_over["item_ids"]
        self.threshold = Threshold.model_validate_json(handed_over["threshold"])
        self.record_place: str = handed_over["place"]
        self.default_tests = Path(handed_over["tests"])
        self.banners = tuple(handed_over["banners"])
        self._address = handed_over["address"]
        self._model = handed_over["model"]
        self._client: EngineClient | None = None
        self._host: TargetHost | None = None

    def provide_target(self, provided: Any) -> None:
        """Open a line on which the engine asks the provided target."""
        from jmedethic_plugin.engine.fixture_target import check_provided

        check_provided(provided, self._model)
        if provided is not None and self._host is None:
            from jmedethic_plugin.engine.wire import TargetHost

            self._host = TargetHost(self._address, provided)

    def result(self, item_id: str) -> Record:
        """The finished item; waits for it."""
        from jmedethic_plugin.engine.wire import EngineClient

        if self._client is None:
            self._client = EngineClient(self._address)
        return self._client.result(item_id)

    def header(self) -> list[str]:
        """Nothing: the controller tells."""
        return []

    def finish(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._host is not None:
            self._host.close()
            self._host = None


async def _add(target: FixtureTarget, provided: Any) -> None:
    target.add(provided)


def _relative(path: Path) -> str:
    """A path as people type it; outside the working folder only its last two parts, so that no artefact names the machine."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return "/".join(path.parts[-2:])
