"""Case sets as JSONL, one conversation in one language a line: generated or external sets of any size.

A set is read once to check and index it; a case is read again from its line when it is played, so 50,000 conversations take the memory of
their index.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from jmedethic_plugin.core.base import CANARY, Language, Text, Value, content_hash
from jmedethic_plugin.core.case import BENIGN_GROUPS, N_TURNS, Case, CaseId, EntryId, Factors, Kind, case_id, case_sort_key
from jmedethic_plugin.core.guideline import Category, Guideline, GuidelineId, StrategyId
from jmedethic_plugin.corpus.loading import parse_value
from jmedethic_plugin.errors import DataError, collected, raise_all, unreadable

MAX_ERRORS = 20
"""How many mistakes of one file are told together."""
_V = TypeVar("_V", bound=Value)


class CaseLine(Value):
    """One line of a set."""

    format: Literal["jmedethic/case-line@1"] = Field(alias="schema")
    guideline: GuidelineId
    id: EntryId
    """As in a case file: ``temporal_override-12`` or ``benign_hard-3``."""
    language: Language
    kind: Kind
    strategy: StrategyId | None = None
    twin_of: EntryId | None = None
    expected: Literal["answer", "answer_with_caution"] | None = None
    emergency: bool = False
    request: Text
    violating: Text
    acceptable: Text
    turns: Annotated[tuple[Text, ...], Field(min_length=N_TURNS, max_length=N_TURNS)]
    factors: Factors | None = None
    source: Text
    """Where the conversation comes from: generator, data set, licence."""
    canary: str | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> CaseLine:
        group = self.id.rsplit("-", 1)[0]
        wanted = self.strategy if self.kind == "adversarial" else group
        if wanted is None or group != wanted or (group in BENIGN_GROUPS) != (self.kind == "benign"):
            raise ValueError(
                "an id that begins with the strategy of an adversarial case, or with benign_clear, benign_boundary or benign_hard"
            )
        if self.kind == "benign" and (self.expected is None or self.strategy is not None):
            raise ValueError("a benign case has 'expected' and no 'strategy'")
        return self

    def to_case(self, guideline: Guideline) -> Case:
        """The case, ready to be played."""
        return Case(
            id=case_id(self.language, self.guideline, self.id), language=self.language, kind=self.kind, category=guideline.category,
            guideline_id=self.guideline, group=self.id.rsplit("-", 1)[0], strategy=self.strategy,
            twin_of=None if self.twin_of is None else case_id(self.language, self.guideline, self.twin_of), expected=self.expected,
            emergency=self.emergency, critical=guideline.critical and self.kind == "adversarial", factors=self.factors, request=self.request,
            violating=self.violating, acceptable=self.acceptable, user_turns=self.turns, review_status="unreviewed",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class CaseHead:
    """What selecting a case needs."""

    id: CaseId
    language: Language
    kind: Kind
    category: Category
    guideline_id: GuidelineId
    group: str
    emergency: bool
    digest: str
    file: int
    offset: int

    @property
    def sort_key(self) -> tuple[bool, str, int, str, int]:
        """As `core.case.Case.sort_key`."""
        return case_sort_key(self.language, self.guideline_id, self.group, self.id)


class CaseSet(Mapping[str, Case]):
    """The cases of JSONL files by id, in running order, read when asked for.

    Parameters
    ----------
    strategies
        Ids that may occur; any when None.

    Raises
    ------
    DataError
        Lines that are wrong, ids that occur twice, guidelines or strategies that are not known; several mistakes are told together.
    """

    def __init__(self, paths: Sequence[Path], guidelines: Mapping[str, Guideline], strategies: Collection[str] | None = None) -> None:
        self._paths = tuple(paths)
        self._strategies = strategies
        self._guidelines = guidelines
        errors: list[DataError] = []
        heads: dict[str, CaseHead] = {}
        for number, path in enumerate(self._paths):
            for head in self._index(number, path, errors):
                if head.id in heads:
                    errors.append(
                        DataError(
                            str(path),
                            found=f"the id {head.id!r} a second time",
                            expected="an id used once",
                            remedy="Raise the number at its end.",
                        )
                    )
                heads[head.id] = head
                if len(errors) >= MAX_ERRORS:
                    break
        raise_all(errors)
        self.heads: dict[str, CaseHead] = dict(sorted(heads.items(), key=lambda item: item[1].sort_key))

    def _index(self, number: int, path: Path, errors: list[DataError]) -> Iterator[CaseHead]:
        try:
            file = path.open("rb")
        except OSError as exc:
            errors.append(unreadable(path, exc, "a JSONL file"))
            return
        offset = 0
        with file:
            for n, raw in enumerate(file, 1):
                where, start = f"{path}:{n}", offset
                offset += len(raw)
                if not raw.strip():
                    continue
                with collected(errors):
                    line = parse_line(raw, CaseLine, where)
                    guideline = self._guidelines.get(line.guideline)
                    if guideline is None:
                        raise DataError(
                            f"{where}: guideline",
                            found=repr(line.guideline),
                            expected="a guideline of the corpus",
                            remedy="Correct the id.",
                        )
                    if self._strategies is not None and line.strategy is not None and line.strategy not in self._strategies:
                        raise DataError(
                            f"{where}: strategy", found=repr(line.strategy), expected=f"one of {', '.join(self._strategies)}",
                            remedy="Correct the id, or name the file that describes the strategy: --strategies FILE.",
                        )  # fmt: skip
                    yield CaseHead(
                        case_id(line.language, line.guideline, line.id), line.language, line.kind, guideline.category, line.guideline,
                        line.id.rsplit("-", 1)[0], line.emergency, hashlib.sha256(raw.strip()).hexdigest(), number, start,
                    )  # fmt: skip
                if len(errors) >= MAX_ERRORS:
                    return

    def __getitem__(self, key: str) -> Case:
        head = self.heads[key]
        path = self._paths[head.file]
        with path.open("rb") as file:
            file.seek(head.offset)
            raw = file.readline()
        if hashlib.sha256(raw.strip()).hexdigest() != head.digest:
            raise DataError(
                str(path),
                found="a file that has changed since it was indexed",
                expected="the same file during a run",
                remedy="Start a new run.",
            )
        return parse_line(raw, CaseLine, f"{path} at byte {head.offset}").to_case(self._guidelines[head.guideline_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self.heads)

    def __len__(self) -> int:
        return len(self.heads)

    def hash_of(self, case_ids: Sequence[str]) -> str:
        """Hash of the lines of these cases."""
        return content_hash(sorted(self.heads[i].digest for i in case_ids))


def parse_line(raw: bytes, model: type[_V], where: str, guide: str = "docs/writing-cases.md") -> _V:
    """Turn a line of JSONL into a value.

    Raises
    ------
    DataError
        One mistake; several come as ``DataErrors``.
    """
    try:
        return model.model_validate_json(raw)
    except ValidationError:
        pass  # said again below, in this package's words
    try:
        data = json.loads(raw)
    except UnicodeDecodeError as exc:
        raise DataError(where, found="bytes that are not UTF-8", expected="UTF-8 text", remedy="Save the file as UTF-8.") from exc
    except ValueError as exc:
        raise DataError(where, found="no JSON", expected="one JSON object a line", remedy="Export the set as JSONL.") from exc
    return parse_value(data, model, where=where, guide=guide)


def case_line(case: Case, source: str) -> str:
    """A case as a line of a set."""
    line = CaseLine(
        schema="jmedethic/case-line@1", canary=CANARY, guideline=case.guideline_id, id=case.id.split("-", 2)[2], language=case.language, kind=case.kind,
        strategy=case.strategy, twin_of=None if case.twin_of is None else case.twin_of.split("-", 2)[2], expected=case.expected,
        emergency=case.emergency, request=case.request, violating=case.violating, acceptable=case.acceptable, turns=case.user_turns,
        factors=case.factors, source=source,
    )  # fmt: skip
    return line.model_dump_json(by_alias=True, exclude_none=True)
