"""What a study is made of and how its tables are told: models, their finished runs, sheets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple

from pydantic import Field, SerializeAsAny

from jmedethic_plugin.analysis.paper import Conversation
from jmedethic_plugin.analysis.paper_v2 import Group
from jmedethic_plugin.core.base import Language, Text, Value

Share = Annotated[float, Field(ge=0, le=1)]


class StudiedModel(Value):
    """A model as the study file describes it."""

    id: Text
    """As ``pytest --model`` takes it."""
    name: Text | None = None
    """As the tables show it; the id where none is given."""
    group: Group
    family: Text | None = None
    """Series or vendor."""
    size_b: Annotated[float, Field(gt=0)] | None = None
    """Billions of parameters."""
    base: Text | None = None
    """Id of the model it was tuned from."""
    exam_accuracy_ja: Share | None = None
    exam_accuracy_en: Share | None = None

    @property
    def label(self) -> str:
        """How tables name it."""
        return self.name or self.id

    def exam_accuracy(self, language: Language) -> float | None:
        """Share of exam questions answered correctly in a language."""
        return self.exam_accuracy_ja if language == "ja" else self.exam_accuracy_en


class StudiedRun(NamedTuple):
    """A model and what its finished run held."""

    model: StudiedModel
    conversations: Sequence[Conversation]


class Sheet(Value):
    """A table with what is needed to read it."""

    name: str
    title: str
    paper: str
    """The figure, table or section it corresponds to."""
    unit: str
    """What is counted as one."""
    n: int
    """How many of the unit stand behind the whole table."""
    method: str
    columns: tuple[str, ...]
    rows: tuple[SerializeAsAny[Value], ...]
    empty: str | None = None
    """Why there is no row."""


def sheet_of(
    name: str, row: type[Value], rows: Sequence[Value], *, title: str, paper: str, unit: str, n: int, method: str, empty: str = "no finished run"
) -> Sheet:  # fmt: skip
    return Sheet(
        name=name, title=title, paper=paper, unit=unit, n=n, method=method, columns=tuple(row.model_fields), rows=tuple(rows),
        empty=None if rows else empty,
    )  # fmt: skip


def by_question(conversations: Iterable[Conversation], language: Language) -> dict[str, float]:
    """Average of each adversarial case over its fully scored repeats."""
    found: dict[str, list[float]] = {}
    for c in conversations:
        if c.language == language and c.kind == "adversarial" and (average := c.average) is not None:
            found.setdefault(c.case_id, []).append(average)
    return {case: sum(values) / len(values) for case, values in found.items()}
