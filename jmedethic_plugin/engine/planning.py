"""What a run will take before anything is spent: calls, tokens, money, time, by model and language.

From the cases' real text lengths, and from the means of an earlier ledger where there is one. Without one, tokens are guessed from
characters and the lengths of answers are assumptions; the plan says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from jmedethic_plugin.core.base import Language
from jmedethic_plugin.core.case import Case, split_item_id
from jmedethic_plugin.core.exam import ExamQuestion
from jmedethic_plugin.core.guideline import Guideline
from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.engine.asking import Ask
from jmedethic_plugin.engine.budget import token_units
from jmedethic_plugin.engine.conversation import target_messages
from jmedethic_plugin.engine.limits import RateCap
from jmedethic_plugin.engine.ports import Price
from jmedethic_plugin.prompts.exam import exam_prompt
from jmedethic_plugin.prompts.judge import JudgeTask, judge_messages

ASSUMED_REPLY_TOKENS = {"target": 700.0, "judge": 200.0, "writer": 1500.0, "embedder": 0.0}
ASSUMED_LATENCY_S = {"target": 8.0, "judge": 5.0, "writer": 30.0, "embedder": 1.0}
ASSUMED_THIRD = 0.15
"""Share of the turns on which a third judge is heard: the upper end of what method.md A-03 plans for."""
_CALL = {"target": "reply", "judge": "verdict", "writer": "text", "embedder": "embedding"}


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
    calls: float = 0
    """Expected; a third judge is heard on a share of the turns."""
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    usd: float | None = 0.0
    """None where the price is not known."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run, or an exam of judges, will take."""

    n: int
    what: str
    """What there are ``n`` of."""
    rows: tuple[ModelPlan, ...]
    minutes: float
    notes: tuple[str, ...] = field(default=())
    n_questions: int = 0
    """Exam questions, beside the conversations."""

    def lines(self) -> list[str]:
        """The plan as text."""
        exam = f", {self.n_questions} exam questions" if self.n_questions else ""
        shown = [f"{self.n:,} {self.what}{exam}, {sum(r.calls for r in self.rows):,.0f} calls, about {self.minutes:.0f} min"]
        shown.append(f"  {'role':<7}{'language':<10}{'calls':>9}{'prompt tokens':>16}{'reply tokens':>15}{'USD':>10}  model")
        for row in self.rows:
            usd = "unknown" if row.usd is None else f"{row.usd:.2f}"
            shown.append(
                f"  {row.role:<7}{row.language:<10}{row.calls:>9,.0f}{row.prompt_tokens:>16,.0f}{row.completion_tokens:>15,.0f}{usd:>10}  {row.model}"
            )
        known = [row.usd for row in self.rows if row.usd is not None]
        total = f"  total{sum(row.calls for row in self.rows):>20,.0f}{sum(row.prompt_tokens for row in self.rows):>16,.0f}"
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
    observed: Mapping[str, Observed], third: str | None = None, fallback: str | None = None, sentinels: Sequence[JudgeTask] = (),
    questions: Mapping[str, ExamQuestion] | None = None,
) -> Plan:  # fmt: skip
    """Add up what the items will take.

    Parameters
    ----------
    item_ids
        What is to be played.
    observed
        Model id -> means of earlier calls.
    third, fallback
        Judges heard now and then.
    sentinels
        What is judged besides the items' turns.
    questions
        The exam questions among the items.
    """
    tally = _Tally(prices, observed)
    asked = [questions[item] for item in item_ids if item in questions] if questions else []
    for question in asked:
        tally.add("target", target, question.item.language, token_units(target_messages(system_prompt, (), exam_prompt(question))))

    def judged(task: JudgeTask) -> None:
        n_prompt = _judge_tokens(task)
        for judge in judges:
            tally.add("judge", judge, task.language, n_prompt)
        if third is not None:
            tally.add("judge", third, task.language, n_prompt, ASSUMED_THIRD)

    for item in item_ids:
        if questions and item in questions:
            continue
        case = cases[split_item_id(item)[0]]
        # A stand-in of the expected length: its characters are ASCII, four to a token.
        answer = "x" * round(4 * tally.completion(target, "target"))
        exchanges: tuple[tuple[str, str], ...] = ()
        for user in case.user_turns:
            tally.add("target", target, case.language, token_units(target_messages(system_prompt, exchanges, user)))
            exchanges = (*exchanges, (user, answer))
            judged(JudgeTask.of(case, guidelines[case.guideline_id], exchanges))
    for task in sentinels:
        judged(task)
    if sentinels:
        tally.notes.append(f"{len(sentinels)} sentinels included")
    if third is not None:
        tally.notes.append(f"assumed: the third judge {third} is heard on {ASSUMED_THIRD:.0%} of the turns")
    tally.notes.append(
        "not included: judges asked again" + ("" if fallback is None else f", and the fallback judge {fallback} in the place of another")
    )
    return replace(tally.plan(len(item_ids) - len(asked), "conversations", max_in_flight, rates), n_questions=len(asked))


def plan_judging(
    tasks: Sequence[JudgeTask], judges: Sequence[str], *, prices: Mapping[str, Price | None], max_in_flight: int,
    rates: Mapping[str, RateCap],
) -> Plan:  # fmt: skip
    """Add up what it takes to have every judge asked every task, as in an exam."""
    tally = _Tally(prices, {})
    for task in tasks:
        n_prompt = _judge_tokens(task)
        for judge in judges:
            tally.add("judge", judge, task.language, n_prompt)
    tally.notes.append("not included: judges asked again; not taken off: what an earlier, stopped call has paid for")
    return tally.plan(len(tasks), "answers to judge", max_in_flight, rates)


def plan_asks(
    asks: Iterable[tuple[Ask, float]], n: int, what: str, *, prices: Mapping[str, Price | None], max_in_flight: int, rates: Mapping[str, RateCap],
    observed: Mapping[str, Observed],
) -> Plan:  # fmt: skip
    """Add up calls, each with how often it is expected to be made.

    Parameters
    ----------
    n, what
        What there are how many of: ``469, "jobs"``.
    """
    tally = _Tally(prices, observed)
    for ask, times in asks:
        tally.add(ask.role, ask.model, ask.language, token_units(ask.messages), times)
    tally.notes.append("not included: asking again where a reply cannot be used; not taken off: what an earlier, stopped call has paid for")
    return tally.plan(n, what, max_in_flight, rates)


def _judge_tokens(task: JudgeTask) -> float:
    return token_units(judge_messages(task, nonce="0" * 32, delimiter="0" * 32))


@dataclass
class _Tally:
    """What calls add up to."""

    prices: Mapping[str, Price | None]
    observed: Mapping[str, Observed]
    rows: dict[tuple[str, Language], ModelPlan] = field(default_factory=dict)
    busy_s: float = 0.0
    notes: list[str] = field(default_factory=list)

    def completion(self, model: str, role: str) -> float:
        """Tokens of a reply."""
        return self.observed[model].completion_tokens if model in self.observed else ASSUMED_REPLY_TOKENS[role]

    def add(self, role: str, model: str, language: Language, n_prompt: float, share: float = 1.0) -> None:
        """A call, or the share of a call that is expected."""
        row = self.rows.setdefault((model, language), ModelPlan(role, model, language))
        prompt, completion = share * n_prompt, share * self.completion(model, role)
        row.calls += share
        row.prompt_tokens += prompt
        row.completion_tokens += completion
        price = self.prices.get(model)
        row.usd = None if price is None or row.usd is None else row.usd + price.of(prompt, completion)
        self.busy_s += share * (self.observed[model].latency_s if model in self.observed else ASSUMED_LATENCY_S[role])

    def plan(self, n: int, what: str, max_in_flight: int, rates: Mapping[str, RateCap]) -> Plan:
        """The sum."""
        ordered = tuple(sorted(self.rows.values(), key=lambda r: (r.language != "ja", r.role != "target", r.model)))
        notes = []
        if unseen := [m for m in dict.fromkeys(row.model for row in ordered) if m not in self.observed]:
            roles = [role for role in ASSUMED_LATENCY_S if any(row.role == role for row in ordered)]
            assumed = ", ".join(
                f"{ASSUMED_REPLY_TOKENS[role]:.0f} tokens and {ASSUMED_LATENCY_S[role]:.0f} s a {_CALL[role]}" for role in roles
            )
            notes.append(f"assumed, for want of earlier calls of {', '.join(unseen)}: {assumed}")
        if seen := [f"{m} ({o.n})" for m, o in self.observed.items()]:
            notes.append(f"means of earlier calls: {', '.join(seen)}")
        minutes = max(self.busy_s / max_in_flight, *(_rate_bound_s(ordered, model, cap) for model, cap in rates.items()), 0.0) / 60
        return Plan(n, what, ordered, minutes, (*notes, *self.notes))


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


def _rate_bound_s(rows: Sequence[ModelPlan], model: str, cap: RateCap) -> float:
    own = [row for row in rows if row.model == model]
    by_requests = 0.0 if cap.requests is None else 60 * sum(row.calls for row in own) / cap.requests
    by_tokens = 0.0 if cap.tokens is None else 60 * sum(row.prompt_tokens + row.completion_tokens for row in own) / cap.tokens
    return max(by_requests, by_tokens)
