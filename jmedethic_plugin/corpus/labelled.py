"""Labelled answers from disk: JSONL, one answer a line, and the starter folder of YAML files written beside the cases."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from jmedethic_plugin.core.base import CANARY, LANGUAGES, Bilingual, Text, Value
from jmedethic_plugin.core.case import N_TURNS, Case, case_id
from jmedethic_plugin.core.guideline import CatalogueStrategyId
from jmedethic_plugin.core.labelled import VIOLATING_KINDS, AnswerKind, Label, LabelledAnswer, LabelPoints
from jmedethic_plugin.core.verdict import REFUSALS, VIOLATION_BELOW, ResponseClass
from jmedethic_plugin.corpus.jsonl import MAX_ERRORS, parse_line
from jmedethic_plugin.corpus.loading import Corpus, read_source
from jmedethic_plugin.errors import DataError, collected, raise_all, unreadable

GUIDE = "docs/judges.md"
_Found = Iterator[tuple[str, list[LabelledAnswer]]]
"""Place of an id, and the answers that stand or fall with it."""


class LabelledLine(LabelledAnswer):
    """One line of a labelled set."""

    format: Literal["jmedethic/labelled-answer@1"] = Field(alias="schema")
    canary: str | None = None

    def to_answer(self) -> LabelledAnswer:
        """The answer without what belongs to the file."""
        return LabelledAnswer.model_construct(**{name: getattr(self, name) for name in LabelledAnswer.model_fields})


class StarterReply(Value):
    """A reply written to be of a kind, in both languages."""

    kind: AnswerKind
    points: LabelPoints
    response_class: ResponseClass
    text: Bilingual
    variants: Mapping[Text, Bilingual] = {}

    @model_validator(mode="after")
    def _is_of_its_kind(self) -> StarterReply:
        violates = self.kind in VIOLATING_KINDS
        if violates != (self.points < VIOLATION_BELOW) or violates != (self.response_class == "harmful"):
            raise ValueError(
                f"class harmful and points below {VIOLATION_BELOW:g} for {' and '.join(sorted(VIOLATING_KINDS))}, neither for other kinds"
            )
        return self


class StarterConversation(Value):
    """Replies to the user turns of one case."""

    scene: Text
    """``B11-temporal_override-1``: the case's id without its language."""
    replies: Annotated[tuple[StarterReply, ...], Field(min_length=N_TURNS, max_length=N_TURNS)]


class StarterFile(Value):
    """``judges/starter/<strategy>.yaml``."""

    format: Literal["jmedethic/judge-starter@1"] = Field(alias="schema")
    canary: Literal["d6c54382-d4d8-4611-8792-872d2d0d0e66"]
    strategy: CatalogueStrategyId
    conversations: Annotated[tuple[StarterConversation, ...], Field(min_length=1)]


def load_labelled(path: Path, corpus: Corpus) -> list[LabelledAnswer]:
    """Read a labelled set.

    Parameters
    ----------
    path
        A JSONL file, or the starter set: its folder of YAML files or one of them.
    corpus
        Holds the guidelines a set names and the cases the starter set answers.

    Raises
    ------
    DataError
        What is wrong, with file, line and field; several mistakes are told together.
    """
    errors: list[DataError] = []
    found: _Found
    if path.is_dir():
        files = sorted(path.glob("*.yaml"))
        found = itertools.chain.from_iterable(_starter(file, corpus, errors) for file in files)
    else:
        found = (_starter if path.suffix == ".yaml" else _lines)(path, corpus, errors)
    answers: dict[str, LabelledAnswer] = {}
    places: dict[str, str] = {}
    for place, group in found:
        if (first := group[0].id) in answers:
            errors.append(DataError(
                place, found=f"{first!r} a second time (first in {places[first]})", expected="an id used once",
                remedy="Remove one, or give it an id of its own.",
            ))  # fmt: skip
        for answer in group:
            answers[answer.id] = answer
            places[answer.id] = place
    raise_all(errors)
    if not answers:
        raise DataError(str(path), found="no labelled answer", expected="JSONL, or a folder of YAML files", remedy=f"See {GUIDE}.")
    return list(answers.values())


def labelled_line(answer: LabelledAnswer) -> str:
    """An answer as a line of a set."""
    fields = {name: getattr(answer, name) for name in LabelledAnswer.model_fields}
    return LabelledLine(schema="jmedethic/labelled-answer@1", canary=CANARY, **fields).model_dump_json(by_alias=True, exclude_none=True)


def _lines(path: Path, corpus: Corpus, errors: list[DataError]) -> _Found:
    try:
        file = path.open("rb")
    except OSError as exc:
        raise unreadable(path, exc, "a JSONL file") from exc
    with file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            where = f"{path}:{number}"
            with collected(errors):
                answer = parse_line(raw, LabelledLine, where, GUIDE).to_answer()
                if answer.guideline_id is not None and answer.guideline_id not in corpus.guidelines:
                    raise DataError(
                        f"{where}: guideline_id", found=repr(answer.guideline_id), expected="a guideline of the corpus",
                        remedy="Correct it or leave it out.",
                    )  # fmt: skip
                yield f"{where}: id", [answer]
            if len(errors) >= MAX_ERRORS:
                return


def _starter(path: Path, corpus: Corpus, errors: list[DataError]) -> _Found:
    with collected(errors):
        file = read_source(path, StarterFile, GUIDE)
        for index, conversation in enumerate(file.value.conversations):
            place = f"{file.place('conversations', index, 'scene')}: conversations[{index}].scene"
            with collected(errors):
                cases = _scene(conversation.scene, file.value.strategy, corpus, place)
                yield place, [answer for case in cases for answer in _answers(conversation, case)]


def _scene(scene: str, strategy: CatalogueStrategyId, corpus: Corpus, place: str) -> list[Case]:
    """The case in each language."""
    guideline, _, entry = scene.partition("-")
    cases = [case for language in LANGUAGES if (case := corpus.cases.get(case_id(language, guideline, entry))) is not None]
    if not cases or cases[0].strategy != strategy:
        known = [case.id.partition("-")[2] for case in corpus.cases.values() if case.strategy == strategy]
        near = difflib.get_close_matches(scene, known, n=1)
        raise DataError(place, found=repr(scene), expected=f"the id, without its language, of a case of {strategy}",
                        remedy=f"Did you mean {near[0]!r}?" if near else "Correct the id.")  # fmt: skip
    return cases


def _answers(conversation: StarterConversation, case: Case) -> Iterator[LabelledAnswer]:
    other = next(language for language in LANGUAGES if language != case.language)
    exchanges = tuple(zip(case.user_turns, (reply.text.get(case.language) for reply in conversation.replies), strict=True))
    for turn, reply in enumerate(conversation.replies, 1):
        yield LabelledAnswer(
            id=f"{case.id}-t{turn}", language=case.language, guideline_id=case.guideline_id, strategy=case.strategy, turn_number=turn,
            source="jmedethic/judge-starter@1", licence="CC-BY-4.0", kind=reply.kind, request=case.request, violating=case.violating,
            acceptable=case.acceptable, exchanges=exchanges[:turn],
            labels=(Label(
                author="construction", violation=reply.kind in VIOLATING_KINDS, points=reply.points, response_class=reply.response_class,
                refused=reply.response_class in REFUSALS,
            ),),
            variants={name: text.get(case.language) for name, text in reply.variants.items()}, counterpart=reply.text.get(other),
        )  # fmt: skip
