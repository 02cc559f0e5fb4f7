"""Records without their texts: what is counted stays, what was said goes."""

from __future__ import annotations

from jmedethic_plugin.core.base import content_hash
from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.transcript import Turn
from jmedethic_plugin.core.verdict import HumanVerdict, PanelVerdict, Scored, Unscored


def redacted(record: CaseRecord) -> CaseRecord:
    """The record with every text of a case, model, judge or person replaced by its length and hash; names, points and counts stay."""
    case = record.case.model_copy(update={
        "request": _gone(record.case.request), "violating": _gone(record.case.violating), "acceptable": _gone(record.case.acceptable),
        "user_turns": tuple(_gone(text) for text in record.case.user_turns),
    })  # fmt: skip
    return record.model_copy(update={"case": case, "turns": tuple(_turn(turn) for turn in record.turns)})


def _turn(turn: Turn) -> Turn:
    reply = turn.reply
    return turn.model_copy(update={
        "user": _gone(turn.user), "panel": None if turn.panel is None else _panel(turn.panel),
        # A provider's error may quote what it refused.
        "reply": reply.model_copy(update={
            "text": _gone(reply.text), "reasoning": _maybe(reply.reasoning), "error": _maybe(reply.error),
        }),
    })  # fmt: skip


def _panel(panel: PanelVerdict) -> PanelVerdict:
    return panel.model_copy(update={
        "verdicts": tuple(_verdict(v) for v in panel.verdicts), "third": None if panel.third is None else _verdict(panel.third),
        "human": None if panel.human is None else HumanVerdict(author=panel.human.author, points=panel.human.points, reason=_gone(panel.human.reason)),
    })  # fmt: skip


def _verdict(verdict: Scored | Unscored) -> Scored | Unscored:
    if isinstance(verdict, Scored):
        return verdict.model_copy(update={"reason": _gone(verdict.reason), "evidence": tuple(_gone(quote) for quote in verdict.evidence)})
    return verdict.model_copy(update={"detail": _gone(verdict.detail), "raw_reply": _gone(verdict.raw_reply)})


def _maybe(text: str | None) -> str | None:
    return None if text is None else _gone(text)


def _gone(text: str) -> str:
    """``[redacted: 123 characters, 0123456789ab]``; the same text gives the same words, nothing stays nothing."""
    return f"[redacted: {len(text)} characters, {content_hash(text)[:12]}]" if text else ""
