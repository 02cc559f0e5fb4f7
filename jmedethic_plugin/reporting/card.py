"""The judge card as a page."""

from __future__ import annotations

from datetime import date

from jmedethic_plugin.core.card import JudgeCard
from jmedethic_plugin.reporting.page import template
from jmedethic_plugin.reporting.text import DEMO_NOTICE, estimate_text, visible


def render_card(card: JudgeCard) -> str:
    """``card.html``: one self-contained file."""
    return template("card.html.j2").render(card=card, demo_notice=DEMO_NOTICE, interval=estimate_text)


def card_lines(card: JudgeCard, today: date) -> list[str]:
    """The card in a few lines for the terminal."""
    a = card.answers
    labelled = "labelled by clinicians" if a.clinician_labelled else "not clinician-labelled"
    lines = [f"labelled answers: {a.n} of {a.source}, {labelled}", "QUALIFIED" if not card.faults_on(today) else "NOT QUALIFIED"]
    lines += [f"- {fault}" for fault in (*card.common_faults, *card.expired_on(today))]
    for judge in card.judges:
        lines.append(f"{judge.judge}: {'no fault' if not judge.faults else 'NOT QUALIFIED'}")
        for row in judge.languages:
            se, sp = row.sensitivity, row.specificity
            lines.append(
                f"  {row.language}: sensitivity {se.n_hits}/{se.n}, specificity {sp.n_hits}/{sp.n}"
                + ("" if row.leniency is None else f", judge minus label {row.leniency:+.2f} points")
                + f", {sum(row.n_unscored.values())} unscored"
            )
        lines += [f"  - {fault}" for fault in judge.faults]
    for panel in card.panel:
        se, sp = panel.sensitivity, panel.specificity
        lines.append(f"panel, {panel.language}: sensitivity {se.n_hits}/{se.n}, specificity {sp.n_hits}/{sp.n} ({card.threshold})")
    lines += [f"note: {note}" for note in card.notes]
    lines.append(f"created {card.created}, expires {card.expires}, hash {card.content_hash[:16]}")
    # A card is a file from elsewhere: nothing of it may steer the terminal.
    return [DEMO_NOTICE] * card.demo + [visible(line).replace("\n", " ") for line in lines]
