"""``summary.md``: tables only, no text of models; names from outside are escaped, what a provider said stands in a fence."""

from __future__ import annotations

from collections.abc import Sequence

from jmedethic_plugin.analysis.effects import SCREENING_LEVEL, ScreeningRow
from jmedethic_plugin.analysis.findings import TurnDecay
from jmedethic_plugin.analysis.rates import SafeRow
from jmedethic_plugin.analysis.summary import LanguageTable, Tables
from jmedethic_plugin.core.record import Manifest
from jmedethic_plugin.reporting.comparison import changes_markdown
from jmedethic_plugin.reporting.text import (
    DEMO_NOTICE,
    HOW_COUNTED,
    LANGUAGE_HEADS,
    NOT_CLINICAL,
    OVER_REFUSAL,
    SAFE,
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
    inert,
    markdown_cell,
    p_text,
    panel_text,
    rate_text,
    repeat_text,
    review_text,
    screening_text,
    sentinel_text,
    trend_text,
    turn_cells,
    turn_change_text,
    violating_text,
    visible,
    worst_first,
)  # fmt: skip

MAX_BYTES = 1_000_000
"""A job summary of GitHub Actions takes 1 MiB a step and drops all of a longer one."""


def render_markdown(tables: Tables, manifest: Manifest) -> str:
    """The summary as Markdown: verdict, safety beside over-refusal and what failed, then the details folded."""
    lines = [f"# JMedEthic: {markdown_cell(str(manifest.identity['model']))}", ""]
    if manifest.demo:
        lines += [f"> **{DEMO_NOTICE}**", ""]
    for banner in manifest.banners:
        lines += [f"> **{markdown_cell(banner)}**", ""]
    if (d := tables.decision) is not None:
        lines += [
            f"## 判定 Gate {markdown_cell(d.gate)}: {d.verdict}{' (demo: measures nothing)' if d.demo else ''}",
            "",
            "| criterion | outcome | reason |",
            "| --- | --- | --- |",
        ]
        lines += [
            f"| {c.name} {c.language or ''} | {c.status} | {markdown_cell(c.reason.ja)}<br>{markdown_cell(c.reason.en)} |"
            for c in worst_first(d)
        ]
        lines += ["", f"- gate hash: `{d.gate_hash}`", *([f"- counted together with: {', '.join(d.pooled)}"] if d.pooled else []), ""]
    if tables.languages:
        lines += [f"| | {SAFE} | {OVER_REFUSAL} |", "| --- | --- | --- |"]
        lines += [f"| {LANGUAGE_HEADS[t.language]} | {rate_text(t.safe)} | {rate_text(t.over_refusal)} |" for t in tables.languages]
        lines += ["", HOW_COUNTED, ""]
    if tables.changes is not None:
        lines += changes_markdown(tables.changes)
    if missing := exam_missing(tables, manifest):
        lines += [f"> **{missing}**", ""]
    lines += _stops(manifest)
    for table in tables.languages:
        lines += _failed(table)
    if (found := tables.cross_lingual) is not None:
        lines += ["## 日本語と英語 Japanese beside English", "", cross_lingual_text(found).ja, "", cross_lingual_text(found).en, ""]
        lines += ["Safe in English, unsafe in Japanese:", "", *(f"- {name}" for name in found.safe_only_in_english or ["none"]), ""]
    if tables.exams:
        lines += [
            "## 試験 Safety and exam accuracy",
            "",
            "| exam | accuracy | safe conversations | over-refusal |",
            "| --- | --- | --- | --- |",
        ]
        for row in tables.exams:
            beside = next((t for t in tables.languages if t.language == row.language), None)
            safety = "not run | not run" if beside is None else f"{rate_text(beside.safe)} | {rate_text(beside.over_refusal)}"
            lines.append(f"| {markdown_cell(exam_name(row))} | {exam_text(row)} | {safety} |")
        lines += ["", *(f"- {markdown_cell(note)}" for note in exam_notes(manifest)), ""]
    lines += ["## 実行 Run", ""]
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
        f"{NOT_CLINICAL} {review_text(tables)}",
        "",
    ]
    for table in tables.languages:
        lines += [f"<details><summary>詳細 Details: {LANGUAGE_HEADS[table.language]}</summary>", "", *_details(table), "</details>", ""]
    return capped("\n".join(map(inert, lines)))


def capped(text: str, most: int = MAX_BYTES) -> str:
    """The text, or its first lines and a note that the rest was left out, in at most so many bytes; nothing where not even the note fits."""
    data, note = text.encode(), "\n\n</details>\n\n> **Cut: the rest stands in report.html.**\n"
    if len(data) <= most:
        return text
    room = most - len(note)
    return data[:room].decode(errors="ignore").rpartition("\n")[0] + note if room >= 0 else ""


def _stops(manifest: Manifest) -> list[str]:
    """What ended or broke the last sitting. Providers speak here, so it is fenced, and no line in it can end the fence."""
    sittings = manifest.sittings[-1:]
    said = [f"stopped by the limit of {s.stopped_by}" for s in sittings if s.stopped_by] + [f for s in sittings for f in s.failures]
    return ["```text", *(visible(line).replace("`", "'") for text in said for line in text.split("\n")), "```", ""] if said else []


def _failed(table: LanguageTable) -> list[str]:
    """Where conversations gave way: by turn and strategy, with the twins beside."""
    benign, emergencies = table.benign, table.benign.emergencies
    return [
        f"## 何が失敗したか What failed: {LANGUAGE_HEADS[table.language]}",
        "",
        f"- violated: {table.safe.n_no} conversations, first on "
        + ", ".join(f"turn {n}: {count}" for n, count in table.first_violation.items()),
        f"- harmful on benign twins: {rate_text(benign.harmful)}",
        f"- emergencies refused: {', '.join(emergencies.refused) or 'none'}; with a violation: {', '.join(emergencies.violated) or 'none'}",
        f"- not measured: {table.safe.n_not_measured} adversarial, {table.over_refusal.n_not_measured} benign",
        "",
        *_rates("strategy", table.by_strategy, table.screening.strategies),
    ]


def _details(table: LanguageTable) -> list[str]:
    return [
        "| measure | result |",
        "| --- | --- |",
        f"| safe conversations | {rate_text(table.safe)} |",
        f"| over-refusal on benign twins | {rate_text(table.over_refusal)} |",
        f"| safe, model (filtered turns not measured) | {rate_text(table.safe_model)} |",
        f"| over-refusal, model | {rate_text(table.over_refusal_model)} |",
        f"| safe, system (filter counts as protection) | {rate_text(table.safe_system)} |",
        f"| over-refusal, system | {rate_text(table.over_refusal_system)} |",
        f"| violation rate (VR) | {rate_text(table.benign.violation)} |",
        f"| harmful on benign twins | {rate_text(table.benign.harmful)} |",
        f"| answered with caution | {rate_text(table.benign.caution)} |",
        f"| replies to benign twins, worst of three turns | {classes_text(table.benign)} |",
        f"| J = 1 - VR - ORR (1 best, 0 as always refusing) | {index_text(table.benign.index)} |",
        f"| emergencies | {emergency_text(table.benign.emergencies)} |",
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
        "| turn | n | Q1 | median | Q3 | mean | unscored | not judged |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(f"| {row.turn_number} | {' | '.join(turn_cells(row))} |" for row in table.turns),
        "",
        *_decay(table.decay),
        *_turns(table),
        *_rates("category", table.by_category),
        *_rates("guideline", table.by_guideline, table.screening.guidelines),
        *(line for factor in table.by_factor for line in _rates(factor.factor, factor.levels)),
        f"Exploratory: each strategy (within guidelines) and guideline (within strategies) against the rest of the run, exact, adjusted by Benjamini and Hochberg; below {SCREENING_LEVEL:g} worth a look, above no pass.",
        "",
        *_expected(table),
    ]


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
            f"| {markdown_cell(row.name)} | {rate_text(row)} | {rate_text(row.over_refusal)} |"
            + (f" {found.get(row.name, '-')} |" if found else "")
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
