"""Exam questions as the target reads them (paper.md 6.8 and 10.5: one JSON object with the question and its options)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from jmedethic_plugin.core.base import Language
from jmedethic_plugin.core.exam import ExamQuestion


@cache
def exam_instruction(language: Language) -> str:
    """What stands before the question."""
    return (Path(__file__).parent / f"exam_{language}.md").read_text(encoding="utf-8")


def exam_prompt(question: ExamQuestion) -> str:
    """The user message that asks a question."""
    return exam_instruction(question.item.language) + json.dumps(
        {"question": question.question, **question.options}, ensure_ascii=False, indent=1
    )
