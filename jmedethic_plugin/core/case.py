"""Cases: a guideline x strategy conversation, or its benign twin; user turns only."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, StringConstraints, model_validator

from jmedethic_plugin.core.base import Bilingual, Language, Text, Value, content_hash
from jmedethic_plugin.core.guideline import STRATEGY_IDS, CatalogueStrategyId, Category, GuidelineId, StrategyId
from jmedethic_plugin.core.review import IsoDate, Reviewed, ReviewStatus

N_TURNS = 3

Kind = Literal["adversarial", "benign"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TwinLevel = Literal["clear", "boundary", "hard"]
TWIN_LEVELS: tuple[TwinLevel, ...] = get_args(TwinLevel)
Role = Literal[
    "physician", "resident", "nurse", "other_staff", "administrator", "student", "researcher", "family", "patient", "writer",
    "journalist", "business",
]  # fmt: skip
Authority = Literal["none", "own_profession", "superior", "institution", "academic", "family"]
Politeness = Literal["plain", "desu_masu", "keigo"]
Setting = Literal[
    "clinic", "ward", "emergency", "intensive_care", "care_home", "home", "university", "laboratory", "office", "community",
]  # fmt: skip
Severity = Literal["mild", "moderate", "severe"]

# Part of a node id, of file names and of ledger keys: ASCII, no separators that a path or pytest could read.
EntryId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,47}-[1-9][0-9]{0,3}$")]
CaseId = Annotated[str, StringConstraints(pattern=r"^(ja|en)-[A-H][0-9]{2}-[a-z][a-z0-9_]{0,47}-[1-9][0-9]{0,3}$")]


class Factors(Value):
    """Who speaks, from where, how: recorded so that effects can be analysed."""

    role: Role
    authority: Authority
    """What the speaker claims as backing."""
    politeness: Politeness
    """Level of the Japanese text; the English keeps the register."""
    setting: Setting
    severity: Severity
    """Harm if the request were fulfilled."""


class CaseEntry(Reviewed):
    """One conversation as it stands in a case file, both languages side by side."""

    id: EntryId
    kind: Kind
    strategy: CatalogueStrategyId | None = None
    twin: TwinLevel | None = None
    twin_of: EntryId | None = None
    expected: Literal["answer", "answer_with_caution"] | None = None
    emergency: bool = False
    """A bare refusal would itself do harm."""
    factors: Factors
    request: Bilingual
    violating: Bilingual
    """What a violating answer would contain, described from outside."""
    acceptable: Bilingual
    turns: Annotated[tuple[Bilingual, ...], Field(min_length=N_TURNS, max_length=N_TURNS)]

    @property
    def group(self) -> str:
        """Strategy of an adversarial case, ``benign_<level>`` of a twin."""
        return self.strategy if self.strategy is not None else f"benign_{self.twin}"

    @model_validator(mode="after")
    def _fits_its_kind(self) -> CaseEntry:
        twin_only = {"twin": self.twin, "twin_of": self.twin_of, "expected": self.expected}
        if self.kind == "adversarial":
            if self.strategy is None:
                raise ValueError("an adversarial case needs 'strategy'")
            if extra := [name for name, value in twin_only.items() if value is not None]:
                raise ValueError(f"an adversarial case has no {', '.join(extra)}")
        else:
            if self.strategy is not None:
                raise ValueError("a benign case has no 'strategy'; it names its adversarial twin in 'twin_of'")
            if missing := [name for name, value in twin_only.items() if value is None]:
                raise ValueError(f"a benign case needs {', '.join(missing)}")
        if self.id.rsplit("-", 1)[0] != self.group:
            raise ValueError(f"the id must begin with {self.group!r}, the case's strategy or twin level")
        return self


class Provenance(Value):
    """Where the texts of a case file come from."""

    method: Text
    english: Literal["translated_by_meaning", "written_with_the_japanese", "machine_translated"]
    """How the English counterparts came about."""
    date: IsoDate


class CaseFile(Value):
    """``cases/<category>/<guideline>.yaml``."""

    format: Literal["jmedethic/cases@1"] = Field(alias="schema")
    canary: Literal["d6c54382-d4d8-4611-8792-872d2d0d0e66"]
    guideline: GuidelineId
    provenance: Provenance
    cases: Annotated[tuple[CaseEntry, ...], Field(min_length=1)]


class Case(Value):
    """One conversation in one language, ready to be played."""

    id: CaseId
    language: Language
    kind: Kind
    category: Category
    guideline_id: GuidelineId
    group: Text
    """Strategy id, or ``benign_clear`` / ``benign_boundary`` / ``benign_hard``."""
    strategy: StrategyId | None
    twin_of: CaseId | None
    expected: Literal["answer", "answer_with_caution"] | None
    emergency: bool
    critical: bool
    """Adversarial case of a critical guideline."""
    factors: Factors | None
    """None where a generated or external set does not record them."""
    request: Text
    violating: Text
    acceptable: Text
    user_turns: Annotated[tuple[Text, ...], Field(min_length=N_TURNS, max_length=N_TURNS)]
    review_status: ReviewStatus

    @classmethod
    def from_entry(cls, entry: CaseEntry, *, guideline_id: str, category: Category, critical: bool, language: Language) -> Case:
        """One language of a file's entry."""
        return cls(
            id=case_id(language, guideline_id, entry.id),
            language=language,
            kind=entry.kind,
            category=category,
            guideline_id=guideline_id,
            group=entry.group,
            strategy=entry.strategy,
            twin_of=None if entry.twin_of is None else case_id(language, guideline_id, entry.twin_of),
            expected=entry.expected,
            emergency=entry.emergency,
            critical=critical and entry.kind == "adversarial",
            factors=entry.factors,
            request=entry.request.get(language),
            violating=entry.violating.get(language),
            acceptable=entry.acceptable.get(language),
            user_turns=tuple(turn.get(language) for turn in entry.turns),
            review_status=entry.review_status,
        )

    @cached_property
    def digest(self) -> str:
        """Hash of what a run depends on: everything but the review status."""
        return content_hash(self.model_dump(mode="json", exclude={"review_status"}))

    @property
    def sort_key(self) -> tuple[Any, ...]:
        """Order of cases everywhere: language (ja first), guideline, strategies before twins, number."""
        return case_sort_key(self.language, self.guideline_id, self.group, self.id)

    def __repr__(self) -> str:  # the texts must not reach a console through a traceback
        return f"Case({self.id!r})"

    __str__ = __repr__


BENIGN_GROUPS = tuple(f"benign_{level}" for level in TWIN_LEVELS)
_GROUP_ORDER: dict[str, int] = {group: n for n, group in enumerate((*STRATEGY_IDS, "", *BENIGN_GROUPS))}


def case_sort_key(language: Language, guideline_id: str, group: str, case: str) -> tuple[bool, str, int, str, int]:
    """Running order: language (ja first), guideline, strategies before twins (the catalogue's first), number."""
    return language != "ja", guideline_id, _GROUP_ORDER.get(group, _GROUP_ORDER[""]), group, int(case.rsplit("-", 1)[1])


def case_id(language: Language, guideline_id: str, entry_id: str) -> str:
    """``ja-B11-fiction_layered_authority-1``."""
    return f"{language}-{guideline_id}-{entry_id}"


def item_id(case: str, repeat: int) -> str:
    """What is played and reported as one: a case, and which repeat of it from the second on (``...-1-r2``)."""
    return case if repeat == 1 else f"{case}-r{repeat}"


def split_item_id(item: str) -> tuple[str, int]:
    """Case id and repeat of an item."""
    head, _, last = item.rpartition("-")
    return (head, int(last[1:])) if re.fullmatch(r"r[0-9]+", last) and kind_of(item) != "exam" else (item, 1)


EXAM_PREFIX = "exam-"
"""Begins the id of an exam question; a question is asked once."""


def kind_of(case: str) -> Kind | Literal["exam"]:
    """Kind of a case or item, read from its id."""
    if case.startswith(EXAM_PREFIX):
        return "exam"
    return "benign" if case.split("-")[2].startswith("benign_") else "adversarial"
