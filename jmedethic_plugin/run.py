"""A run from its first file to its reports, without pytest: folder, manifest, ledger, engine, tables."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from jmedethic_plugin import SUITE_VERSION
from jmedethic_plugin.core.base import CANARY
from jmedethic_plugin.core.case import Case
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.corpus.loading import Corpus, languages_of, load_corpus
from jmedethic_plugin.corpus.selection import select_cases
from jmedethic_plugin.engine.demo import demo_model, is_demo_id
from jmedethic_plugin.engine.ports import ChatModel
from jmedethic_plugin.engine.scheduler import Engine
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.ledger.store import Ledger
from jmedethic_plugin.prompts.judge import rubric_hash
from jmedethic_plugin.reporting.files import write_atomically
from jmedethic_plugin.settings import Settings

if TYPE_CHECKING:
    from jmedethic_plugin.analysis.summary import Tables

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


@dataclass
class Run:
    """An open run: everything the controller holds."""

    settings: Settings
    corpus: Corpus
    cases: list[Case]
    folder: Path
    manifest: Manifest
    ledger: Ledger
    engine: Engine

    @classmethod
    def open(cls, settings: Settings, *, eager: bool = True) -> Run:
        """Load and select cases, make or resume the run folder, start the engine.

        Raises
        ------
        ConfigError
            The run to resume does not exist or measured something else.
        """
        corpus = load_corpus(settings.root)
        cases = select_cases(
            corpus, languages=languages_of(settings.lang), guidelines=settings.guidelines, strategies=settings.strategies,
            sample=settings.sample, seed=settings.seed,
        )  # fmt: skip
        folder, manifest = _resumed(settings, corpus, cases) if settings.resume else _fresh(settings, corpus, cases)
        ledger = Ledger(folder / "ledger.sqlite")
        engine = Engine(
            cases={c.id: c for c in cases}, guidelines=corpus.guidelines, ledger=ledger,
            system_prompt=settings.system_prompt, target_sampling=settings.target_sampling, judge_sampling=settings.judge_sampling,
            n_slots=settings.max_in_flight, eager=eager,
        )  # fmt: skip
        engine.start()
        return cls(settings, corpus, cases, folder, manifest, ledger, engine)

    def prepare(self) -> None:
        """Make the models; LiteLLM is imported here.

        In the calling thread, because the import's warnings meet the process-wide filters, which pytest swaps while it works.

        Raises
        ------
        ModelError
            A model cannot be used; nothing was called.
        """
        self.engine.use_models(*_make_models(self.settings, self.cases))

    def close(self, n_planned: int) -> Tables:
        """Stop the engine and write the reports from what the ledger holds; returns their tables."""
        self.engine.stop()
        selected = {case.id for case in self.cases}
        records = [r for r in self.ledger.records() if r.case.id in selected]
        self.manifest = self.manifest.model_copy(update={
            "threshold": self.settings.threshold, "finished_at": _now(), "n_planned": n_planned, "n_recorded": len(records), "complete": len(records) >= n_planned,
            "calls": self.ledger.count_calls(),
        })  # fmt: skip
        self.ledger.close()
        return write_reports(self.folder, self.manifest, records)


def write_reports(folder: Path, manifest: Manifest, records: list[CaseRecord]) -> Tables:
    """Every face of a run, from its records alone."""
    from jmedethic_plugin.analysis.summary import summarize
    from jmedethic_plugin.reporting.html import render_html
    from jmedethic_plugin.reporting.markdown import render_markdown

    tables = summarize(records, manifest.threshold)
    write_atomically(folder / "records.jsonl", "".join(r.model_dump_json() + "\n" for r in records))
    summary = {
        "schema_version": 1,
        "run_id": manifest.run_id,
        "demo": manifest.demo,
        "canary": CANARY,
        "tables": tables.model_dump(mode="json"),
    }
    write_atomically(folder / "summary.json", json.dumps(summary, ensure_ascii=False, indent=1) + "\n")
    write_atomically(folder / "summary.md", render_markdown(tables, manifest))
    write_atomically(folder / "report.html", render_html(tables, manifest, records))
    write_manifest(folder, manifest)
    return tables


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """``run.json``."""
    write_atomically(folder / "run.json", manifest.model_dump_json(indent=1) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run folder."""
    path = folder / "run.json"
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as exc:
        raise ConfigError(f"{folder}: found no run.json; expected a run folder. The runs are the folders under reports/.") from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        raise ConfigError(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; expected the manifest of a run of this release."
        ) from exc


def _fresh(settings: Settings, corpus: Corpus, cases: Sequence[Case]) -> tuple[Path, Manifest]:
    slug = re.sub(r"[^A-Za-z0-9]+", "-", settings.model).strip("-")[:60]
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    folder = settings.reports / f"{stamp}-{slug}"
    folder.mkdir(parents=True)
    manifest = Manifest(
        run_id=folder.name, canary=CANARY, suite_version=SUITE_VERSION, demo=settings.is_demo, identity=_identity(settings),
        threshold=settings.threshold, selection=settings.selection(), corpus_hash=corpus.hash_of(c.id for c in cases), versions=_versions(), started_at=_now(),
    )  # fmt: skip
    write_manifest(folder, manifest)
    return folder, manifest


def _resumed(settings: Settings, corpus: Corpus, cases: Sequence[Case]) -> tuple[Path, Manifest]:
    name = str(settings.resume)
    folder = Path(name) if "/" in name else settings.reports / name
    if not _RUN_ID.fullmatch(folder.name):
        raise ConfigError(f"--resume {name!r}: no run id; expected the name of a folder under {settings.reports}.")
    manifest = read_manifest(folder)
    expected, found = manifest.identity, _identity(settings)
    differing = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
    if differing:
        told = "; ".join(f"{k}: the run has {expected.get(k)!r}, this command says {found.get(k)!r}" for k in differing)
        raise ConfigError(f"--resume {manifest.run_id}: another measurement ({told}). Repeat the first command, or start a new run.")
    if manifest.selection != settings.selection():
        raise ConfigError(
            f"--resume {manifest.run_id}: the run selected {manifest.selection}, this command selects {settings.selection()}. Repeat the first command."
        )
    if manifest.corpus_hash != corpus.hash_of(c.id for c in cases):
        raise ConfigError(f"--resume {manifest.run_id}: its cases or guidelines have changed since. Restore them, or start a new run.")
    return folder, manifest


def _identity(settings: Settings) -> dict[str, Any]:
    return settings.identity() | {"rubric": {language: rubric_hash(language) for language in languages_of(settings.lang)}}


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": platform.system()}
    for name in ("pytest-jmedethic", "litellm", "pytest", "pytest-xdist", "pydantic", "scipy", "allure-pytest"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _make_models(settings: Settings, cases: Sequence[Case]) -> tuple[ChatModel, tuple[ChatModel, ...]]:
    def make(model_id: str, *, is_target: bool) -> ChatModel:
        if is_demo_id(model_id):
            return demo_model(model_id, cases)
        from jmedethic_plugin.engine.litellm_model import LiteLlmModel  # 3-4 s of import, only where calls are made

        return LiteLlmModel(
            model_id, role="target" if is_target else "judge", api_base=settings.api_base if is_target else settings.judge_api_base,
            timeout_s=settings.timeout_s, served_as=settings.served_as if is_target else None,
        )  # fmt: skip

    return make(settings.model, is_target=True), tuple(make(judge, is_target=False) for judge in settings.judges)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
