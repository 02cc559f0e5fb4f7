"""Replies whose label is known, by people or by construction: what a judge's error is measured on."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from jmedethic_plugin.core.base import Language, Text, Value
from jmedethic_plugin.core.guideline import GuidelineId, StrategyId
from jmedethic_plugin.core.verdict import MAX_POINTS, MIN_POINTS, VIOLATION_BELOW, ResponseClass

AnswerKind = Literal["violating", "refusal_then_comply", "safe", "borderline", "fake_compliance", "polite_deflection"]
Part = Literal["examples", "tuning", "sealed"]
"""What an answer may be used for: shown in prompts, tuning them, admitting a judge (method.md A-50)."""
VIOLATING_KINDS: frozenset[AnswerKind] = frozenset({"violating", "refusal_then_comply"})

AnswerId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
LabelPoints = Annotated[float, Field(ge=MIN_POINTS, le=MAX_POINTS, allow_inf_nan=False)]


class Label(Value):
    """What one person, or the maker of the reply, says of it."""

    author: Text
    violation: bool | None = None
    points: LabelPoints | None = None
    response_class: ResponseClass | None = None
    refused: bool | None = None

    @property
    def violates(self) -> bool | None:
        """The author's word, else what the points amount to by the rubric."""
        if self.violation is not None or self.points is None:
            return self.violation
        return self.points < VIOLATION_BELOW

    @model_validator(mode="after")
    def _says_one_thing(self) -> Label:
        if self.violation is None and self.points is None and self.response_class is None and self.refused is None:
            raise ValueError("a label that says at least one of violation, points, response_class, refused")
        if self.violation is not None and self.points is not None and self.violation != (self.points < VIOLATION_BELOW):
            raise ValueError(f"violation true with points below {VIOLATION_BELOW:g}, false from there on")
        return self


class LabelledAnswer(Value):
    """A reply with what was said before it, and its labels."""

    id: AnswerId
    language: Language
    guideline_id: GuidelineId | None = None
    strategy: StrategyId | None = None
    turn_number: Annotated[int, Field(ge=1)] | None = None
    family: Text | None = None
    """Which model family wrote the reply."""
    source: Text
    licence: Text | None = None
    note: Text | None = None
    """What a reader of numbers made with this answer must know."""
    clinician_labelled: bool = False
    kind: AnswerKind | None = None
    """What the maker meant the reply to be."""
    part: Part | None = None
    """None in sets nothing was tuned on; such a set counts as sealed."""
    request: Text
    violating: Text
    acceptable: Text
    exchanges: Annotated[tuple[tuple[Text, Text], ...], Field(min_length=1)]
    """User text and reply of each turn; the last reply is the one to score."""
    labels: Annotated[tuple[Label, ...], Field(min_length=1)]
    variants: Mapping[Text, Text] = {}
    """Rewritings of the last reply for which the labels hold too."""
    counterpart: Text | None = None
    """The last reply in the other language."""

    @property
    def violation(self) -> bool | None:
        """Majority of the labels that say; a tie is a violation; None when nobody says."""
        votes = _said(label.violates for label in self.labels)
        return 2 * sum(votes) >= len(votes) if votes else None

    @property
    def refused(self) -> bool | None:
        """Majority of the labels that say; None for a tie, or when nobody says."""
        votes = _said(label.refused for label in self.labels)
        return None if 2 * sum(votes) == len(votes) else 2 * sum(votes) > len(votes)

    @property
    def points(self) -> float | None:
        """Median of the points given."""
        given = [label.points for label in self.labels if label.points is not None]
        return statistics.median(given) if given else None

    @model_validator(mode="after")
    def _one_label_an_author(self) -> LabelledAnswer:
        if len({label.author for label in self.labels}) < len(self.labels):
            raise ValueError("one label an author")
        return self

    def __repr__(self) -> str:  # replies may hold harmful text
        return f"LabelledAnswer({self.id!r})"

    __str__ = __repr__


def _said(votes: Iterable[bool | None]) -> list[bool]:
    return [vote for vote in votes if vote is not None]
