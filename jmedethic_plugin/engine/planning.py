"""What a run will take before anything is spent: calls, tokens, money, time, by model and language.

From the cases' real text lengths, and from the means of an earlier ledger where there is one. Without one, tokens are guessed from
characters and the lengths of answers are assumptions; the plan says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from jmedethic_plugin.core.base import Language
from jmedethic_plugin.core.case import Case, split_item_id
from jmedethic_plugin.core.exam import ExamQuestion
from jmedethic_plugin.core.guideline import Guideline
from jmedethic_plugin.core.transcript import Message, Reply
from jmedethic_plugin.engine.budget import token_units
from jmedethic_plugin.engine.conversation import target_messages
from jmedethic_plugin.engine.limits import RateCap
from jmedethic_plugin.engine.ports import Price
from jmedethic_plugin.prompts.exam import exam_prompt
from jmedethic_plugin.prompts.judge import JudgeTask, judge_messages

ASSUMED_REPLY_TOKENS = {"target": 700.0, "judge": 200.0}
ASSUMED_LATENCY_S = {"target": 8.0, "judge": 5.0}


@dataclass(frozen=True, slots=True)
class Observed:
    """Means over earlier calls of one model."""

    n: int
    completion_tokens: float
    latency_s: float


@dataclass(slots=True)
class ModelPlan:
    """One model's share in one language."""

    role: str
    model: str
    language: Language
    calls: int = 0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    usd: float | None = 0.0
    """None where the price is not known."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will take."""

    n_conversations: int
    rows: tuple[ModelPlan, ...]
    minutes: float
    notes: tuple[str, ...] = field(default=())
    n_questions: int = 0
    """Exam questions, beside the conversations."""

    def lines(self) -> list[str]:
        """The plan as text."""
        exam = f", {self.n_questions} exam questions" if self.n_questions else ""
        shown = [f"{self.n_conversations} conversations{exam}, {sum(r.calls for r in self.rows):,} calls, about {self.minutes:.0f} min"]
        shown.append(f"  {'role':<7}{'language':<10}{'calls':>9}{'prompt tokens':>16}{'reply tokens':>15}{'USD':>10}  model")
        for row in self.rows:
            usd = "unknown" if row.usd is None else f"{row.usd:.2f}"
            shown.append(
                f"  {row.role:<7}{row.language:<10}{row.calls:>9,}{row.prompt_tokens:>16,.0f}{row.completion_tokens:>15,.0f}{usd:>10}  {row.model}"
            )
        known = [row.usd for row in self.rows if row.usd is not None]
        total = f"  total{sum(row.calls for row in self.rows):>20,}{sum(row.prompt_tokens for row in self.rows):>16,.0f}"
        total += f"{sum(row.completion_tokens for row in self.rows):>15,.0f}{sum(known):>10.2f}"
        unpriced = len(self.rows) - len(known)
        return [
            *shown,
            total + ("  plus what has no known price (--price MODEL=IN,OUT)" if unpriced else ""),
            *(f"  {note}" for note in self.notes),
        ]


def plan_run(
    item_ids: Sequence[str], cases: Mapping[str, Case], guidelines: Mapping[str, Guideline], *, target: str, judges: Sequence[str],
    system_prompt: str | None, prices: Mapping[str, Price | None], max_in_flight: int, rates: Mapping[str, RateCap],
    observed: Mapping[str, Observed], questions: Mapping[str, ExamQuestion] | None = None,
) -> Plan:  # fmt: skip
    """Add up what the items will take.

    Parameters
    ----------
    item_ids
        What is to be played.
    observed
        Model id -> means of earlier calls.
    questions
        The exam questions among the items.
    """
    asked = [questions[item] for item in item_ids if item in questions] if questions else []
    rows: dict[tuple[str, Language], ModelPlan] = {}
    busy_s = 0.0
    for question in asked:
        messages = target_messages(system_prompt, (), exam_prompt(question))
        _count(rows, target, "target", question.item.language, messages, prices.get(target), observed)
        busy_s += observed[target].latency_s if target in observed else ASSUMED_LATENCY_S["target"]
    for item in item_ids:
        if questions and item in questions:
            continue
        case = cases[split_item_id(item)[0]]
        # A stand-in of the expected length: its characters are ASCII, four to a token.
        answer = "x" * round(4 * _completion(target, "target", observed))
        exchanges: tuple[tuple[str, str], ...] = ()
        for user in case.user_turns:
            prompts = {target: ("target", target_messages(system_prompt, exchanges, user))}
            exchanges = (*exchanges, (user, answer))
            heard = judge_messages(JudgeTask.of(case, guidelines[case.guideline_id], exchanges), nonce="0" * 32, delimiter="0" * 32)
            prompts |= dict.fromkeys(judges, ("judge", heard))
            for model, (role, messages) in prompts.items():
                _count(rows, model, role, case.language, messages, prices.get(model), observed)
                busy_s += observed[model].latency_s if model in observed else ASSUMED_LATENCY_S[role]
    ordered = tuple(sorted(rows.values(), key=lambda r: (r.language != "ja", r.role != "target", r.model)))
    notes = []
    if unseen := [m for m in dict.fromkeys(row.model for row in ordered) if m not in observed]:
        notes.append(
            f"assumed, for want of earlier calls of {', '.join(unseen)}: {ASSUMED_REPLY_TOKENS['target']:.0f} tokens a reply, "
            f"{ASSUMED_REPLY_TOKENS['judge']:.0f} a verdict, {ASSUMED_LATENCY_S['target']:.0f} s and {ASSUMED_LATENCY_S['judge']:.0f} s a call"
        )
    if seen := [f"{m} ({o.n})" for m, o in observed.items()]:
        notes.append(f"means of earlier calls: {', '.join(seen)}")
    minutes = max(busy_s / max_in_flight, *(_rate_bound_s(ordered, model, cap) for model, cap in rates.items()), 0.0) / 60
    return Plan(len(item_ids) - len(asked), ordered, minutes, tuple(notes), len(asked))


def observe(replies: Iterable[tuple[str, Reply]]) -> dict[str, Observed]:
    """Means of earlier calls by model; only replies with text and token counts tell."""
    sums: dict[str, list[float]] = {}
    for model, reply in replies:
        if reply.outcome == "ok" and reply.completion_tokens:
            of = sums.setdefault(model, [0, 0.0, 0.0])
            of[0] += 1
            of[1] += reply.completion_tokens
            of[2] += reply.latency_s
    return {model: Observed(int(n), completion / n, latency / n) for model, (n, completion, latency) in sorted(sums.items())}


def _completion(model: str, role: str, observed: Mapping[str, Observed]) -> float:
    return observed[model].completion_tokens if model in observed else ASSUMED_REPLY_TOKENS[role]


def _count(
    rows: dict[tuple[str, Language], ModelPlan], model: str, role: str, language: Language, messages: tuple[Message, ...],
    price: Price | None, observed: Mapping[str, Observed],
) -> None:  # fmt: skip
    row = rows.setdefault((model, language), ModelPlan(role, model, language))
    prompt, completion = token_units(messages), _completion(model, role, observed)
    row.calls += 1
    row.prompt_tokens += prompt
    row.completion_tokens += completion
    row.usd = None if price is None or row.usd is None else row.usd + price.of(prompt, completion)


def _rate_bound_s(rows: Sequence[ModelPlan], model: str, cap: RateCap) -> float:
    own = [row for row in rows if row.model == model]
    by_requests = 0.0 if cap.requests is None else 60 * sum(row.calls for row in own) / cap.requests
    by_tokens = 0.0 if cap.tokens is None else 60 * sum(row.prompt_tokens + row.completion_tokens for row in own) / cap.tokens
    return max(by_requests, by_tokens)
