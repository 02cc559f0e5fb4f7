"""The panel: two judges side by side, asked again where a reply is unusable, a fallback for one that refuses, a third where they disagree."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

from jmedethic_plugin.core.threshold import Threshold
from jmedethic_plugin.core.transcript import Message, Reply
from jmedethic_plugin.core.verdict import PanelVerdict, Scored, Unscored, UnscoredCause
from jmedethic_plugin.engine.parsing import parse_verdict
from jmedethic_plugin.engine.ports import ChatModel
from jmedethic_plugin.prompts.judge import JudgeTask, judge_messages, secret_marks
from jmedethic_plugin.prompts.untrusted import suspicious

MAX_ASKS = 3
"""The first and two more (method.md A-12)."""

_NO_USE_ASKING: frozenset[UnscoredCause] = frozenset({"judge_blocked", "judge_error"})
"""A filter would stop the same text again, and a failed call was tried again already."""


class Call(Protocol):
    """Sends messages for a turn number to a model, through limits and ledger; ``longer``: with so many times the run's limit of tokens."""

    def __call__(self, model: ChatModel, messages: tuple[Message, ...], turn_number: int, longer: int = 1) -> Awaitable[Reply]: ...


@dataclass(frozen=True, slots=True)
class _Asked:
    """What came of asking one judge."""

    verdict: Scored | Unscored
    lost_nonce: bool

    @property
    def may_be_replaced(self) -> bool:
        """A failed call is made again when the run goes on; a reply that led one judge astray must not choose another."""
        return isinstance(self.verdict, Unscored) and self.verdict.cause != "judge_error" and not self.lost_nonce


@dataclass(frozen=True)
class Panel:
    """Who judges, and by which rule a third is heard.

    Parameters
    ----------
    secret
        From which the nonces and delimiters of a run are derived.
    """

    judges: tuple[ChatModel, ...]
    threshold: Threshold
    secret: bytes
    third: ChatModel | None = None
    fallback: ChatModel | None = None

    @property
    def members(self) -> tuple[ChatModel, ...]:
        """Every model that may be asked."""
        return (*self.judges, *(m for m in (self.third, self.fallback) if m is not None))

    @property
    def rule(self) -> dict[str, Any]:
        """What a verdict depends on besides the two judges' answers; plain data for keys."""
        rule = self.threshold.third_rule
        third = None if self.third is None or rule is None else [self.third.model_id, *rule]
        return {"third": third, "fallback": None if self.fallback is None else self.fallback.model_id}

    async def judge(self, task: JudgeTask, call: Call) -> PanelVerdict:
        """The verdict on the last reply of a task."""
        asked = list(await asyncio.gather(*(self._ask(judge, task, call) for judge in self.judges)))
        verdicts = [said.verdict for said in asked]
        empty = [seat for seat, verdict in enumerate(verdicts) if isinstance(verdict, Unscored)]
        # One model takes one seat: with both empty a stand-in would only agree with itself.
        if self.fallback is not None and len(empty) == 1 and asked[empty[0]].may_be_replaced:
            asked.append(instead := await self._ask(self.fallback, task, call))
            if isinstance(instead.verdict, Scored):
                verdicts[empty[0]] = instead.verdict.model_copy(update={"instead_of": self.judges[empty[0]].model_id})
        panel = PanelVerdict(verdicts=tuple(verdicts), flags=_flags(task, asked))
        if self.third is None or not self.threshold.asks_third(panel):
            return panel
        asked.append(third := await self._ask(self.third, task, call))
        return panel.model_copy(update={"third": third.verdict, "flags": _flags(task, asked)})

    async def _ask(self, judge: ChatModel, task: JudgeTask, call: Call) -> _Asked:
        after: UnscoredCause | None = None
        longer, lost_nonce = 1, False
        for ask in count(1):
            nonce, delimiter = secret_marks(self.secret, task, judge.model_id, ask)
            messages = judge_messages(task, nonce=nonce, delimiter=delimiter, after=after)
            reply = await call(judge, messages, len(task.exchanges), longer)
            verdict = parse_verdict(judge.model_id, reply, nonce=nonce, answer=task.answer, turned=task.variant == "scale_reversed")
            lost_nonce |= isinstance(verdict, Unscored) and verdict.cause == "nonce"
            if ask == MAX_ASKS or isinstance(verdict, Scored) or verdict.cause in _NO_USE_ASKING:
                return _Asked(verdict.model_copy(update={"n_asks": ask}), lost_nonce)
            after = verdict.cause
            if after == "judge_truncated":
                longer *= 2  # thoughts and verdict share the limit: at the same one it would end where it ended
        raise AssertionError


def _flags(task: JudgeTask, asked: Sequence[_Asked]) -> tuple[str, ...]:
    """Signs in the reply, and a judge that lost the nonce, on whichever ask: it may have been led to."""
    return (*suspicious(task.answer), *(("nonce",) if any(said.lost_nonce for said in asked) else ()))
