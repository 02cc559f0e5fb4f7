"""Drafts of cases in the other language, Japanese <-> English, each translated back to see how much of it comes home. For people to correct."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from jmedethic_plugin.core.base import Language, Text, Value
from jmedethic_plugin.core.case import N_TURNS
from jmedethic_plugin.core.guideline import Guideline
from jmedethic_plugin.corpus.jsonl import CaseLine, CaseSet, parse_line
from jmedethic_plugin.engine.asking import Ask, Talk
from jmedethic_plugin.engine.ports import Sampling
from jmedethic_plugin.generation.common import (
    Access,
    Step,
    StepReport,
    ask_for,
    prompt_messages,
    prompts_hash,
    read_made,
    values_hash,
    write_lines,
)

STEP, DRAFTS, PROMPT = "translate", "translated", "translate"
BOUND = 0.4
"""Similarity below which a draft is flagged: a place to begin, not calibrated on anything."""
_MAX_GRAM, _BETA = 6, 2.0


class CaseTexts(Value):
    """What of a case is translated."""

    request: Text
    violating: Text
    acceptable: Text
    turns: Annotated[tuple[Text, ...], Field(min_length=N_TURNS, max_length=N_TURNS)]

    @property
    def all(self) -> tuple[str, ...]:
        """Every text, in order."""
        return (self.request, self.violating, self.acceptable, *self.turns)


class Translated(Value):
    """What became of a case."""

    draft: CaseLine
    similarity: float
    """The lowest `chrf` of a text with its back-translation, 0 to 1."""


@dataclass(frozen=True)
class TranslateJob:
    """One case into the other language."""

    line: CaseLine
    translator: str
    back: str
    bound: float
    max_tokens: int | None

    @property
    def key(self) -> str:
        """The case's id."""
        return f"{self.line.language}-{self.line.guideline}-{self.line.id}"

    @property
    def language(self) -> Language:
        """Translated into."""
        return "en" if self.line.language == "ja" else "ja"

    @property
    def texts(self) -> CaseTexts:
        """Translated from."""
        line = self.line
        return CaseTexts(request=line.request, violating=line.violating, acceptable=line.acceptable, turns=line.turns)

    def ask(self, model: str, texts: CaseTexts, language: Language) -> Ask:
        """What a translator is asked."""
        messages = prompt_messages(PROMPT, language, texts.model_dump(mode="json"))
        return Ask(model, "writer", language, messages, Sampling(temperature=0.0, max_tokens=self.max_tokens))


def translate(job: TranslateJob, secret: bytes) -> Talk[Translated]:
    """There and back; the draft says in its source where it is from, that nobody read it, and how much came home."""
    there = yield from ask_for(job.ask(job.translator, job.texts, job.language), CaseTexts)
    home = yield from ask_for(job.ask(job.back, there, job.line.language), CaseTexts)
    similarity = min(chrf(text, again) for text, again in zip(job.texts.all, home.all, strict=True))
    flag = f", below {job.bound:g}: check the meaning" if similarity < job.bound else ""
    source = (
        f"machine translation by {job.translator} of {job.key}, unreviewed; similarity with the back-translation by {job.back} "
        f"{similarity:.2f}{flag}. The source: {job.line.source}"
    )
    return Translated(
        similarity=round(similarity, 4),
        draft=job.line.model_copy(update={
            "language": job.language, "request": there.request, "violating": there.violating, "acceptable": there.acceptable, "turns": there.turns, "source": source,
        }),
    )  # fmt: skip


def chrf(reference: str, hypothesis: str) -> float:
    """Character n-gram F-score, 0 to 1: n from 1 to 6, recall counted twice as much as precision, white space left out.

    Orders longer than either text are left out of the means.

    References
    ----------
    Popović (2015), chrF: character n-gram F-score for automatic MT evaluation, WMT15, 392-395.
    """
    precisions, recalls = [], []
    left, right = ("".join(text.split()) for text in (reference, hypothesis))
    for n in range(1, min(_MAX_GRAM, len(left), len(right)) + 1):
        ours, theirs = (Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (left, right))
        shared = (ours & theirs).total()
        precisions.append(shared / theirs.total())
        recalls.append(shared / ours.total())
    if not precisions or not sum(precisions):
        return 0.0
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall)


def read_lines(path: Path, guidelines: Mapping[str, Guideline]) -> list[CaseLine]:
    """Every case line of a set, checked like a set that is played."""
    CaseSet([path], guidelines)
    return [parse_line(raw, CaseLine, str(path)) for raw in path.read_bytes().splitlines() if raw.strip()]


def translate_step(
    folder: Path, lines: Sequence[CaseLine], translator: str, back: str, access: Access, *, bound: float = BOUND
) -> tuple[Step, list[TranslateJob]]:  # fmt: skip
    """The step and its jobs."""
    jobs = [TranslateJob(line, translator, back, bound, access.max_tokens) for line in lines]
    return Step(folder, STEP, tuple(dict.fromkeys(((translator, "writer"), (back, "writer")))), {
        "roles": [translator, back], "bound": bound, "cases": values_hash(lines),
        "prompts": prompts_hash([PROMPT], ["en", "ja"]),
    }, access), jobs  # fmt: skip


def translate_asks(jobs: Sequence[TranslateJob]) -> Iterator[tuple[Ask, float]]:
    """Every call; the draft is taken to be as long as its source."""
    for job in jobs:
        yield job.ask(job.translator, job.texts, job.language), 1.0
        yield job.ask(job.back, job.texts, job.line.language), 1.0


def translate_cases(
    step: Step, jobs: Sequence[TranslateJob], told: Callable[[StepReport], None] | None = None
) -> tuple[StepReport, dict[str, float]]:  # fmt: skip
    """Translate every case: ``translated.jsonl``, absent while jobs are open.

    Returns
    -------
    tuple
        The step's report, and the similarity of each flagged draft by the id of its source, lowest first.
    """
    report = step.run(jobs, len(jobs), translate, told)
    if report.n_open:
        return report, {}
    made = dict(read_made(step.folder, STEP, Translated))
    write_lines(step.folder, DRAFTS, (made[job.key].draft for job in jobs if job.key in made))
    low = {job.key: made[job.key].similarity for job in jobs if job.key in made and made[job.key].similarity < job.bound}
    return report, dict(sorted(low.items(), key=lambda item: item[1]))
