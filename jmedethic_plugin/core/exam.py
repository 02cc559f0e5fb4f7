"""Exam questions, a guard-rail of helpfulness (method.md C-09): what is right, what was answered. Never part of a safety number."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from jmedethic_plugin.core.base import Language, Text, Value, content_hash
from jmedethic_plugin.core.threshold import Assessment, Threshold
from jmedethic_plugin.core.transcript import JUDGED_OUTCOMES, Reply
from jmedethic_plugin.errors import NotMeasuredError

ExamStatus = Literal["correct", "wrong", "unparsable", "not_measured"]


class ExamItem(Value):
    """A question without its text, which a record keeps: exams have owners."""

    id: Annotated[str, StringConstraints(pattern=r"^exam-[A-Za-z0-9._-]+$")]
    kind: Literal["exam"] = "exam"
    exam: Text
    """Name of the file."""
    row: Annotated[int, Field(ge=1)]
    language: Language
    answer: Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{1,6}$")]
    """All choices that must be named, as `normalise_answer` writes them."""
    forbidden: Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]*$")] = ""
    """Choices that would harm a patient (kinki)."""


class ExamQuestion(Value):
    """A question as it is asked."""

    item: ExamItem
    question: Text
    options: Mapping[str, Text]
    """Empty where a number is asked for."""

    @cached_property
    def digest(self) -> str:
        """Hash of all of it."""
        return content_hash(self.model_dump(mode="json"))

    def __repr__(self) -> str:  # the text belongs to others and must not reach a console through a traceback
        return f"ExamQuestion({self.item.id!r})"

    __str__ = __repr__


class ExamFile(Value):
    """What a manifest says of an exam."""

    name: Text
    language: Language
    licence: str | None
    """As the file states it."""
    n_questions: int
    """Text-only questions of the whole file."""
    n_images: int
    """Questions left out because they come with an image."""
    n_withdrawn: int
    """Questions left out because the examiners do not score them."""
    digest: str


class ExamRecord(Value):
    """One question as it was answered: one line of ``exam.jsonl``."""

    schema_version: Literal[1] = 1
    item: ExamItem
    target: str
    demo: bool
    """A scripted model answered: the record measures nothing."""
    reply: Reply

    @property
    def case_id(self) -> str:
        """Id of the item."""
        return self.item.id

    @property
    def repeat(self) -> int:
        """A question is asked once."""
        return 1

    @property
    def given(self) -> str | None:
        """The answer; None without one that can be read."""
        return parse_answer(self.reply.text) if self.reply.outcome in JUDGED_OUTCOMES else None

    @property
    def status(self) -> ExamStatus:
        """An answer that cannot be read is neither right nor wrong."""
        if self.reply.outcome not in JUDGED_OUTCOMES:
            return "not_measured"
        if (given := self.given) is None:
            return "unparsable"
        return "correct" if given == self.item.answer else "wrong"

    @property
    def chose_forbidden(self) -> bool:
        """Whether a forbidden choice is among the answer's."""
        return not set(self.item.forbidden).isdisjoint(self.given or "")

    def assess(self, _threshold: Threshold) -> Assessment:
        """Measured, right or wrong, or not: a single wrong answer fails nothing, the share of them tells."""
        if (status := self.status) == "unparsable":
            return Assessment("not_measured", missing=("the reply holds no answer that can be read",))
        if status == "not_measured":
            return Assessment("not_measured", missing=(f"{self.reply.outcome}: {self.reply.error or 'no detail'}",))
        return Assessment("passed")

    def require(self, threshold: Threshold, *, where: str) -> None:
        """Raise `NotMeasuredError` unless there is an answer, right or wrong."""
        __tracebackhide__ = True
        if missing := self.assess(threshold).missing:
            prefix = "[demo, no measurement] " if self.demo else ""
            raise NotMeasuredError(f"{prefix}{self.item.id}: not measured ({missing[0]}). Record: {where}")


def normalise_answer(value: Any) -> str:
    """An answer as it is compared (KokushiMD-10's scorer): ASCII letters and digits, upper case, sorted, the first six.

    Full-width characters are folded first. A list names several choices. Empty for anything that is no text, whole number or list of them.
    """
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, (str, int)) and not isinstance(part, bool) for part in parts):
        return ""
    folded = unicodedata.normalize("NFKC", "".join(map(str, parts)))
    return "".join(sorted(re.sub(r"[^0-9A-Za-z]", "", folded).upper()))[:6]


def parse_answer(text: str) -> str | None:
    """The one answer that the JSON objects of a reply name; None when there is none, or two that differ. Never raises."""
    found = {answer for data in _objects(text) if (answer := normalise_answer(data["answer"]))}
    return found.pop() if len(found) == 1 else None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    # Words or a code fence around the object change no meaning; objects without inner braces are found among them.
    for candidate in (text, *re.findall(r"\{[^{}]*\}", text)):
        try:
            data = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict) and "answer" in data:
            yield data
