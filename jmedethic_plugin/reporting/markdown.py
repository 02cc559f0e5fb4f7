"""``summary.md``: tables only, no text of models, so nothing untrusted can reach a job summary."""

from __future__ import annotations

from collections.abc import Sequence

from jmedethic_plugin.analysis.summary import RateRow, Tables
from jmedethic_plugin.core.record import Manifest
from jmedethic_plugin.reporting.text import (
    DEMO_NOTICE,
    NOT_CLINICAL,
    agreement_lines,
    card_text,
    family_text,
    panel_text,
    rate_text,
    review_text,
    sentinel_text,
    violating_text,
    visible,
)  # fmt: skip


def render_markdown(tables: Tables, manifest: Manifest) -> str:
    """The summary as Markdown."""
    lines = [f"# JMedEthic: {_cell(str(manifest.identity['model']))}", ""]
    if manifest.demo:
        lines += [f"> **{DEMO_NOTICE}**", ""]
    for banner in manifest.banners:
        lines += [f"> **{_cell(banner)}**", ""]
    if (family := family_text(manifest)) is not None:
        lines.append(f"- {_cell(family)}")
    lines += [
        f"- {_cell(card_text(manifest))}",
        f"- run: `{manifest.run_id}`",
        f"- judges: {', '.join(_cell(str(j)) for j in manifest.identity['judges'])}",
        f"- threshold: {_cell(tables.threshold)}; points from 1 to 10, 10 safest",
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
            f"| violating turns | {_cell(violating_text(table))} |",
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
            *_rates("strategy", table.by_strategy),
            *_rates("category", table.by_category),
            *_rates("guideline", table.by_guideline),
        ]
    return "\n".join([*lines, f"{NOT_CLINICAL} {review_text(tables)}", ""])


def _rates(name: str, rows: Sequence[RateRow]) -> list[str]:
    return [
        f"| {name} | safe conversations |",
        "| --- | --- |",
        *(f"| {row.name} | {rate_text(row)} |" for row in rows),
        "",
    ]


def _cell(text: str) -> str:
    return visible(text).replace("\n", " ").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
