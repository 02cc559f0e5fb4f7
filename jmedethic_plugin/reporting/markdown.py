"""``summary.md``: tables only, no text of models, so nothing untrusted can reach a job summary."""

from __future__ import annotations

from collections.abc import Sequence

from jmedethic_plugin.analysis.findings import TurnDecay
from jmedethic_plugin.analysis.summary import RateRow, Tables
from jmedethic_plugin.core.record import Manifest
from jmedethic_plugin.reporting.text import (
    DEMO_NOTICE,
    NOT_CLINICAL,
    agreement_lines,
    card_text,
    change_text,
    cross_lingual_text,
    decay_text,
    exam_missing,
    exam_name,
    exam_notes,
    exam_text,
    family_text,
    p_text,
    panel_text,
    rate_text,
    review_text,
    sentinel_text,
    violating_text,
    visible,
)  # fmt: skip


def render_markdown(tables: Tables, manifest: Manifest) -> str:
    """The summary as Markdown."""
    lines = [f"# JMedEthic: {cell(str(manifest.identity['model']))}", ""]
    if manifest.demo:
        lines += [f"> **{DEMO_NOTICE}**", ""]
    for banner in manifest.banners:
        lines += [f"> **{cell(banner)}**", ""]
    if (d := tables.decision) is not None:
        lines += [
            f"## Gate {cell(d.gate)}: {d.verdict}{' (demo: measures nothing)' if d.demo else ''}",
            "",
            "| criterion | outcome | reason |",
            "| --- | --- | --- |",
        ]
        lines += [f"| {c.name} {c.language or ''} | {c.status} | {cell(c.reason.en)}<br>{cell(c.reason.ja)} |" for c in d.criteria]
        lines += ["", f"- gate hash: `{d.gate_hash}`", *([f"- counted together with: {', '.join(d.pooled)}"] if d.pooled else []), ""]
    if (family := family_text(manifest)) is not None:
        lines.append(f"- {cell(family)}")
    lines += [
        f"- {cell(card_text(manifest))}",
        f"- run: `{manifest.run_id}`",
        f"- judges: {', '.join(cell(str(j)) for j in manifest.identity['judges'])}",
        f"- threshold: {cell(tables.threshold)}; points from 1 to 10, 10 safest",
        f"- conversations: {manifest.n_recorded} of {manifest.n_planned} planned"
        + (f"; INCOMPLETE, without the parts {', '.join(map(str, manifest.missing_shards))}" if manifest.missing_shards else ""),
        "",
    ]
    for table in tables.languages:
        lines += [f"## {table.language}", "", "| measure | result |", "| --- | --- |"]
        lines += [
            f"| safe conversations | {rate_text(table.safe)} |",
            f"| over-refusal on benign twins | {rate_text(table.over_refusal)} |",
            f"| safe, model (filtered turns not measured) | {rate_text(table.safe_model)} |",
            f"| safe, system (filter counts as protection) | {rate_text(table.safe_system)} |",
            f"| over-refusal, system | {rate_text(table.over_refusal_system)} |",
        ]
        lines += [
            f"| harmful on benign twins | {table.n_harmful_on_benign} |",
            f"| emergencies refused | {table.n_emergencies_refused} |",
            f"| violating turns | {cell(violating_text(table))} |",
            f"| judges | {'<br>'.join(agreement_lines(table))} |",
            f"| panel | {panel_text(table.panel)} |",
            f"| sentinels | {sentinel_text(table) or 'none'} |",
            "",
        ]
        lines += [
            "| turn | n | Q1 | median | Q3 | mean | unscored | not judged |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for turn in table.turns:
            p = turn.points
            numbers = f"{p.n} | {p.q1:.2f} | {p.median:.2f} | {p.q3:.2f} | {p.mean:.2f}" if p else "0 | - | - | - | -"
            lines.append(f"| {turn.turn_number} | {numbers} | {turn.n_unscored} | {turn.n_not_judged} |")
        lines += [
            "",
            *_decay(table.decay),
            *_rates("strategy", table.by_strategy),
            *_rates("category", table.by_category),
            *_rates("guideline", table.by_guideline),
        ]
    if (found := tables.cross_lingual) is not None:
        lines += ["## ja beside en", "", cross_lingual_text(found).en, ""]
        lines += ["Safe in English, unsafe in Japanese:", "", *(f"- {name}" for name in found.safe_only_in_english or ["none"]), ""]
    if missing := exam_missing(tables, manifest):
        lines += [f"> **{missing}**", ""]
    if tables.exams:
        lines += ["## Safety and exam accuracy", "", "| exam | accuracy | safe conversations | over-refusal |", "| --- | --- | --- | --- |"]
        for row in tables.exams:
            beside = next((t for t in tables.languages if t.language == row.language), None)
            safety = "not run | not run" if beside is None else f"{rate_text(beside.safe)} | {rate_text(beside.over_refusal)}"
            lines.append(f"| {_cell(exam_name(row))} | {exam_text(row)} | {safety} |")
        lines += ["", *(f"- {_cell(note)}" for note in exam_notes(manifest)), ""]
    return "\n".join([*lines, f"{NOT_CLINICAL} {review_text(tables)}", ""])


def _decay(decay: TurnDecay | None) -> list[str]:
    if decay is None:
        return []
    rows = [
        f"| {row.strategy} | {row.n} | {change_text(row.change)} | {'-' if row.p_holm is None else p_text(row.p_holm)} |"
        for row in decay.by_strategy
    ]
    return [
        f"Turn decay {decay_text(decay).en}",
        "",
        "| strategy | n | last minus first turn | trend (Page, Holm) |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
    ]


def _rates(name: str, rows: Sequence[RateRow]) -> list[str]:
    return [
        f"| {name} | safe conversations |",
        "| --- | --- |",
        *(f"| {row.name} | {rate_text(row)} |" for row in rows),
        "",
    ]


def cell(text: str) -> str:
    """Text that cannot break out of a table cell."""
    return visible(text).replace("\n", " ").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
