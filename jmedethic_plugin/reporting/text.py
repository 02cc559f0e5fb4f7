"""Numbers and untrusted text in words: the one place where numbers are formatted for people."""

from __future__ import annotations

from jmedethic_plugin.analysis.summary import LanguageTable, PanelTable, RateRow, Tables, TurnRow
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.core.record import Manifest
from jmedethic_plugin.core.text import has_invisible, is_invisible
from jmedethic_plugin.core.transcript import BLOCKED_OUTCOMES
from jmedethic_plugin.stats.agreement import spearman_brown

DEMO_NOTICE = "DEMO: scripted models, offline. These numbers measure nothing. (デモ: 台本どおりの応答であり、測定ではありません)"
NOT_CLINICAL = "Ethics robustness under scripted attack; no clinical validation, no approval."

_LANGUAGE_NAMES = {"ja": "Japanese", "en": "English"}


def percent(value: float) -> str:
    """``93.8 %``."""
    return f"{100 * value:.1f} %"


def rate_text(row: RateRow) -> str:
    """``15/16 = 93.8 % (95 % CI 71.7-98.9, Wilson), 1 not measured``."""
    if row.n == 0:
        return "no conversations"
    missing = f", {row.n_not_measured} not measured" if row.n_not_measured else ""
    if row.rate is None:
        return f"not measured (0 of {row.n})"
    interval = f"{100 * row.rate.low:.1f}-{100 * row.rate.high:.1f}"
    text = f"{row.n_yes}/{row.n_yes + row.n_no} = {percent(row.rate.point)} (95 % CI {interval}, Wilson){missing}"
    if row.n_not_measured and row.lowest is not None and row.highest is not None:
        text += f"; {100 * row.lowest:.1f}-{100 * row.highest:.1f} % depending on the missing"
    return text


def turn_text(row: TurnRow) -> str:
    """Median, quartiles and n of one turn."""
    points = "no points" if row.points is None else (
        f"median {row.points.median:.2f}  quartiles {row.points.q1:.2f}-{row.points.q3:.2f}  mean {row.points.mean:.2f}  n {row.points.n}"
    )  # fmt: skip
    return f"turn {row.turn_number}: {points}  unscored {row.n_unscored}  not judged {row.n_not_judged}"


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
        return f"{percent(estimate.point)} (95 % CI {100 * estimate.low:.1f}-{100 * estimate.high:.1f})"
    return f"{estimate.point:.2f} (95 % CI {estimate.low:.2f} to {estimate.high:.2f})"


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


def visible(text: str) -> str:
    """Text with control, bidi and other invisible characters shown as ``<U+202E>``, so that a terminal or page cannot be steered."""
    if not has_invisible(text):
        return text
    return "".join(ch if ch in "\n\t" or not is_invisible(ch) else f"<U+{ord(ch):04X}>" for ch in text)


def summary_lines(tables: Tables, manifest: Manifest) -> list[str]:
    """The terminal summary."""
    lines = [f"run {manifest.run_id}   target {manifest.identity['model']}   judges {', '.join(manifest.identity['judges'])}"]
    if manifest.demo:
        lines.insert(0, DEMO_NOTICE)
    lines[0:0] = [f"WARNING: {banner}" for banner in manifest.banners]
    lines.append(f"threshold {tables.threshold} (scale 1-10, 10 safest)")
    lines.append(card_text(manifest))
    if (family := family_text(manifest)) is not None:
        lines.append(family)
    planned = manifest.n_planned or 0
    if (manifest.n_recorded or 0) < planned:
        lines.append(f"INCOMPLETE: {manifest.n_recorded} of {planned} planned conversations were played")
    if manifest.missing_shards:
        lines.append(f"INCOMPLETE: without the parts {', '.join(map(str, manifest.missing_shards))} of the run")
    if manifest.sittings and (stopped_by := manifest.sittings[-1].stopped_by):
        lines.append(f"STOPPED by the limit of {stopped_by}; resuming the run goes on from here")
    lines += [f"WARNING: {visible(failure)}" for sitting in manifest.sittings[-1:] for failure in sitting.failures]
    for table in tables.languages:
        lines += ["", *_language_lines(table)]
    return [*lines, "", f"{NOT_CLINICAL} {review_text(tables)}"]


def _language_lines(table: LanguageTable) -> list[str]:
    lines = [f"{_LANGUAGE_NAMES[table.language]} ({table.language})", f"  safe conversations   {rate_text(table.safe)}"]
    # Never a safety number without its over-refusal number.
    lines.append(f"  over-refusal (twins) {rate_text(table.over_refusal)}")
    if any(table.outcomes.get(name) for name in BLOCKED_OUTCOMES):
        lines.append(f"  of the model alone   {rate_text(table.safe_model)}")
        lines.append(f"  with its filter      {rate_text(table.safe_system)}; over-refusal {rate_text(table.over_refusal_system)}")
    if table.safe.n:
        lines += [f"  {turn_text(row)}" for row in table.turns]
        first = ", ".join(f"turn {n}: {count}" for n, count in table.first_violation.items() if count)
        lines.append(f"  first violation      {first or 'none'}")
    if table.n_harmful_on_benign:
        lines.append(f"  harmful on benign    {table.n_harmful_on_benign}")
    if table.n_emergencies_refused:
        lines.append(f"  emergencies refused  {table.n_emergencies_refused}")
    lines.append("  outcomes of turns    " + ", ".join(f"{name} {n}" for name, n in table.outcomes.items()))
    lines.append("  unscored verdicts    " + (", ".join(f"{name} {n}" for name, n in table.unscored.items()) or "none"))
    lines.append(f"  violating turns      {violating_text(table)}")
    lines += [f"  judges               {line}" for line in agreement_lines(table)]
    lines.append(f"  panel                {panel_text(table.panel)}")
    if (sentinels := sentinel_text(table)) is not None:
        lines.append(f"  sentinels            {sentinels}")
    return lines
