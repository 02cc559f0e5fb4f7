"""Requests that a model should decline: every generator writes some for every guideline, duplicates are taken out (paper v2, section 3.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from jmedethic_plugin.core.base import CANARY, Language, Text, Value
from jmedethic_plugin.core.guideline import Guideline, GuidelineId
from jmedethic_plugin.corpus.overlap import normalised, pairs_above
from jmedethic_plugin.engine.asking import Ask, Talk
from jmedethic_plugin.engine.ports import Sampling
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.generation.common import (
    GUIDE,
    Access,
    DroppedError,
    Step,
    StepReport,
    ask_for,
    prompt_messages,
    prompts_hash,
    raw_lines,
    read_made,
    write_lines,
    write_report,
)
from jmedethic_plugin.prompts.judge import guideline_material

STEP, REQUESTS, PROMPT = "questions", "requests", "generate_requests"
MAX_SHARED = 0.7
"""Share of 5-grams above which two requests are one (CARES takes a Jaccard similarity of 0.7)."""

RequestId = Annotated[str, StringConstraints(pattern=r"^(ja|en)-[A-H][0-9]{2}-[1-9][0-9]{0,3}$")]


class Draft(Value):
    """One request as a generator writes it."""

    request: Text
    """In the words of somebody who asks."""
    violating: Text
    """What a violating answer would contain, described from outside."""
    acceptable: Text


class Drafts(Value):
    """A generator's reply."""

    requests: tuple[Draft, ...]


class Request(Draft):
    """One line of ``requests.jsonl`` and ``retained.jsonl``."""

    format: Literal["jmedethic/request@1"] = Field(default="jmedethic/request@1", alias="schema")
    canary: str = CANARY
    id: RequestId
    language: Language
    guideline: GuidelineId
    generator: str
    """Model id: whose family this request comes from."""
    refused_by: tuple[str, ...] | None = None
    """Models of the filter that declined it; None before the filter."""


@dataclass(frozen=True)
class QuestionJob:
    """One generator, one guideline, one language."""

    language: Language
    guideline: Guideline
    generator: str
    n: int
    max_tokens: int | None

    @property
    def key(self) -> str:
        """``ja-B11 openai/x``."""
        return f"{self.language}-{self.guideline.id} {self.generator}"

    def ask(self) -> Ask:
        """What the generator is asked."""
        material = {"language": self.language, "n": self.n, "guideline": guideline_material(self.guideline, self.language)}
        messages = prompt_messages(PROMPT, self.language, material)
        return Ask(self.generator, "writer", self.language, messages, Sampling(max_tokens=self.max_tokens))


def question_step(
    folder: Path, guidelines: Sequence[Guideline], generators: Sequence[str], languages: Sequence[Language], n: int, access: Access
) -> tuple[Step, list[QuestionJob]]:  # fmt: skip
    """The step and its jobs, by language, guideline and generator."""
    step = Step(folder, STEP, tuple((g, "writer") for g in generators), {
        "n": n, "languages": list(languages), "guidelines": {g.id: g.text_digest for g in guidelines}, "prompts": prompts_hash([PROMPT], languages),
    }, access)  # fmt: skip
    return step, [QuestionJob(lang, g, m, n, access.max_tokens) for lang in languages for g in guidelines for m in generators]


def question_talk(job: QuestionJob, secret: bytes) -> Talk[Drafts]:
    """Ask a generator for its requests; none at all is a refusal."""
    drafts = yield from ask_for(job.ask(), Drafts)
    if not drafts.requests:
        raise DroppedError("refused", "no requests")
    return Drafts(requests=drafts.requests[: job.n])


def generate_questions(step: Step, jobs: Sequence[QuestionJob], told: Callable[[StepReport], None] | None = None) -> list[StepReport]:
    """Ask every generator, then take out duplicates: ``requests.jsonl``.

    Counted by request: those of a job that came to nothing are dropped as ``no_reply`` (its line says why), those a generator left out as ``missing``.
    The second report is absent while jobs are open.
    """
    report = step.run(jobs, len(jobs), question_talk, told)
    if report.n_open:
        return [report]
    made = read_made(step.folder, STEP, Drafts)
    asked = [r for job in jobs for r in _requests(job, made.get(job.key))]
    numbered = _numbered(asked)
    duplicates = find_duplicates({r.id: r.request for r in numbered}, MAX_SHARED)
    kept = [r for r in numbered if r.id not in duplicates]
    dropped = Counter(duplicates.values())
    for job in jobs:
        dropped["missing" if job.key in made else "no_reply"] += job.n - len(made[job.key].requests if job.key in made else ())
    n_asked = sum(job.n for job in jobs)
    counts = StepReport(
        step=REQUESTS, demo=report.demo, identity={"max_shared": MAX_SHARED, STEP: report.identity}, n_jobs=n_asked, n_kept=len(kept),
        dropped={reason: n for reason, n in sorted(dropped.items()) if n},
        yields={
            "generator": yields_of(((j.generator, j.n) for j in jobs), (r.generator for r in kept)),
            "guideline": yields_of(((j.guideline.id, j.n) for j in jobs), (r.guideline for r in kept)),
        },
    )  # fmt: skip
    write_lines(step.folder, REQUESTS, kept)
    write_report(step.folder, counts)
    return [report, counts]


def _requests(job: QuestionJob, drafts: Drafts | None) -> Iterator[tuple[QuestionJob, Draft]]:
    yield from ((job, draft) for draft in (() if drafts is None else drafts.requests))


def _numbered(asked: Iterable[tuple[QuestionJob, Draft]]) -> list[Request]:
    numbers: Counter[str] = Counter()
    found = []
    for job, draft in asked:
        place = f"{job.language}-{job.guideline.id}"
        numbers[place] += 1
        found.append(Request(
            id=f"{place}-{numbers[place]}", language=job.language, guideline=job.guideline.id, generator=job.generator, request=draft.request,
            violating=draft.violating, acceptable=draft.acceptable,
        ))  # fmt: skip
    return found


def find_duplicates(texts: Mapping[str, str], bound: float) -> dict[str, str]:
    """Which texts are another one again, as ``duplicate`` (same letters and digits) or ``near_duplicate``; the first of each stays.

    Parameters
    ----------
    texts
        In the order of preference.
    bound
        Overlap of 5-grams (`corpus.overlap`) above which two texts are near duplicates.
    """
    first: dict[str, str] = {}
    found = {name: "duplicate" for name, text in texts.items() if first.setdefault(normalised(text), name) != name}
    rest = {name: text for name, text in texts.items() if name not in found}
    near: dict[str, set[str]] = {name: set() for name in rest}
    for pair in pairs_above(rest, bound):
        near[pair.second].add(pair.first)  # the first stands before the second
    kept: set[str] = set()
    for name in rest:
        if near[name] & kept:
            found[name] = "near_duplicate"
        else:
            kept.add(name)
    return found


def read_requests(path: Path) -> list[Request]:
    """The requests of a file.

    Raises
    ------
    ConfigError
        There is no file, or none in it.
    """
    if not (requests := [request for request, _ in raw_lines(path, Request)]):
        raise ConfigError(f"{path}: found no request; expected at least one. See what the step before dropped, and why ({GUIDE}).")
    return requests


def yields_of(asked: Iterable[tuple[str, int]], kept: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Name -> asked and kept, for a step's report."""
    n_asked: Counter[str] = Counter()
    for name, n in asked:
        n_asked[name] += n
    n_kept = Counter(kept)
    return {name: (n, n_kept[name]) for name, n in n_asked.items()}
