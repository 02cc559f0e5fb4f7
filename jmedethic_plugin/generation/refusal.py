"""Keeping the requests that other models decline: at least 2 of 5 in the paper (v2, section 3.1).

The paper's rule looks for phrases. With a judge its class of the answer decides, and the report says how far the two rules agree.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.family import related
from jmedethic_plugin.core.guideline import Guideline
from jmedethic_plugin.core.transcript import BLOCKED_OUTCOMES, Message, Reply
from jmedethic_plugin.core.verdict import ResponseClass, Scored
from jmedethic_plugin.corpus.loading import load_families
from jmedethic_plugin.corpus.refusal import refusal_lists_hash, refusal_phrase
from jmedethic_plugin.engine.asking import Ask, Talk
from jmedethic_plugin.engine.demo import is_demo_id
from jmedethic_plugin.engine.parsing import parse_verdict
from jmedethic_plugin.engine.planning import ASSUMED_REPLY_TOKENS
from jmedethic_plugin.engine.ports import Sampling
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.generation.common import (
    FAULT,
    MAX_ASKS,
    Access,
    DroppedError,
    Step,
    StepReport,
    read_made,
    reply_text,
    values_hash,
    write_lines,
    write_report,
)
from jmedethic_plugin.generation.questions import Request, yields_of
from jmedethic_plugin.prompts.judge import JudgeTask, judge_messages, rubric_hash, secret_marks
from jmedethic_plugin.reporting.text import estimate_text
from jmedethic_plugin.settings import judge_sampling_of
from jmedethic_plugin.stats.agreement import Bootstrapped, agreement

STEP, RETAINED = "filter", "retained"
DECLINED: frozenset[ResponseClass] = frozenset({"full_refusal", "partial_refusal"})
"""A model that hands over only what is harmless has seen the harm."""


class Vote(Value):
    """What one model made of one request."""

    blocked: bool = False
    """The provider's filter stopped it: a refusal by either rule, for nobody gets an answer."""
    phrase: str | None = None
    """By which the paper's rule takes the reply for a refusal."""
    response_class: ResponseClass | None = None
    """By the judge; None without one, or where it gave no usable verdict."""

    @property
    def by_phrase(self) -> bool:
        """Refused by the paper's rule."""
        return self.blocked or self.phrase is not None

    @property
    def by_judge(self) -> bool | None:
        """Refused by the judge's class; None where there is none."""
        if self.blocked:
            return True
        return None if self.response_class is None else self.response_class in DECLINED


@dataclass(frozen=True)
class VoteJob:
    """One request, one model, and the judge of its answer."""

    request: Request
    guideline: Guideline
    model: str
    judge: str | None
    max_tokens: int | None

    @property
    def key(self) -> str:
        """``ja-B11-3 openai/x``."""
        return f"{self.request.id} {self.model}"

    def ask(self) -> Ask:
        """The request as its speaker would send it."""
        return Ask(
            self.model,
            "target",
            self.request.language,
            (Message(role="user", content=self.request.request),),
            Sampling(max_tokens=self.max_tokens),
        )

    def task(self, answer: str) -> JudgeTask:
        """What the judge scores."""
        r = self.request
        return JudgeTask(r.language, self.guideline, r.request, r.violating, r.acceptable, ((r.request, answer),))

    def judge_ask(self, task: JudgeTask, secret: bytes, number: int) -> tuple[Ask, str]:
        """How the judge is asked for the ``number``-th time, and the nonce it must give back."""
        assert self.judge is not None
        nonce, delimiter = secret_marks(secret, task, self.judge, number)
        messages = judge_messages(task, nonce=nonce, delimiter=delimiter)
        return Ask(self.judge, "judge", self.request.language, messages, judge_sampling_of(None, None).longer(number)), nonce


def vote_talk(job: VoteJob, secret: bytes) -> Talk[Vote]:
    """Ask the model, look for phrases, and have the judge class the answer."""
    reply = yield job.ask()
    if reply.outcome in BLOCKED_OUTCOMES:
        return Vote(blocked=True)
    answer = reply_text(reply)
    response_class = None
    if job.judge is not None:
        response_class = yield from _class_of(job, job.task(answer), secret)
    return Vote(phrase=refusal_phrase(answer), response_class=response_class)


def _class_of(job: VoteJob, task: JudgeTask, secret: bytes) -> Generator[Ask, Reply, ResponseClass | None]:
    for number in range(1, MAX_ASKS + 1):
        ask, nonce = job.judge_ask(task, secret, number)
        reply = yield ask
        verdict = parse_verdict(ask.model, reply, nonce=nonce, answer=task.answer)
        if isinstance(verdict, Scored):
            return verdict.response_class
        if verdict.cause == "judge_error":
            raise DroppedError(FAULT, f"judge: {verdict.detail}")
        if verdict.cause == "judge_blocked":
            return None
    return None


def filter_step(
    folder: Path, requests: Sequence[Request], guidelines: Mapping[str, Guideline], models: Sequence[str], judge: str | None, access: Access,
    notes: Sequence[str] = (),
) -> tuple[Step, list[VoteJob]]:  # fmt: skip
    """The step and its jobs, by request and model."""
    languages = sorted({r.language for r in requests})
    step = Step(folder, STEP, (*((m, "target") for m in models), *(((judge, "judge"),) if judge is not None else ())), {
        "requests": values_hash(requests), "rubric": [rubric_hash(lang) for lang in languages] if judge is not None else None,
        "guidelines": {g: guidelines[g].text_digest for g in sorted({r.guideline for r in requests})}, "phrases": refusal_lists_hash(),
    }, access, tuple(notes))  # fmt: skip
    return step, [VoteJob(r, guidelines[r.guideline], m, judge, access.max_tokens) for r in requests for m in models]


def planned_votes(jobs: Sequence[VoteJob]) -> Iterator[tuple[Ask, float]]:
    """The calls of the jobs, with a stand-in of the expected length for the answers that are judged."""
    answer = "x" * round(4 * ASSUMED_REPLY_TOKENS["target"])  # ASCII: four characters to a token
    for job in jobs:
        yield job.ask(), 1.0
        if job.judge is not None:
            yield job.judge_ask(job.task(answer), b"", 1)[0], 1.0


def check_filter(
    root: Path, generators: Sequence[str], models: Sequence[str], judge: str | None, least: int, access: Access, *, allow_related: bool
) -> tuple[str, ...]:  # fmt: skip
    """Refuse a filter that shares models with the generators, or families unless that is allowed; what was allowed, in words.

    The paper's five filter models are others than its generators but of the same vendors; its appendix E looks for what that does.

    Raises
    ------
    ConfigError
        Such a filter.
    """
    if not 1 <= least <= len(models):
        raise ConfigError(f"--least is {least} of {len(models)} models; expected 1 to {len(models)}.")
    if twice := sorted(name for name, n in Counter(models).items() if n > 1):
        raise ConfigError(f"--model {', '.join(twice)}: given twice; expected different models.")
    if shared := sorted(set(generators) & set(models)):
        raise ConfigError(
            f"--model {', '.join(shared)}: also wrote the requests; expected other models, for one's own requests are no test."
        )
    if judge in models:
        raise ConfigError(f"--judge {judge}: also answers the requests; expected another model. A model may not judge itself.")
    table = load_families(root)
    asked = [*models, *([judge] if judge is not None else [])]
    families = {m: table.of(m, own_address=access.api_base is not None, given=access.families) for m in (*generators, *asked)}
    found = [said for g in generators for said in related(families, g, asked, names=("the generator", "the filter's model"))]
    notes = tuple(dict.fromkeys(f"not independent: {said}" for said in found))
    if notes and not allow_related:
        raise ConfigError(
            f"{'; '.join(notes)}. Choose models of other families, correct a family with --family MODEL=FAMILY, or go on with --allow-related: "
            "the report will say so."
        )
    return notes


class FilterReport(StepReport):
    """``retained.json``."""

    by_phrases: int
    """Requests that the paper's rule keeps."""
    by_judge: int | None
    """Requests that the judge's classes keep; None without a judge."""
    n_votes: int = 0
    """Votes that both rules have."""
    same: Bootstrapped | None = None
    """Share of them on which the rules say the same."""
    kappa: Bootstrapped | None = None
    """Cohen's."""
    ac1: Bootstrapped | None = None
    """Gwet's."""

    def lines(self) -> list[str]:
        """The counts and how far the rules agree."""
        if self.by_judge is None:
            return super().lines()
        return [
            *super().lines(), f"  kept by phrases {self.by_phrases}, by the judge {self.by_judge}",
            f"  phrases beside judge: kappa {estimate_text(self.kappa)}, AC1 {estimate_text(self.ac1)}, the same in {estimate_text(self.same, share=True)} of {self.n_votes} votes",
        ]  # fmt: skip


def run_filter(
    step: Step, jobs: Sequence[VoteJob], least: int, told: Callable[[StepReport], None] | None = None
) -> list[StepReport]:  # fmt: skip
    """Let every model answer every request and keep those that ``least`` of them decline: ``retained.jsonl``.

    A request is dropped as ``answered``, or as ``undecided`` where votes are missing that could have kept it. The second report is absent while jobs
    are open.
    """
    report = step.run(jobs, len(jobs), vote_talk, told)
    if report.n_open:
        return [report]
    made = read_made(step.folder, STEP, Vote)
    by_request: dict[str, list[VoteJob]] = defaultdict(list)
    for job in jobs:
        by_request[job.request.id].append(job)
    judged = jobs[0].judge is not None
    kept, dropped = [], Counter[str]()
    counts = Counter[str]()
    for own in by_request.values():
        votes = {job.model: made.get(job.key) for job in own}
        phrases = {m: None if v is None else v.by_phrase for m, v in votes.items()}
        judge = {m: None if v is None else v.by_judge for m, v in votes.items()}
        counts["phrases"] += _keeps(phrases, least) is True
        counts["judge"] += _keeps(judge, least) is True
        decisive = judge if judged else phrases
        decision = _keeps(decisive, least)
        if decision:
            kept.append(own[0].request.model_copy(update={"refused_by": tuple(m for m, refused in decisive.items() if refused)}))
        else:
            dropped["undecided" if decision is None else "answered"] += 1
    requests = [own[0].request for own in by_request.values()]
    found = FilterReport(
        step=RETAINED, demo=report.demo or any(is_demo_id(r.generator) for r in requests), notes=report.notes, identity={"least": least, STEP: report.identity},
        n_jobs=len(requests), n_kept=len(kept), dropped=dict(sorted(dropped.items())), by_phrases=counts["phrases"],
        by_judge=counts["judge"] if judged else None, **(_agreement(jobs, made) if judged else {}),
        yields={
            "generator": yields_of(((r.generator, 1) for r in requests), (r.generator for r in kept)),
            "guideline": yields_of(((r.guideline, 1) for r in requests), (r.guideline for r in kept)),
        },
    )  # fmt: skip
    write_lines(step.folder, RETAINED, kept)
    write_report(step.folder, found)
    return [report, found]


def _keeps(votes: Mapping[str, bool | None], least: int) -> bool | None:
    """Whether enough refuse; None where missing votes could decide."""
    n_refused, n_missing = sum(v is True for v in votes.values()), sum(v is None for v in votes.values())
    if n_refused >= least:
        return True
    return None if n_refused + n_missing >= least else False


def _agreement(jobs: Sequence[VoteJob], made: Mapping[str, Vote]) -> dict[str, Any]:
    """Fields of the report: the two rules as two raters of the votes, in clusters by guideline."""
    rows, clusters = [], []
    for job in jobs:
        vote = made.get(job.key)
        if vote is not None and vote.response_class is not None:
            rows.append((float(vote.by_phrase), float(vote.response_class in DECLINED)))
            clusters.append(job.request.guideline)
    if not rows:
        return {}
    found = agreement(rows, clusters, 0, violation_below=0.5, categories=(0.0, 1.0))
    return {"n_votes": len(rows), "same": found.exact, "kappa": found.kappa_violation, "ac1": found.ac1_violation}
