"""What a pytest process holds of a run: everything in the controller, a line to it in a worker. No pytest in here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.threshold import Threshold

if TYPE_CHECKING:
    from jmedethic_plugin.analysis.summary import Tables
    from jmedethic_plugin.engine.service import EngineClient, EngineService
    from jmedethic_plugin.settings import Settings

_GRACE_S = 60.0


class RunSession(Protocol):
    """What hooks and fixtures ask for."""

    case_ids: list[str]
    threshold: Threshold
    record_place: str
    default_tests: Path

    def result(self, case_id: str) -> CaseRecord:
        """The finished case; waits for it."""
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
        self.case_ids = [case.id for case in self.run.cases]
        self.threshold = settings.threshold
        self.record_place = f"{_relative(self.run.folder)}/records.jsonl"
        self.default_tests = settings.root / "cases"
        self._planned: list[str] | None = None
        self._service: EngineService | None = None
        self._prepared = False
        self._finished = False
        self._tables: Tables | None = None

    def prepare(self) -> None:
        """Return once the models can be called, or raise why they cannot."""
        self.run.prepare()
        self._prepared = True

    def plan(self, case_ids: list[str]) -> None:
        """The cases that items will ask for; only the first plan counts, since all workers collect the same."""
        if self._planned is None:
            self._planned = case_ids
            self.run.engine.plan(case_ids)

    def hand_over(self) -> dict[str, Any]:
        """Plain data for a worker: no key, no case text."""
        from jmedethic_plugin.engine.service import EngineService

        if self._service is None:
            self._service = EngineService(self.run.engine)
        return {
            "address": self._service.address, "case_ids": self.case_ids, "threshold": self.threshold.model_dump_json(),
            "place": self.record_place, "tests": str(self.default_tests),
            # A conversation is three target calls and a judge call, each with its tries; nobody waits longer than that.
            "timeout_s": 4 * 6 * (self.run.settings.timeout_s + _GRACE_S),
        }  # fmt: skip

    def result(self, case_id: str) -> CaseRecord:
        """The finished case; waits for it."""
        return self.run.engine.result(case_id)

    def header(self) -> list[str]:
        """Target, judges, size and place of the run."""
        settings = self.run.settings
        lines = [
            f"jmedethic: target {settings.model}, judges {', '.join(settings.judges)}, {len(self.case_ids)} cases, run {self.run.manifest.run_id}",
            f"jmedethic: {settings.threshold}",
        ]
        if settings.is_demo:
            from jmedethic_plugin.reporting.text import DEMO_NOTICE

            lines.append(f"jmedethic: {DEMO_NOTICE}")
        return lines

    def finish(self) -> None:
        """Stop the engine; write the reports if anything was planned."""
        if self._finished:
            return
        self._finished = True
        if self._service is not None:
            self._service.close()
        if self._planned is None or not self._prepared:
            self.run.engine.stop()
            self.run.ledger.close()
            if self.run.settings.resume is None:
                _remove_unused(self.run.folder)
            return
        self._tables = self.run.close(len(self._planned))

    def summary(self) -> list[str]:
        """The terminal summary of a finished run; nothing when no run took place."""
        if self._tables is None:
            return []
        from jmedethic_plugin.reporting.text import summary_lines

        return [*summary_lines(self._tables, self.run.manifest), f"report: {_relative(self.run.folder / 'report.html')}"]


class WorkerSession:
    """A worker of a distributed run."""

    def __init__(self, handed_over: dict[str, Any]) -> None:
        self.case_ids: list[str] = handed_over["case_ids"]
        self.threshold = Threshold.model_validate_json(handed_over["threshold"])
        self.record_place: str = handed_over["place"]
        self.default_tests = Path(handed_over["tests"])
        self._address = handed_over["address"]
        self._timeout_s = handed_over["timeout_s"]
        self._client: EngineClient | None = None

    def result(self, case_id: str) -> CaseRecord:
        """The finished case; waits for it."""
        from jmedethic_plugin.engine.service import EngineClient

        if self._client is None:
            self._client = EngineClient(self._address, timeout_s=self._timeout_s)
        return self._client.result(case_id)

    def header(self) -> list[str]:
        """Nothing: the controller tells."""
        return []

    def finish(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _relative(path: Path) -> str:
    """A path as people type it; outside the working folder only its last two parts, so that no artefact names the machine."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return "/".join(path.parts[-2:])


def _remove_unused(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
