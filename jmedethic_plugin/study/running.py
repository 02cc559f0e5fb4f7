"""A study's runs, one pytest process each, and what they amount to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from jmedethic_plugin.analysis.paper import Conversation
from jmedethic_plugin.analysis.sheet import StudiedRun
from jmedethic_plugin.analysis.study import RunRow, StudyTables, study_tables
from jmedethic_plugin.core.case import case_id
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.text import without_credentials
from jmedethic_plugin.corpus.jsonl import CaseLine, parse_line
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.reporting.files import write_atomically
from jmedethic_plugin.reporting.study import render_csv, render_json, render_markdown
from jmedethic_plugin.run import read_manifest
from jmedethic_plugin.study.spec import Study, StudyModel

_LAST = 200  # characters of a failed run's last words


def run_study(study: Study, study_file: Path, out: Path, root: Path, told: Callable[[str], None]) -> StudyTables:
    """Run what is not finished, one model after the other, and write the tables.

    Parameters
    ----------
    out
        Folder of the study; its runs are in ``runs``, what pytest printed in ``logs``.
    root
        Where pytest is started: the project's folder.
    told
        Is given a line for each model.

    Raises
    ------
    ConfigError
        A run in the folder measured something else than the study asks for.
    """
    _check_runs(study, out)
    for folder in (out / "runs", out / "logs"):
        folder.mkdir(parents=True, exist_ok=True)
    failures: dict[str, str] = {}
    for n, model in enumerate(study.models, 1):
        head = f"{n} of {len(study.models)}  {model.label}"
        if (manifest := _manifest(out, model)) is not None and _is_finished(manifest, study):
            told(f"{head}: finished before")
            continue
        log = out / "logs" / f"{model.slug}.log"
        told(f"{head}: {'started' if manifest is None else 'resumed'}; output in {log}")
        code = _run_pytest(command(study, model, study_file, out, resume=manifest is not None), root, log)
        # pytest's 0 and 1 both end a run: 1 only says that cases failed.
        if (manifest := _manifest(out, model)) is None or not _is_finished(manifest, study):
            failures[model.slug] = f"pytest exit code {code}: {_last_line(log)}" if code not in (0, 1) else ""
        told(f"{head}: {_state(model, out, study, failures).state}")
    return write_tables(study, study_file, out, failures)


def command(study: Study, model: StudyModel, study_file: Path, out: Path, *, resume: bool) -> list[str]:
    """The pytest command of one model's run."""
    d = study.defaults
    options: dict[str, str | int | None] = {
        "--third-judge": d.third_judge, "--fallback-judge": d.fallback_judge, "--judge-api-base": d.judge_api_base, "--api-base": model.api_base,
        "--served-as": model.served_as, "--sample": d.sample, "--lang": d.lang, "--repeats": d.repeats,
        "--reports-dir": str((out / "runs").resolve()), "--resume" if resume else "--run-id": model.slug,
    }  # fmt: skip
    return [
        sys.executable, "-m", "pytest", "--model", model.id, *(part for judge in d.judges for part in ("--judge", judge)),
        *(part for option, value in options.items() if value is not None for part in (option, str(value))),
        *(part for path in _case_files(study, study_file) for part in ("--cases", str(path))), "-q", "--tb=no", "--no-summary",
        *d.pytest, *model.pytest,
    ]  # fmt: skip


def write_tables(study: Study, study_file: Path, out: Path, failures: Mapping[str, str] | None = None) -> StudyTables:
    """``study.json``, ``study.md`` and a CSV for each table, from the runs as they are.

    Raises
    ------
    ConfigError
        The runs are not of one study: other cases, judges or rubrics.
    """
    _check_runs(study, out)
    states = [_state(model, out, study, failures or {}) for model in study.models]
    finished = [model for model, state in zip(study.models, states, strict=True) if state.state == "finished"]
    runs = [StudiedRun(model, _conversations(out / "runs" / model.slug, model.label)) for model in finished]
    manifests = [read_manifest(out / "runs" / model.slug) for model in finished]
    tables = study_tables(
        study.name, states, runs, demo=any(m.demo for m in manifests), banners=sorted({b for m in manifests for b in m.banners}),
        filter_families=study.filter_families, sources=_sources(study, study_file),
    )  # fmt: skip
    (out / "tables").mkdir(parents=True, exist_ok=True)
    for sheet in tables.sheets:
        write_atomically(out / "tables" / f"{sheet.name}.csv", render_csv(sheet))
    write_atomically(out / "study.json", render_json(tables))
    write_atomically(out / "study.md", render_markdown(tables))
    return tables


def _manifest(out: Path, model: StudyModel) -> Manifest | None:
    folder = out / "runs" / model.slug
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()  # killed between making the folder and its first file: nothing to resume
    return read_manifest(folder) if folder.exists() else None


def _is_finished(manifest: Manifest, study: Study) -> bool:
    return manifest.complete and manifest.repeats >= study.defaults.repeats


def _state(model: StudyModel, out: Path, study: Study, failures: Mapping[str, str]) -> RunRow:
    manifest = _manifest(out, model)
    state: Literal["finished", "unfinished", "failed", "not started"]
    if manifest is not None and _is_finished(manifest, study):
        state, detail = "finished", ""
    elif failures.get(model.slug):
        state, detail = "failed", failures[model.slug]
    elif manifest is None:
        state, detail = "not started", ""
    else:
        stopped_by = manifest.sittings[-1].stopped_by if manifest.sittings else None
        state, detail = (
            "unfinished",
            f"stopped by the limit of {stopped_by}" if stopped_by else "interrupted, or more repeats are asked for",
        )
    return RunRow(
        model=model.label, id=model.id, group=model.group, run=model.slug, state=state,
        n_recorded=(manifest.n_recorded or 0) if manifest else 0, n_planned=(manifest.n_planned or 0) if manifest else 0, detail=detail,
    )  # fmt: skip


def _check_runs(study: Study, out: Path) -> None:
    """Every run in the folder must be what the study file asks for, and all of one measure: tables side by side need that."""
    d = study.defaults
    first: tuple[str, dict[str, Any]] | None = None
    for model in study.models:
        if (manifest := _manifest(out, model)) is None:
            continue
        asked = {
            "model": model.id, "api_base": without_credentials(model.api_base), "judges": list(d.judges), "third_judge": d.third_judge,
            "fallback_judge": d.fallback_judge, "judge_api_base": without_credentials(d.judge_api_base), "lang": d.lang, "sample": d.sample,
            "case_files": [Path(path).name for path in d.cases],
        }  # fmt: skip
        found = manifest.identity | manifest.selection
        measure = {key: found.get(key) for key in ("judge_sampling", "rubric", "guidelines", "strategies", "seed")} | {
            "corpus": manifest.corpus_hash, "release": manifest.suite_version,
        }  # fmt: skip
        first = first or (model.slug, measure)
        differing = [f"{k}: the run has {found.get(k)!r}, the study {v!r}" for k, v in asked.items() if found.get(k) != v]
        differing += [f"{k}: not as in {first[0]}" for k, v in measure.items() if first[1][k] != v]
        if differing:
            raise ConfigError(
                f"{out / 'runs' / model.slug}: another measurement than the study's ({'; '.join(differing)}). Restore what has changed, or write "
                "the study to another folder with --out."
            )


def _run_pytest(arguments: list[str], root: Path, log: Path) -> int:
    with log.open("ab") as output, subprocess.Popen(arguments, cwd=root, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()  # the terminal interrupts the run too; it writes what it has
            raise


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:_LAST] if lines else "no output"


def _conversations(folder: Path, label: str) -> list[Conversation]:
    with (folder / "records.jsonl").open(encoding="utf-8") as lines:
        return [Conversation.of(CaseRecord.model_validate_json(line), label) for line in lines]


def _case_files(study: Study, study_file: Path) -> list[Path]:
    return [(study_file.parent / path).resolve() for path in study.defaults.cases]


def _sources(study: Study, study_file: Path) -> dict[str, str]:
    """Family of each case's generator, where the set's ``source`` holds a text that the study file gives a family."""
    found = {}
    for path in _case_files(study, study_file) if study.source_families else ():
        with path.open("rb") as lines:
            for number, raw in enumerate(lines, 1):
                if raw.strip():
                    case = parse_line(raw, CaseLine, f"{path}:{number}")
                    if family := next((family for text, family in study.source_families.items() if text in case.source), None):
                        found[case_id(case.language, case.guideline, case.id)] = family
    return found
