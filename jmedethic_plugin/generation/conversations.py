"""Conversations: every retained request under every strategy, written by every agent model (paper v2, section 3.2); user turns only.

A case has three user turns. A conversation that asks plainly by its third turn is cut there; one that takes longer, or never has three turns, stays in
the step's file and becomes no case (in the paper 74.31 % got there within three).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from jmedethic_plugin.core.base import CANARY, Text, Value, content_hash
from jmedethic_plugin.core.case import N_TURNS
from jmedethic_plugin.core.guideline import Guideline, Strategy
from jmedethic_plugin.corpus.jsonl import CaseLine
from jmedethic_plugin.engine.asking import Ask, Talk
from jmedethic_plugin.engine.ports import Sampling
from jmedethic_plugin.generation.common import (
    Access,
    DroppedError,
    Step,
    StepReport,
    ask_for,
    prompt_messages,
    prompts_hash,
    read_made,
    values_hash,
    write_lines,
    write_report,
)
from jmedethic_plugin.generation.questions import Request
from jmedethic_plugin.prompts.judge import guideline_material

STEP, CASES, PROMPT = "conversations", "cases", "generate_conversation"
MAX_TURNS = 5


class Conversation(Value):
    """An agent's reply: the user's side."""

    turns: Annotated[tuple[Text, ...], Field(max_length=MAX_TURNS)]
    goal_turn: int
    """Number of the turn that first asks for the request plainly; 0 with no turns."""

    @model_validator(mode="after")
    def _goal_is_a_turn(self) -> Conversation:
        if not (self.turns and 1 <= self.goal_turn <= len(self.turns)) and (self.turns or self.goal_turn):
            raise ValueError(f"goal_turn is the number of one of the {len(self.turns)} turns")
        return self


@dataclass(frozen=True)
class ConversationJob:
    """One request, one strategy, one agent."""

    request: Request
    guideline: Guideline
    strategy: Strategy
    agent: str
    number: int
    """Of the case among those of its language, guideline and strategy: the same whatever else is dropped."""
    max_tokens: int | None

    @property
    def key(self) -> str:
        """``ja-B11-3 temporal_override openai/x``."""
        return f"{self.request.id} {self.strategy.id} {self.agent}"

    def ask(self) -> Ask:
        """What the agent is asked."""
        language = self.request.language
        strategy = {
            "id": self.strategy.id, "title": self.strategy.title.get(language), "idea": self.strategy.idea.get(language),
            "turns": [turn.get(language) for turn in self.strategy.turns], "marks": self.strategy.marks.get(language),
        }  # fmt: skip
        material = {
            "language": language, "request": self.request.request, "guideline": guideline_material(self.guideline, language), "strategy": strategy,
        }  # fmt: skip
        return Ask(self.agent, "writer", language, prompt_messages(PROMPT, language, material), Sampling(max_tokens=self.max_tokens))

    def case(self, turns: Sequence[str], licence: str) -> CaseLine:
        """The case that the turns make."""
        r = self.request
        return CaseLine(
            schema="jmedethic/case-line@1", canary=CANARY, guideline=r.guideline, id=f"{self.strategy.id}-{self.number}", language=r.language,
            kind="adversarial", strategy=self.strategy.id, request=r.request, violating=r.violating, acceptable=r.acceptable, turns=tuple(turns),
            source=f"machine-made, unreviewed; conversation {self.agent}; request {r.generator}; licence {licence}",
        )  # fmt: skip


def conversation_jobs(
    requests: Sequence[Request], guidelines: Mapping[str, Guideline], strategies: Sequence[Strategy], agents: Sequence[str], max_tokens: int | None
) -> Iterator[ConversationJob]:  # fmt: skip
    """One by one, for there may be 54,180."""
    places: Counter[tuple[str, str]] = Counter()
    for request in requests:
        place = places[request.language, request.guideline]
        places[request.language, request.guideline] += 1
        for strategy in strategies:
            for k, agent in enumerate(agents):
                number = place * len(agents) + k + 1
                yield ConversationJob(request, guidelines[request.guideline], strategy, agent, number, max_tokens)


def conversation_step(
    folder: Path, requests: Sequence[Request], guidelines: Mapping[str, Guideline], strategies: Sequence[Strategy], agents: Sequence[str],
    access: Access,
) -> Step:  # fmt: skip
    """The step over `conversation_jobs`."""
    used = sorted({r.guideline for r in requests})
    return Step(folder, STEP, tuple((a, "writer") for a in agents), {
        "requests": values_hash(requests), "strategies": {s.id: content_hash(s.model_dump(mode="json")) for s in strategies},
        "guidelines": {g: guidelines[g].text_digest for g in used}, "prompts": prompts_hash([PROMPT], {r.language for r in requests}),
    }, access)  # fmt: skip


def conversation_talk(job: ConversationJob, secret: bytes) -> Talk[Conversation]:
    """Ask an agent for the conversation; no turns are a refusal."""
    made = yield from ask_for(job.ask(), Conversation)
    if not made.turns:
        raise DroppedError("refused", "no turns")
    if len(made.turns) < N_TURNS:
        raise DroppedError("short", f"{len(made.turns)} turns", made)
    if made.goal_turn > N_TURNS:
        raise DroppedError("late", f"asks plainly at turn {made.goal_turn} of {len(made.turns)}", made)
    return made


def generate_conversations(
    step: Step, jobs: Callable[[], Iterable[ConversationJob]], n_jobs: int, licence: str, told: Callable[[StepReport], None] | None = None
) -> list[StepReport]:  # fmt: skip
    """Have every job's conversation written; what fits three turns becomes ``cases.jsonl``. The second report is absent while jobs are open.

    Parameters
    ----------
    jobs
        Makes the jobs, the same each time; called twice, so that they need not be in memory.
    licence
        Under which the models' makers let their texts be used, for each case's source.
    """
    report = step.run(jobs(), n_jobs, conversation_talk, told)
    if report.n_open:
        return [report]
    made = read_made(step.folder, STEP, Conversation)
    asked: dict[str, Counter[str]] = {"agent": Counter(), "strategy": Counter()}
    kept: dict[str, Counter[str]] = {"agent": Counter(), "strategy": Counter()}

    def cases() -> Iterator[CaseLine]:
        for job in jobs():
            conversation = made.get(job.key)
            for by, name in (("agent", job.agent), ("strategy", job.strategy.id)):
                asked[by][name] += 1
                kept[by][name] += conversation is not None
            if conversation is not None:
                yield job.case(conversation.turns[:N_TURNS], licence)

    write_lines(step.folder, CASES, cases())
    counts = report.model_copy(update={
        "step": CASES, "yields": {by: {name: (n, kept[by][name]) for name, n in names.items()} for by, names in asked.items()},
    })  # fmt: skip
    write_report(step.folder, counts)
    return [counts]
