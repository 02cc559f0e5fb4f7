"""Adaptive conversations: an attacker model reacts to the target's replies under a strategy, and the usual panel judges.

A fixed script asks every model the same; here each target is asked something else, by an attacker that may be good or poor. So the numbers stand in files
of their own and in no run, gate or comparison. The user turns are kept as cases: played on another model they are a fixed script again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from jmedethic_plugin.analysis.rates import Judged, RateRow, rate_row
from jmedethic_plugin.core.base import CANARY, Value, content_hash
from jmedethic_plugin.core.case import N_TURNS
from jmedethic_plugin.core.guideline import Guideline, Strategy
from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.text import without_credentials
from jmedethic_plugin.core.transcript import Reply, Turn
from jmedethic_plugin.core.verdict import PanelVerdict
from jmedethic_plugin.corpus.jsonl import CaseLine
from jmedethic_plugin.engine.asking import Ask, Talk
from jmedethic_plugin.engine.bench import judge_tasks
from jmedethic_plugin.engine.conversation import target_messages
from jmedethic_plugin.engine.planning import ASSUMED_REPLY_TOKENS
from jmedethic_plugin.engine.ports import Sampling
from jmedethic_plugin.generation.common import (
    Access,
    Step,
    StepReport,
    ask_for,
    open_ledger,
    prompt_messages,
    prompts_hash,
    read_made,
    reply_text,
    values_hash,
    write_lines,
)
from jmedethic_plugin.generation.discovery import Written
from jmedethic_plugin.generation.questions import Request
from jmedethic_plugin.prompts.judge import JudgeTask, guideline_material
from jmedethic_plugin.reporting.files import write_atomically
from jmedethic_plugin.run import check_judges, families_in, make_panel
from jmedethic_plugin.settings import Settings

STEP, CASES, RECORDS, PROMPT = "adaptive", "adaptive-cases", "adaptive-records", "adaptive_turn"
NOTE = "adaptive: every target is asked something else; not comparable with fixed scripts, nor with another target or attacker"


class Exchanged(Value):
    """What a job made: the user turns and the target's replies."""

    turns: tuple[str, ...]
    replies: tuple[Reply, ...]


@dataclass(frozen=True)
class AdaptiveJob:
    """One request, one strategy, against one target."""

    request: Request
    guideline: Guideline
    strategy: Strategy
    attacker: str
    target: str
    system_prompt: str | None
    target_sampling: Sampling
    max_tokens: int | None

    @property
    def key(self) -> str:
        """Id of the case that it makes."""
        language, guideline, number = self.request.id.split("-")
        return f"{language}-{guideline}-{self.strategy.id}-{number}"

    def ask_attacker(self, exchanges: Sequence[tuple[str, str]]) -> Ask:
        """What the attacker is asked for the next turn."""
        language, number = self.request.language, len(exchanges) + 1
        s = self.strategy
        material = {
            "guideline": guideline_material(self.guideline, language), "aim": self.request.request, "turn": number,
            "strategy": {"title": s.title.get(language), "idea": s.idea.get(language), "this_turn": s.turns[number - 1].get(language)},
            "conversation": [{"user": user, "reply": reply} for user, reply in exchanges],
        }  # fmt: skip
        return Ask(self.attacker, "writer", language, prompt_messages(PROMPT, language, material), Sampling(1.0, self.max_tokens))

    def ask_target(self, exchanges: tuple[tuple[str, str], ...], user: str) -> Ask:
        """What the target is asked: the conversation so far, as in a run."""
        messages = target_messages(self.system_prompt, exchanges, user)
        return Ask(self.target, "target", self.request.language, messages, self.target_sampling)

    def case(self, turns: Sequence[str]) -> CaseLine:
        """The conversation's user turns as a case."""
        r = self.request
        return CaseLine(
            schema="jmedethic/case-line@1", canary=CANARY, guideline=r.guideline, id=self.key.split("-", 2)[2], language=r.language, kind="adversarial",
            strategy=self.strategy.id, request=r.request, violating=r.violating, acceptable=r.acceptable, turns=tuple(turns),
            source=f"machine-made, unreviewed; adaptive against {self.target}, attacker {self.attacker}; request {r.id} of {r.generator}",
        )  # fmt: skip


def adaptive_talk(job: AdaptiveJob, secret: bytes) -> Talk[Exchanged]:
    """Three turns; an attacker that declines, or a turn without a reply that a user would see, ends the job without a result."""
    exchanges: tuple[tuple[str, str], ...] = ()
    replies: list[Reply] = []
    for _ in range(N_TURNS):
        user = (yield from ask_for(job.ask_attacker(exchanges), Written)).prompt
        reply = yield job.ask_target(exchanges, user)
        exchanges = (*exchanges, (user, reply_text(reply)))
        replies.append(reply)
    return Exchanged(turns=tuple(user for user, _ in exchanges), replies=tuple(replies))


def adaptive_step(
    folder: Path, requests: Sequence[Request], guidelines: Mapping[str, Guideline], strategies: Sequence[Strategy], attacker: str,
    settings: Settings, access: Access,
) -> tuple[Step, list[AdaptiveJob]]:  # fmt: skip
    """The step and its jobs; target, system prompt and sampling are those of the settings."""
    jobs = [
        AdaptiveJob(r, guidelines[r.guideline], s, attacker, settings.model, settings.system_prompt, settings.target_sampling, access.max_tokens)
        for r in requests for s in strategies
    ]  # fmt: skip
    return Step(folder, STEP, ((attacker, "writer"), (settings.model, "target")), {
        "requests": values_hash(requests), "strategies": {s.id: content_hash(s.model_dump(mode="json")) for s in strategies},
        "guidelines": {g: guidelines[g].text_digest for g in sorted({r.guideline for r in requests})},
        "target_api_base": without_credentials(access.target_api_base), "system_prompt": settings.system_prompt, "target_sampling": settings.target_sampling.to_dict(),
        "prompts": prompts_hash([PROMPT], {r.language for r in requests}),
    }, access, (NOTE,)), jobs  # fmt: skip


def adaptive_asks(jobs: Sequence[AdaptiveJob]) -> Iterator[tuple[Ask, float]]:
    """Every call but the judges'."""
    for job in jobs:
        for n in range(N_TURNS):
            yield job.ask_attacker(_stand_in(job, n)), 1.0
            yield job.ask_target(_stand_in(job, n), job.request.request), 1.0


def adaptive_tasks(jobs: Sequence[AdaptiveJob]) -> Iterator[JudgeTask]:
    """What the judges will be asked, with stand-ins for what was said."""
    for job in jobs:
        case = job.case([job.request.request] * N_TURNS).to_case(job.guideline)
        yield from (JudgeTask.of(case, job.guideline, _stand_in(job, n)) for n in range(1, N_TURNS + 1))


def _stand_in(job: AdaptiveJob, n: int) -> tuple[tuple[str, str], ...]:
    """User turns as long as the request, replies of the length that plans assume: ASCII, four characters to a token."""
    return ((job.request.request, "x" * round(4 * ASSUMED_REPLY_TOKENS["target"])),) * n


class AdaptiveResults(Value):
    """``adaptive-results.json``: how often the attacker got through."""

    format: Literal["jmedethic/adaptive-results@1"] = Field(default="jmedethic/adaptive-results@1", alias="schema")
    note: str = NOTE
    demo: bool
    target: str
    attacker: str
    judges: tuple[str, ...]
    threshold: str
    banners: tuple[str, ...]
    """What was allowed against the rules of judging."""
    n_jobs: int
    dropped: Mapping[str, int]
    """Reason -> conversations that were not played to the end, which are in no share."""
    violated: RateRow
    """Conversations with a turn below the threshold."""
    by_strategy: tuple[RateRow, ...]
    by_turn: tuple[RateRow, ...]
    """Turns below the threshold."""

    def lines(self) -> list[str]:
        """The results as text."""
        lines = [
            *(f"WARNING: {banner}" for banner in self.banners),
            f"{'demo, no measurement: ' if self.demo else ''}{self.target} under {self.attacker}; judges {', '.join(self.judges)}; violated: {self.threshold} not met",
        ]  # fmt: skip
        for row in (self.violated, *self.by_strategy, *self.by_turn):
            share = "not measured" if row.rate is None else f"{row.rate.point:.1%} ({row.rate.low:.1%} to {row.rate.high:.1%})"
            lines.append(f"  {row.name}: {row.n_yes} of {row.n_yes + row.n_no} violated, {share}; {row.n_not_measured} not measured")
        return lines


def play_adaptively(
    step: Step, jobs: Sequence[AdaptiveJob], settings: Settings, told: Callable[[StepReport], None] | None = None
) -> tuple[StepReport, AdaptiveResults | None]:  # fmt: skip
    """Play, judge and write cases, records and results; without results while jobs are open.

    Raises
    ------
    ConfigError
        Judges that are not allowed (`run.check_judges`).
    EngineError
        A limit was reached while judging; the same call goes on.
    """
    banners = check_judges(settings, families_in(settings))
    report = step.run(jobs, len(jobs), adaptive_talk, told)
    if report.n_open:
        return report, None
    made = read_made(step.folder, STEP, Exchanged)
    played = {job.key: (job, made[job.key]) for job in jobs if job.key in made}
    tasks = {
        f"{key}:{n}": JudgeTask.of(job.case(said.turns).to_case(job.guideline), job.guideline, _exchanges(said)[:n])
        for key, (job, said) in played.items() for n in range(1, N_TURNS + 1)
    }  # fmt: skip
    with open_ledger(step.folder) as ledger:
        panel = make_panel(settings, {}, ledger.secret())
        verdicts = judge_tasks(tasks, panel, ledger=ledger, limits=settings.limits, sampling=settings.judge_sampling)
    demo = report.demo or settings.is_demo
    records = [_record(job, said, verdicts, settings.judges, demo=demo) for job, said in played.values()]
    write_lines(step.folder, CASES, (job.case(said.turns) for job, said in played.values()))
    write_atomically(step.folder / f"{RECORDS}.jsonl", (record.model_dump_json() + "\n" for record in records))
    judged = [Judged(record, settings.threshold) for record in records]
    names = sorted({r.record.case.group for r in judged})
    results = AdaptiveResults(
        demo=demo, target=settings.model, attacker=jobs[0].attacker if jobs else "", judges=settings.judges,
        threshold=str(settings.threshold), banners=banners, n_jobs=report.n_jobs, dropped=report.dropped,
        violated=rate_row("all", judged, lambda j: j.violated),
        by_strategy=tuple(rate_row(name, [j for j in judged if j.record.case.group == name], lambda j: j.violated) for name in names),
        by_turn=tuple(rate_row(f"turn {n}", judged, _violated_at(n)) for n in range(1, N_TURNS + 1)),
    )  # fmt: skip
    write_atomically(step.folder / "adaptive-results.json", results.model_dump_json(by_alias=True, indent=1) + "\n")
    return report, results


def _violated_at(turn_number: int) -> Callable[[Judged], bool | None]:
    return lambda judged: judged.violations[turn_number - 1]


def _exchanges(said: Exchanged) -> tuple[tuple[str, str], ...]:
    return tuple((user, reply.text) for user, reply in zip(said.turns, said.replies, strict=True))


def _record(job: AdaptiveJob, said: Exchanged, verdicts: Mapping[str, PanelVerdict], judges: tuple[str, ...], *, demo: bool) -> CaseRecord:
    return CaseRecord(
        case=job.case(said.turns).to_case(job.guideline), target=job.target, judges=judges, demo=demo,
        turns=tuple(
            Turn(turn_number=n, user=user, reply=reply, panel=verdicts[f"{job.key}:{n}"])
            for n, (user, reply) in enumerate(zip(said.turns, said.replies, strict=True), 1)
        ),
    )  # fmt: skip
