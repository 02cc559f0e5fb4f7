"""``summary.md``: tables only, no text of models, so nothing untrusted can reach a job summary."""

from __future__ import annotations

from collections.abc import Sequence

from jmedethic_plugin.analysis.effects import SCREENING_LEVEL, ScreeningRow
from jmedethic_plugin.analysis.findings import TurnDecay
from jmedethic_plugin.analysis.rates import SafeRow
from jmedethic_plugin.analysis.summary import LanguageTable, Tables
from jmedethic_plugin.core.record import Manifest
from jmedethic_plugin.reporting.text import (
    DEMO_NOTICE,
    NOT_CLINICAL,
    agreement_lines,
    card_text,
    change_text,
    classes_text,
    cross_lingual_text,
    decay_text,
    emergency_text,
    exam_missing,
    exam_name,
    exam_notes,
    exam_text,
    family_text,
    index_text,
    markdown_cell,
    p_text,
    panel_text,
    rate_text,
    repeat_text,
    review_text,
    screening_text,
    sentinel_text,
    trend_text,
    turn_change_text,
    violating_text,
)  # fmt: skip


def render_markdown(tables: Tables, manifest: Manifest) -> str:
    """The summary as Markdown."""
    lines = [f"# JMedEthic: {markdown_cell(str(manifest.identity['model']))}", ""]
    if manifest.demo:
        lines += [f"> **{DEMO_NOTICE}**", ""]
    for banner in manifest.banners:
        lines += [f"> **{markdown_cell(banner)}**", ""]
    if (d := tables.decision) is not None:
        lines += [
            f"## Gate {markdown_cell(d.gate)}: {d.verdict}{' (demo: measures nothing)' if d.demo else ''}",
            "",
            "| criterion | outcome | reason |",
            "| --- | --- | --- |",
        ]
        lines += [
            f"| {c.name} {c.language or ''} | {c.status} | {markdown_cell(c.reason.en)}<br>{markdown_cell(c.reason.ja)} |"
            for c in d.criteria
        ]
        lines += ["", f"- gate hash: `{d.gate_hash}`", *([f"- counted together with: {', '.join(d.pooled)}"] if d.pooled else []), ""]
    if (family := family_text(manifest)) is not None:
        lines.append(f"- {markdown_cell(family)}")
    lines += [
        f"- {markdown_cell(card_text(manifest))}",
        f"- run: `{manifest.run_id}`",
        f"- judges: {', '.join(markdown_cell(str(j)) for j in manifest.identity['judges'])}",
        f"- threshold: {markdown_cell(tables.threshold)}; points from 1 to 10, 10 safest",
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
            f"| over-refusal, model | {rate_text(table.over_refusal_model)} |",
            f"| safe, system (filter counts as protection) | {rate_text(table.safe_system)} |",
            f"| over-refusal, system | {rate_text(table.over_refusal_system)} |",
        ]
        lines += [
            f"| violation rate (VR) | {rate_text(table.benign.violation)} |",
            f"| harmful on benign twins | {rate_text(table.benign.harmful)} |",
            f"| answered with caution | {rate_text(table.benign.caution)} |",
            f"| replies to benign twins, worst of three turns | {classes_text(table.benign)} |",
            f"| J = 1 - VR - ORR (1 best, 0 as always refusing) | {index_text(table.benign.index)} |",
            f"| emergencies | {emergency_text(table.benign.emergencies)} |",
            f"| emergencies refused | {', '.join(table.benign.emergencies.refused) or 'none'} |",
            f"| emergencies with a violation | {', '.join(table.benign.emergencies.violated) or 'none'} |",
            f"| different conversations | {table.n_cases}, {table.n} with repeats |",
            *(
                f"| repeats | {repeat_text(found, good, bad)} |"
                for good, bad, found in (("safe", "violated", table.repeats), ("answered", "refused", table.repeats_benign))
                if found is not None
            ),
            f"| violating turns | {markdown_cell(violating_text(table))} |",
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
            *_turns(table),
            *_rates("strategy", table.by_strategy, table.screening.strategies),
            *_rates("category", table.by_category),
            *_rates("guideline", table.by_guideline, table.screening.guidelines),
            *(line for factor in table.by_factor for line in _rates(factor.factor, factor.levels)),
            f"Exploratory: each strategy (within guidelines) and guideline (within strategies) against the rest of the run, exact, adjusted by Benjamini and Hochberg; below {SCREENING_LEVEL:g} worth a look, above no pass.",
            "",
            *_expected(table),
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
            lines.append(f"| {markdown_cell(exam_name(row))} | {exam_text(row)} | {safety} |")
        lines += ["", *(f"- {markdown_cell(note)}" for note in exam_notes(manifest)), ""]
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


def _turns(table: LanguageTable) -> list[str]:
    return [
        "| turns | paired: Hodges-Lehmann shift with an interval over guidelines; Wilcoxon (Pratt) adjusted by Holm |",
        "| --- | --- |",
        *(f"| {change.first}-{change.second} | {turn_change_text(change)} |" for change in table.progression.changes),
        f"| 1-2-3 | {trend_text(table.progression)} |",
        "",
        "| turn | violated here, of those not violated before | violated so far, of all | stopped here by the filter |",
        "| --- | --- | --- | --- |",
        *(
            f"| {row.turn_number} | {rate_text(row.hazard)} | {rate_text(row.violated_by)} | {row.n_blocked} |"
            for row in table.progression.first_violation
        ),
        "",
    ]


def _rates(name: str, rows: Sequence[SafeRow], screened: Sequence[ScreeningRow] = ()) -> list[str]:
    found = {row.name: screening_text(row) for row in screened}
    more = (" exploratory |", " --- |") if found else ("", "")
    return [
        f"| {name} | safe conversations | over-refusal on benign twins |{more[0]}",
        f"| --- | --- | --- |{more[1]}",
        *(
            f"| {row.name} | {rate_text(row)} | {rate_text(row.over_refusal)} |" + (f" {found.get(row.name, '-')} |" if found else "")
            for row in rows
        ),
        "",
    ]


def _expected(table: LanguageTable) -> list[str]:
    return [
        "| benign twin expects | over-refusal | answered with caution |",
        "| --- | --- | --- |",
        *(f"| {row.expected} | {rate_text(row.over_refusal)} | {rate_text(row.caution)} |" for row in table.benign.by_expected),
        "",
        "| guideline | J | violated | refused |",
        "| --- | --- | --- | --- |",
        *(
            f"| {row.guideline_id} | {row.index:+.2f} | {row.n_violated}/{row.n_adversarial} | {row.n_refused}/{row.n_benign} |"
            for row in table.benign.index.by_guideline
        ),
        "",
    ]
