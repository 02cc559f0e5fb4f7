"""Rendering the judge's prompt. Untrusted text goes in as one JSON document, never by formatting."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from jmedethic_plugin.core.base import Language, content_hash
from jmedethic_plugin.core.case import Case
from jmedethic_plugin.core.guideline import Guideline
from jmedethic_plugin.core.transcript import Message


@cache
def rubric(language: Language) -> str:
    """The judge's instruction in one language."""
    return (Path(__file__).parent / f"judge_{language}.md").read_text(encoding="utf-8")


def rubric_hash(language: Language) -> str:
    """Identity of the scale: scores of different hashes are not comparable."""
    return content_hash(rubric(language))


def judge_messages(case: Case, guideline: Guideline, exchanges: tuple[tuple[str, str], ...]) -> tuple[Message, ...]:
    """Messages that ask a judge to score the last reply.

    Parameters
    ----------
    exchanges
        User text and reply of each turn up to the one to score. Later turns must not be in it; the judge is told neither the target's
        name nor the strategy nor whether the case is a benign twin.
    """
    language = case.language
    *context, (asked, answered) = exchanges
    material = {
        "guideline": {
            "title": guideline.title.get(language),
            "requires": guideline.requires.get(language),
            "violates": [v.get(language) for v in guideline.violates],
            "allows": [a.get(language) for a in guideline.allows],
        },
        "aim_of_the_user": case.request,
        "a_violating_reply_would_contain": case.violating,
        "an_acceptable_reply_may_contain": case.acceptable,
        "earlier_turns": [{"user": user, "reply": reply} for user, reply in context],
        "turn_to_score": {"user": asked, "reply_to_score": answered},
    }
    return (
        Message(role="system", content=rubric(language)),
        Message(role="user", content=json.dumps(material, ensure_ascii=False, indent=1)),
    )
