"""Numbers and untrusted text in words: the one place where numbers are formatted for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from io import StringIO

from jmedethic_plugin.analysis.effects import Screening, ScreeningRow
from jmedethic_plugin.analysis.exam import ExamRow
from jmedethic_plugin.analysis.findings import CrossLingual, TurnDecay
from jmedethic_plugin.analysis.over_refusal import EmergencyTable, Index, OverRefusalTable
from jmedethic_plugin.analysis.progression import Progression, TurnChange
from jmedethic_plugin.analysis.rates import RateRow
from jmedethic_plugin.analysis.summary import LanguageTable, PanelTable, Tables, TurnRow
from jmedethic_plugin.core.base import Bilingual
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.core.gate import Criterion, Decision
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.text import has_invisible, is_invisible
from jmedethic_plugin.core.threshold import Aggregate, Threshold
from jmedethic_plugin.core.transcript import BLOCKED_OUTCOMES, Turn
from jmedethic_plugin.core.verdict import Scored
from jmedethic_plugin.stats.agreement import spearman_brown
from jmedethic_plugin.stats.repeats import RepeatTable

DEMO_NOTICE = "DEMO: scripted models, offline. These numbers measure nothing. (デモ: 台本どおりの応答であり、測定ではありません)"
NOT_CLINICAL = "Ethics robustness under scripted attack; no clinical validation, no approval."

LANGUAGE_NAMES = {"ja": "Japanese", "en": "English"}
LANGUAGE_HEADS = {"ja": "日本語 Japanese", "en": "英語 English"}
SAFE, OVER_REFUSAL = "安全な会話 safe conversations", "過剰な拒否 over-refusal on benign twins"
HOW_COUNTED = (
    "Unit: conversation (three turns), each repeat for itself. 95 % CI: Wilson at the effective number n_eff, for conversations of one guideline "
    "resemble each other. Not measured is neither safe nor unsafe."
)


def percent(value: float) -> str:
    """``93.8 %``."""
    return f"{100 * value:.1f} %"


def range_text(low: float, high: float) -> str:
    """``71.7-98.9``, of shares, in percent."""
    return f"{100 * low:.1f}-{100 * high:.1f}"


def rate_text(row: RateRow) -> str:
    """``15/16 = 93.8 % (95 % CI 71.7-98.9, Wilson, n_eff 12.4), 1 not measured``."""
    if row.n == 0:
        return "no conversations"
    missing = f", {row.n_not_measured} not measured" if row.n_not_measured else ""
    if row.rate is None:
        return f"not measured (0 of {row.n})"
    interval = range_text(row.rate.low, row.rate.high)
    alone = ", one guideline" if row.n_guidelines == 1 else ""
    n_eff = "" if row.rate.n_eff is None else f", n_eff {row.rate.n_eff:.1f}"
    text = f"{row.n_yes}/{row.n_yes + row.n_no} = {percent(row.rate.point)} (95 % CI {interval}, Wilson{alone}{n_eff}){missing}"
    if row.n_not_measured and row.lowest is not None and row.highest is not None:
        text += f"; {range_text(row.lowest, row.highest)} % depending on the missing"
    return text


def rate_cells(row: RateRow) -> tuple[str, str]:
    """The same for two narrow columns whose heads name the interval: ``15/16 = 93.8 % (71.7-98.9)`` and how many were not measured."""
    if row.rate is None:
        return "-", str(row.n_not_measured)
    share = f"{row.n_yes}/{row.n_yes + row.n_no} = {percent(row.rate.point)} ({100 * row.rate.low:.1f}-{100 * row.rate.high:.1f})"
    return share, str(row.n_not_measured)


def turn_cells(row: TurnRow) -> tuple[str, ...]:
    """n, quartiles, mean, unscored and not judged of one turn."""
    p = row.points
    numbers = ("0", "-", "-", "-", "-") if p is None else (str(p.n), *(f"{x:.2f}" for x in (p.q1, p.median, p.q3, p.mean)))
    return (*numbers, str(row.n_unscored), str(row.n_not_judged))


def turn_change_text(change: TurnChange) -> str:
    """``shift -2.00 (95 % CI -2.50 to -1.50) points, p < .001, Cliff's delta -0.51, n 469``."""
    return f"shift {change_text(change.shift)}, {p_text(change.p_holm)}, Cliff's delta {change.cliffs_delta:+.2f}, n {change.test.n}"


def trend_text(progression: Progression) -> str:
    """Page's trend over the three turns."""
    trend = progression.trend
    return (
        "fewer than two conversations" if trend is None else f"Page's L {trend.statistic:.1f}, {p_text(trend.p_tie_corrected)}, n {trend.n}"
    )


def repeat_text(table: RepeatTable, good: str, bad: str) -> str:
    """``safe in all of 3 repeats 80.0 % (95 % CI ...), violated in any 20.0 % (...), repeats differ 15.0 % (...); 469 conversations, 2 of them unscored``."""
    return (
        f"{good} in all of {table.k} repeats {estimate_text(table.pass_hat_k, share=True)}, {bad} in any {estimate_text(table.worst_of_k, share=True)}, "
        f"repeats differ {estimate_text(table.flip_share, share=True)}; {table.n_conversations} conversations, {table.n_unscored} of them unscored"
    )


def screening_text(row: ScreeningRow) -> str:
    """``12 of 67 violated, 5.3 expected from the rest, adjusted p .021``."""
    return f"{row.test.n_hits} of {row.test.n} violated, {row.test.expected:.1f} expected, adjusted {p_text(row.p_adjusted)}"


def screening_lines(screening: Screening) -> list[str]:
    """What stands out, strategies first."""
    return [f"{row.name}: {screening_text(row)}" for row in (*screening.strategies, *screening.guidelines) if row.stands_out] or [
        "nothing stands out"
    ]


def classes_text(table: OverRefusalTable) -> str:
    """Benign conversations by their class."""
    counts = ", ".join(f"{name} {n}" for name, n in table.classes.items())
    return f"{counts}, not measured {table.n_not_measured}; judges differ on {table.n_disagreed}"


def index_text(index: Index) -> str:
    """``0.85 (95 % CI 0.81 to 0.89), 67 guidelines; 0.84 to 0.86 depending on the missing``."""
    text = f"{estimate_text(index.estimate)}, {len(index.by_guideline)} guidelines"
    if index.lowest is not None and index.highest is not None and index.lowest < index.highest:
        text += f"; {index.lowest:.2f} to {index.highest:.2f} depending on the missing"
    return text


def emergency_text(table: EmergencyTable) -> str:
    """Emergencies scored both ways."""
    return f"refused {rate_text(table.over_refusal)}; harmful {rate_text(table.harmful)}; with refusals as harm {rate_text(table.harmful_or_refused)}"


def review_text(tables: Tables) -> str:
    """How many of the conversations played a clinician has read."""
    n, reviewed = sum(t.n for t in tables.languages), sum(t.n_reviewed for t in tables.languages)
    return f"Conversations read by a clinician: {reviewed} of {n}."


def panel_text(panel: PanelTable) -> str:
    """``third judge on 12 of 90 turns (13.3 %), 2 wait for a person, ...``."""
    share = f" ({percent(panel.n_third / panel.n_turns)})" if panel.n_turns else ""
    parts = [f"third judge on {panel.n_third} of {panel.n_turns} turns{share}", f"{panel.n_unread} wait for a person"]
    for n, what in (
        (panel.n_human, "decided by a person"), (panel.n_flagged, "with signs meant for a judge"), (panel.n_asked_again, "asked again"),
        (panel.n_fallback, "by the fallback judge"),
    ):  # fmt: skip
        if n:
            parts.append(f"{n} {what}")
    return ", ".join(parts)


def estimate_text(estimate: Estimate | None, *, share: bool = False) -> str:
    """``0.87 (95 % CI 0.84 to 0.90)`` or, of a share, ``87.0 % (95 % CI 84.0-90.0)``."""
    if estimate is None:
        return "not defined"
    if share:
        return f"{percent(estimate.point)} (95 % CI {range_text(estimate.low, estimate.high)})"
    return f"{estimate.point:.2f} (95 % CI {estimate.low:.2f} to {estimate.high:.2f})"


def change_text(estimate: Estimate | None, *, share: bool = False) -> str:
    """``-0.52 points (95 % CI -0.80 to -0.24)`` or, of a share, ``-3.2 percentage points (95 % CI -6.0 to -0.4)``."""
    if estimate is None:
        return "no interval: fewer than two guidelines"
    point, _, interval = signed_text(estimate, share=share).partition(" ")
    return f"{point} {'percentage points' if share else 'points'} {interval}"


def signed_text(estimate: Estimate, *, share: bool = False) -> str:
    """``-0.52 (95 % CI -0.80 to -0.24)``, where a heading names the unit."""
    factor, digits = (100, 1) if share else (1, 2)
    point, low, high = (f"{factor * x + 0.0:+.{digits}f}" for x in (estimate.point, estimate.low, estimate.high))
    return f"{point} (95 % CI {low} to {high})"


def p_text(p: float) -> str:
    """``p 0.012``; ``p < 0.001`` below that."""
    return f"p {p:.3f}" if p >= 0.001 else "p < 0.001"


_AGGREGATES: dict[Aggregate, Bilingual] = {
    "adjudicated": Bilingual(ja="裁定後の点数", en="adjudicated points"),
    "mean": Bilingual(ja="評価モデルの平均点", en="mean points of the judges"),
    "min": Bilingual(ja="低いほうの評価の点数", en="lowest points of the judges"),
}


def decay_text(decay: TurnDecay) -> Bilingual:
    """Whether points fall over the turns, in one sentence."""
    what = _AGGREGATES[decay.aggregate]
    if decay.change is None or decay.trend is None or decay.first is None or decay.last is None:
        return Bilingual(
            ja=f"ターンによる低下は判定できません: 全ターンに点数のある会話が{decay.n}件(測定なし {decay.n_not_measured}件)で、指針が二つ以上必要です。",
            en=f"not told: {decay.n} conversations with points on every turn, {decay.n_not_measured} not measured, and two guidelines are needed.",
        )
    low, high = decay.change.low, decay.change.high
    return Bilingual(
        ja=f"{'ターンによる低下あり' if decay.decay else 'ターンによる低下は認められません'}: {what.ja}(1から10、10が最も安全)は最初のターンの平均{decay.first:.2f}から最後のターンの{decay.last:.2f}へ"
        f"{decay.change.point:+.2f}点(95 %区間 {low:+.2f}から{high:+.2f}、指針を単位とするt)、n {decay.n}会話、測定なし {decay.n_not_measured}会話、Pageの傾向検定 {p_text(decay.trend.p)}。",
        en=f"{'FOUND' if decay.decay else 'not found'}: {what.en} (1-10, 10 safest) go from {decay.first:.2f} on the first turn to {decay.last:.2f} on the last, {change_text(decay.change)}, "
        f"{decay.change.method}, n {decay.n} conversations, {decay.n_not_measured} not measured, Page's trend {p_text(decay.trend.p)}.",
    )  # fmt: skip


def cross_lingual_text(found: CrossLingual) -> Bilingual:
    """What English results hide of Japanese ones, in one sentence."""
    d = found.difference
    interval = (
        "区間なし(指針が二つ以上必要)" if d is None else f"{100 * d.point:+.1f}ポイント(95 %区間 {100 * d.low:+.1f}から{100 * d.high:+.1f})"
    )
    return Bilingual(
        ja=f"両言語で実施した場面 {found.n}件(会話単位、全反復で安全なものを安全とする)のうち、英語でのみ安全 {found.n_only_en}件、日本語でのみ安全 {found.n_only_ja}件、両方で安全 {found.n_both_safe}件、"
        f"どちらでも安全でない {found.n_neither}件、測定なし {found.n_not_measured}件。安全率の差(日本語-英語) {interval}、McNemarの正確検定 {p_text(found.p)}。",
        en=f"of {found.n} scenes played in both languages (unit: conversation, safe when it is in every repeat) {found.n_only_en} are safe only in English, {found.n_only_ja} only in Japanese, "
        f"{found.n_both_safe} in both, {found.n_neither} in neither, {found.n_not_measured} not measured; share safe, Japanese minus English, {change_text(d, share=True)}, exact McNemar {p_text(found.p)}.",
    )  # fmt: skip


def agreement_lines(table: LanguageTable) -> list[str]:
    """How far the two judges agree; the SD of the scores beside it, for a narrow spread makes any coefficient look bad."""
    a = table.judges
    if a is None:
        return ["no turn scored by both"]
    if a.n_clusters < 2:
        return [f"agreement is told from two guidelines on, for its intervals are drawn over guidelines; n {a.n_complete} turns"]
    limits = (
        f"{a.limit_low.point:+.2f} to {a.limit_high.point:+.2f}" if a.limit_low is not None and a.limit_high is not None else "not defined"
    )
    doubled = None if a.icc_single is None else spearman_brown(a.icc_single.point, 2)
    return [
        f"within 1 point {estimate_text(a.within_one, share=True)}, exact {estimate_text(a.exact, share=True)}, n {a.n_complete} turns",
        f"ICC(2,1) {estimate_text(a.icc_single)}, of their mean {'not defined' if doubled is None else f'{doubled:.2f}'} (Spearman-Brown)",
        f"score SD {estimate_text(a.score_sd)} points",
        f"alpha {estimate_text(a.alpha_ordinal)} ordinal, {estimate_text(a.alpha_violation)} violation; weighted kappa {estimate_text(a.kappa_quadratic)}",
        f"first minus second {estimate_text(a.mean_difference)} points, limits of agreement {limits}",
    ]


def violating_text(table: LanguageTable) -> str:
    """``90/1407 = 6.4 % as judged; corrected for the judges' error 5.1 % (95 % CI 2.0-8.1)``."""
    v = table.violating_turns
    if not v.n:
        return "no turn scored"
    raw = f"{v.n_violating}/{v.n} = {percent(v.n_violating / v.n)} as judged"
    if v.corrected is None:
        return f"{raw}; not corrected ({v.not_corrected})"
    return f"{raw}; corrected for the judges' error {estimate_text(v.corrected, share=True)}, {v.corrected.method}"


def card_text(manifest: Manifest) -> str:
    """What is known of the judges' error."""
    card = manifest.judge_card
    if card is None:
        return "judges not qualified: no judge card was given (jmedethic judge qualify)"
    state = "qualified" if not card.faults else f"NOT QUALIFIED ({'; '.join(card.faults[:3])}{' ...' if len(card.faults) > 3 else ''})"
    labels = "labels by clinicians" if card.clinician_labelled else "not clinician-labelled"
    notes = "".join(f"; {note}" for note in card.notes)
    return f"judges {state}, {labels}, card {card.content_hash[:12]} of {card.created}, expires {card.expires}{notes}"


def sentinel_text(table: LanguageTable) -> str | None:
    """``20 planned: 10 violations caught, 0 missed, 9 safe ones passed, ...``; None where none were mixed in."""
    s = table.sentinels
    if s is None:
        return None
    text = (
        f"{s.n_planned} planned: {s.n_caught} violations caught, {s.n_missed} missed, {s.n_passed} safe ones passed, "
        f"{s.n_false_alarms} called violations, {s.n_unscored} unscored, {s.n_not_judged} not judged"
    )
    if s.n_missed:
        return f"INCONCLUSIVE, the judges missed a clear violation: {text}"
    return f"INCONCLUSIVE, not every sentinel has a verdict: {text}" if s.fails else text


def family_text(manifest: Manifest) -> str | None:
    """Models whose family is not known, so that the judges' independence is not shown."""
    unknown = [model for model, family in manifest.families.items() if family is None]
    if not unknown or manifest.demo:
        return None
    return f"family not known (--family MODEL=FAMILY): {', '.join(unknown)}; that the judges are not related is not shown"


def shortened(lines: Sequence[str]) -> list[str]:
    """The first lines of many; the terminal is no place for hundreds."""
    most = 20
    return [*lines[:most], *([f"... and {len(lines) - most} more"] if len(lines) > most else [])]


def exam_text(row: ExamRow) -> str:
    """``24/30 = 80.0 % (95 % CI 62.7-90.5) of the answers that can be read, 75.0 % (95 % CI 57.9-86.9) of all 32; 2 unparsable``."""
    parsed = "no answer can be read" if row.of_parsed is None else (
        f"{row.n_correct}/{row.of_parsed.n} = {estimate_text(row.of_parsed, share=True)} of the answers that can be read"
    )  # fmt: skip
    counts = ((row.n_unparsable, "unparsable"), (row.n_not_measured, "not measured"), (row.n_forbidden, "with a forbidden choice"))
    return f"{parsed}, {estimate_text(row.of_all, share=True)} of all {row.n}" + "".join(f"; {n} {what}" for n, what in counts if n)


def exam_name(row: ExamRow) -> str:
    """Name of an exam with its language."""
    return visible(f"{row.exam or 'all'} ({row.language})")


def exam_notes(manifest: Manifest) -> list[str]:
    """What was left out of each exam, and whose it is."""
    return [
        visible(f"{exam.name}: {exam.n_questions} text-only questions, left out {exam.n_images} with images and {exam.n_withdrawn} not scored by the examiners; ")
        + f"licence {visible(exam.licence or 'not stated')}"
        for exam in manifest.exams
    ]  # fmt: skip


def exam_missing(tables: Tables, manifest: Manifest) -> str | None:
    """That not all questions were asked; None when all were."""
    n, planned = sum(row.n for row in tables.exams if row.exam is not None), manifest.n_questions or 0
    return f"INCOMPLETE: {n} of {planned} planned exam questions were asked" if n < planned else None


def visible(text: str) -> str:
    """Text with control, bidi and other invisible characters shown as ``<U+202E>``, so that a terminal or page cannot be steered."""
    if not has_invisible(text):
        return text
    return "".join(ch if ch in "\n\t" or not is_invisible(ch) else f"<U+{ord(ch):04X}>" for ch in text)


_COMMAND = re.compile(r"^(\s*:)(?=:)|(#)(?=#\w*\[)", re.MULTILINE)
"""What CI services read as an order to themselves: a line that begins with ``::`` (GitHub), ``##[...]`` and ``##vso[...]`` anywhere (GitHub's first
form, Azure). GitLab's begin with an escape character, which `visible` shows."""


def inert(text: str) -> str:
    """Text as a log or a job summary may show it: invisible characters shown, workflow commands spaced out."""
    return _COMMAND.sub(lambda found: f"{found[0]} ", visible(text))


def quoted(label: str, text: str) -> list[str]:
    """Untrusted text for a terminal: every line behind a bar, the end of a long one left out."""
    most = 4000
    cut = f"\n... {len(text) - most} more characters" if len(text) > most else ""
    return [f"  | {line}" for line in inert(f"{label}: {text[:most]}{cut}").split("\n")]


def table_lines(heads: Sequence[str], rows: Iterable[Sequence[str]], width: int, *, right: Sequence[int] = ()) -> list[str]:
    """A plain table, aligned by the width a terminal gives each character (two columns for Japanese ones).

    Parameters
    ----------
    right
        Numbers of the columns, from 0, that are set flush right.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="", show_edge=False)
    for number, head in enumerate(heads):
        table.add_column(Text(head), justify="right" if number in right else "left", overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*map(Text, row))  # as Text, brackets in it are no markup
    file = StringIO()
    Console(file=file, width=width, color_system=None, force_terminal=False, legacy_windows=False).print(table)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def worst_first(decision: Decision) -> list[Criterion]:
    """The criteria, what stands against a PASS first."""
    return sorted(decision.criteria, key=lambda c: ("fail", "inconclusive", "pass").index(c.status))


def decision_lines(decision: Decision) -> list[str]:
    """The gate's verdict, what stands against a PASS first, then what is met."""
    demo = " (demo: measures nothing)" if decision.demo else ""
    lines = [f"GATE {decision.gate} ({decision.gate_hash[:12]}): {decision.verdict}{demo}"]
    for c in worst_first(decision):
        place = f" {c.language}" if c.language else ""
        lines.append(f"  {c.status:<12} {c.name}{place}: {inert(c.reason.en)}")
    if decision.pooled:
        lines.append(f"  counted together with the earlier runs {', '.join(decision.pooled)}")
    return lines


def markdown_cell(text: str) -> str:
    """Text that stays one cell of a Markdown table and starts no markup."""
    return inert(text).replace("\n", " ").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def points_text(turn: Turn) -> str:
    """``9 / 8.5``: what each judge gave, or why there is nothing to judge."""
    heard = turn.panel.heard if turn.panel else ()
    return " / ".join(f"{v.points:g}" if isinstance(v, Scored) else "unscored" for v in heard) or turn.reply.outcome


def transcript_lines(records: Iterable[CaseRecord], threshold: Threshold) -> list[str]:
    """The failed conversations with every word said in them, for those who asked to read it."""
    lines = []
    failed = [(r, result) for r in records if (result := r.assess(threshold)).status == "failed"]
    most = 20
    for record, result in failed[:most]:
        lines.append(f"{record.case.id}, repeat {record.repeat}: {result.finding} at turn {result.turn_number}")
        for turn in record.turns:
            lines += quoted(f"user {turn.turn_number}", turn.user)
            lines += quoted(f"reply {turn.turn_number} (points {points_text(turn)})", turn.reply.text or f"(no text: {turn.reply.outcome})")
            for verdict in turn.panel.heard if turn.panel else ():
                lines += quoted(f"  {verdict.judge}", verdict.reason if isinstance(verdict, Scored) else f"unscored: {verdict.cause}")
        lines.append("")
    if len(failed) > most:
        lines.append(f"... and {len(failed) - most} more failed conversations, in report.html")
    return lines


def summary_lines(tables: Tables, manifest: Manifest, *, width: int = 100) -> list[str]:
    """The terminal summary: verdict, safety beside over-refusal and what failed first; then how it came about and how far to trust it."""
    lines = [f"WARNING: {banner}" for banner in manifest.banners]
    if manifest.demo:
        lines.append(DEMO_NOTICE)
    if tables.decision is not None:
        lines += [*decision_lines(tables.decision), ""]
    planned = manifest.n_planned or 0
    if (manifest.n_recorded or 0) < planned:
        lines.append(f"INCOMPLETE: {manifest.n_recorded} of {planned} planned conversations were played")
    if (missing := exam_missing(tables, manifest)) is not None:
        lines.append(missing)
    if manifest.missing_shards:
        lines.append(f"INCOMPLETE: without the parts {', '.join(map(str, manifest.missing_shards))} of the run")
    if manifest.sittings and (stopped_by := manifest.sittings[-1].stopped_by):
        lines.append(f"STOPPED by the limit of {stopped_by}; resuming the run goes on from here")
    lines += [f"WARNING: {failure}" for sitting in manifest.sittings[-1:] for failure in sitting.failures]
    lines += [f"target {manifest.identity['model']}   judges {', '.join(manifest.identity['judges'])}   run {manifest.run_id}"]
    lines += [f"threshold {tables.threshold} (points 1-10, 10 safest)", card_text(manifest)]
    if (family := family_text(manifest)) is not None:
        lines.append(family)
    lines.append("")
    if tables.languages:
        # Never a safety number without its over-refusal number.
        rows = [(LANGUAGE_HEADS[t.language], rate_text(t.safe), rate_text(t.over_refusal)) for t in tables.languages]
        lines += [*table_lines(("", SAFE, OVER_REFUSAL), rows, width), *table_lines(("", ""), [("", HOW_COUNTED)], width)[1:]]
    for table in tables.languages:
        lines += ["", *_failed_lines(table, width)]
    if (found := tables.cross_lingual) is not None:
        lines += ["", f"日本語と英語 Japanese beside English: {cross_lingual_text(found).en}"]
        lines += [f"  safe in English, unsafe in Japanese: {text}" for text in shortened(found.safe_only_in_english)]
    if tables.exams:
        lines += ["", "試験の正答率 Exam accuracy (a guard-rail; a single wrong answer fails nothing)"]
        lines += [f"  {exam_name(row)}: {exam_text(row)}" for row in tables.exams]
        lines += [f"  {note}" for note in exam_notes(manifest)]
    for table in tables.languages:
        lines += ["", *_detail_lines(table)]
    lines += ["", f"{NOT_CLINICAL} {review_text(tables)}"]
    return [inert(line) for line in lines]


def _failed_lines(table: LanguageTable, width: int) -> list[str]:
    """Where and on which turn conversations gave way, and what was refused that should have been answered."""
    benign, emergencies = table.benign, table.benign.emergencies
    said = [
        f"{table.safe.n_no} violated",
        f"{table.over_refusal.n_yes} benign refused",
        f"{table.safe.n_not_measured + table.over_refusal.n_not_measured} not measured",
    ]
    lines = [f"何が失敗したか What failed: {LANGUAGE_HEADS[table.language]}: {', '.join(said)}"]
    if table.n_harmful_on_benign:
        lines.append(f"  harmful on benign    {rate_text(benign.harmful)}")
    if bad := sorted({*emergencies.refused, *emergencies.violated}):
        lines.append(f"  emergencies          {emergency_text(emergencies)}: {', '.join(bad[:5])}{' ...' if len(bad) > 5 else ''}")
    if any(table.outcomes.get(name) for name in BLOCKED_OUTCOMES):
        lines.append(f"  of the model alone   {rate_text(table.safe_model)}; over-refusal {rate_text(table.over_refusal_model)}")
        lines.append(f"  with its filter      {rate_text(table.safe_system)}; over-refusal {rate_text(table.over_refusal_system)}")
    if table.safe.n:
        turns = [(f"  {row.turn_number}", str(table.first_violation[str(row.turn_number)]), *turn_cells(row)) for row in table.turns]
        lines += table_lines(
            ("  ターン turn", "first violation", "points n", "Q1", "median", "Q3", "mean", "unscored", "not judged"),
            turns, width, right=range(1, 9),
        )  # fmt: skip
        strategies = [(f"  {row.name}", *rate_cells(row), *rate_cells(row.over_refusal)) for row in table.by_strategy]
        lines += table_lines(
            ("  戦略 strategy", "safe (95 % CI)", "not measured", "over-refusal (95 % CI)", "not measured"), strategies, width, right=(2, 4)
        )
    return lines


def _detail_lines(table: LanguageTable) -> list[str]:
    lines = [f"詳細 Details: {LANGUAGE_HEADS[table.language]}"]
    if table.repeats is not None:
        lines.append(f"  repeats              {repeat_text(table.repeats, 'safe', 'violated')}")
    if table.repeats_benign is not None:
        lines.append(f"                       {repeat_text(table.repeats_benign, 'answered', 'refused')}")
    if table.safe.n:
        lines += [f"  turn {change.first} to {change.second}, paired  {turn_change_text(change)}" for change in table.progression.changes]
    if table.decay is not None:
        lines.append(f"  turn decay           {decay_text(table.decay).en}")
    if table.over_refusal.n:
        lines.append(f"  benign replies       {classes_text(table.benign)}")
        lines.append(f"  J = 1 - VR - ORR     {index_text(table.benign.index)}")
    lines += [f"  exploratory          {line}" for line in screening_lines(table.screening)]
    lines.append("  outcomes of turns    " + ", ".join(f"{name} {n}" for name, n in table.outcomes.items()))
    lines.append("  unscored verdicts    " + (", ".join(f"{name} {n}" for name, n in table.unscored.items()) or "none"))
    lines.append(f"  violating turns      {violating_text(table)}")
    lines += [f"  judges               {line}" for line in agreement_lines(table)]
    lines.append(f"  panel                {panel_text(table.panel)}")
    if (sentinels := sentinel_text(table)) is not None:
        lines.append(f"  sentinels            {sentinels}")
    return lines
