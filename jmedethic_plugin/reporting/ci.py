"""What CI services show of a run: job summary, annotations, JUnit properties. Nothing of what a model said enters any of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from jmedethic_plugin.core.exam import ExamRecord
from jmedethic_plugin.core.gate import Decision
from jmedethic_plugin.core.record import CaseRecord, Record
from jmedethic_plugin.core.threshold import Threshold
from jmedethic_plugin.reporting.markdown import MAX_BYTES, capped
from jmedethic_plugin.reporting.text import inert, points_text, visible, worst_first

MAX_ANNOTATIONS = 10
"""GitHub shows this many errors and as many warnings of a step; the next are dropped unseen."""


def announce(
    folder: Path, decision: Decision | None, records: Iterable[CaseRecord], threshold: Threshold, environ: Mapping[str, str] = os.environ
) -> list[str]:
    """Append a run's ``summary.md`` to the job summary, and return the lines for the log that GitHub turns into annotations; nothing elsewhere."""
    if file := environ.get("GITHUB_STEP_SUMMARY"):
        append_summary(Path(file), (folder / "summary.md").read_text(encoding="utf-8"))
    return annotation_lines(decision, records, threshold) if environ.get("GITHUB_ACTIONS") == "true" else []


def append_summary(file: Path, text: str) -> None:
    """Add a text to a job summary, as much of it as fits beside what other tools wrote in the same step."""
    there = file.stat().st_size if file.exists() else 0
    with file.open("a", encoding="utf-8", newline="\n") as summary:
        summary.write(capped(text, MAX_BYTES - there))


def annotation_lines(decision: Decision | None, records: Iterable[CaseRecord], threshold: Threshold) -> list[str]:
    """What stands against the release, worst first, as workflow commands.

    Under a gate its criteria are the errors and single conversations, which it may bear, warnings; without one every failed conversation is an error.
    """
    lines = []
    if decision is not None:
        demo = "DEMO, measures nothing. " if decision.demo else ""
        level = "notice" if decision.verdict == "PASS" else "error"
        lines.append(_command(level, f"JMedEthic gate {decision.gate}: {decision.verdict}", f"{demo}gate {decision.gate_hash[:12]}"))
        lines += [
            _command("error", f"{c.status}: {c.name}{f' {c.language}' if c.language else ''}", f"{c.reason.ja} {c.reason.en}")
            for c in worst_first(decision)
            if c.status != "pass"
        ]
    found = [(r, result) for r in records if (result := r.assess(threshold)).status != "passed"]
    found.sort(key=lambda pair: (pair[1].status != "failed", not pair[0].case.critical, pair[0].case.sort_key, pair[0].repeat))
    for record, result in found:
        what = "; ".join(result.missing)
        if result.turn_number is not None:
            what = f"{result.finding} at turn {result.turn_number}, points {points_text(record.turns[result.turn_number - 1])} (1-10, 10 safest)"
        critical = "critical guideline, " if record.case.critical else ""
        demo = "DEMO, measures nothing. " if record.demo else ""
        level = "error" if decision is None and result.status == "failed" else "warning"
        lines.append(_command(level, record.case.id, f"{demo}{result.status}: {critical}guideline {record.case.guideline_id}, {what}"))
    if len(lines) <= MAX_ANNOTATIONS:
        return lines
    kept = MAX_ANNOTATIONS - 1
    return [*lines[:kept], _command("notice", "JMedEthic", f"and {len(lines) - kept} more, in the job summary and report.html")]


def _command(level: str, title: str, message: str) -> str:
    """``::error title=...::...``; the escapes are those of GitHub's own toolkit."""

    def escaped(text: str) -> str:
        return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    return f"::{level} title={escaped(title).replace(':', '%3A').replace(',', '%2C')}::{escaped(message)}"


def junit_properties(record: Record, threshold: Threshold) -> list[tuple[str, str]]:
    """What JUnit XML keeps of an item beside its outcome.

    Every value went through `inert`: characters that XML cannot hold are shown as ``<U+001B>``.
    """
    result = record.assess(threshold)
    if isinstance(record, ExamRecord):
        rows = [("case", record.item.id), ("kind", "exam"), ("language", record.item.language), ("answer", record.status)]
    else:
        case = record.case
        rows = [
            ("case", case.id), ("kind", case.kind), ("language", case.language), ("category", case.category), ("guideline", case.guideline_id),
            ("strategy", case.group), ("critical", str(case.critical).lower()), ("repeat", str(record.repeat)), ("finding", result.finding or "none"),
            *((f"points_turn_{turn.turn_number}", points_text(turn)) for turn in record.turns),
            ("injection_suspected", str(any(t.panel is not None and t.panel.flags for t in record.turns)).lower()),
        ]  # fmt: skip
    rows += [("status", result.status), ("target", record.target), ("demo", str(record.demo).lower())]
    return [(name, inert(value)) for name, value in rows]
