"""What a run may still spend: money, calls, tokens, time. Checked before each call, with what the open calls may still cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from jmedethic_plugin.core.transcript import Message, Reply
from jmedethic_plugin.engine.ports import Price, Sampling

_FIRST_COMPLETION = 1000.0
"""Tokens a reply is taken to have before the first one was seen."""
_SAFETY = 2.0
"""A reply is reserved at this many times the mean seen so far."""


@dataclass(frozen=True, slots=True)
class Caps:
    """Hard limits of a run; None is no limit."""

    usd: float | None = None
    calls: int | None = None
    tokens: int | None = None
    minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one open call was taken to cost."""

    usd: float
    tokens: float
    priced: bool
    """Whether the model has a price."""


@dataclass
class _Seen:
    """Means of one endpoint so far."""

    n: int = 0
    completion: float = 0.0
    tokens_per_unit: float = 1.0


class Budget:
    """Counts what was spent in this sitting and refuses what would go beyond the caps.

    The caps can be exceeded by no more than the calls open at that moment cost above their reservation.
    """

    def __init__(self, caps: Caps, clock: Callable[[], float] = time.monotonic) -> None:
        self.caps = caps
        self.calls = 0
        self.tokens = 0
        self.usd = 0.0
        self.n_unpriced = 0
        self.stopped_by: str | None = None
        """Which cap ended the run, in words."""
        self._stopped = False
        self._open_calls = 0
        self._open_tokens = 0.0
        self._open_usd = 0.0
        self._seen: dict[str, _Seen] = {}
        self._clock = clock
        self._started_at = clock()

    def stop(self, reason: str) -> None:
        """Let no further call begin."""
        self.stopped_by = self.stopped_by or reason
        self._stopped = True

    def estimate(self, endpoint: str, messages: tuple[Message, ...], sampling: Sampling) -> tuple[float, float]:
        """Prompt and completion tokens a call will probably take."""
        seen = self._seen.get(endpoint, _Seen())
        completion = seen.completion * _SAFETY if seen.n else _FIRST_COMPLETION
        return seen.tokens_per_unit * token_units(messages), min(completion, sampling.max_tokens or completion)

    def reserve(self, endpoint: str, messages: tuple[Message, ...], sampling: Sampling, price: Price | None) -> Reservation | None:
        """Set aside what a call may cost; None when a cap stands against it."""
        if self._stopped:
            return None
        prompt, completion = self.estimate(endpoint, messages, sampling)
        wanted = Reservation(0.0 if price is None else price.of(prompt, completion), prompt + completion, price is not None)
        caps = self.caps
        for name, cap, spent in (
            ("calls", caps.calls, self.calls + self._open_calls + 1),
            ("tokens", caps.tokens, self.tokens + self._open_tokens + wanted.tokens),
            ("USD", caps.usd, self.usd + self._open_usd + wanted.usd),
        ):
            if cap is not None and spent > cap:
                self.stopped_by = self.stopped_by or f"{cap:g} {name}"
                return None
        if caps.minutes is not None and self._clock() - self._started_at > caps.minutes * 60:
            self.stopped_by = self.stopped_by or f"{caps.minutes:g} minutes"
            return None
        self._open_calls += 1
        self._open_tokens += wanted.tokens
        self._open_usd += wanted.usd
        return wanted

    def settle(self, endpoint: str, reservation: Reservation, messages: tuple[Message, ...], reply: Reply | None) -> None:
        """A call ended: what it really took replaces what was set aside. A try that failed counts as a call without tokens."""
        self._open_calls -= 1
        self._open_tokens -= reservation.tokens
        self._open_usd -= reservation.usd
        if reply is None:
            return
        self.calls += 1
        prompt, completion = reply.prompt_tokens or 0, reply.completion_tokens or 0
        if reply.text and not prompt + completion:
            # A provider that counts nothing must not escape the caps: what was set aside stands for what it took.
            self.tokens += round(reservation.tokens)
            self.usd += reservation.usd
            self.n_unpriced += not reservation.priced
            return
        self.tokens += prompt + completion
        if reply.cost_usd is not None:
            self.usd += reply.cost_usd
        elif prompt + completion:
            self.n_unpriced += 1
        if completion:
            seen = self._seen.setdefault(endpoint, _Seen())
            seen.n += 1
            seen.completion += (completion - seen.completion) / seen.n
            seen.tokens_per_unit += (prompt / max(1.0, token_units(messages)) - seen.tokens_per_unit) / seen.n


def token_units(messages: tuple[Message, ...]) -> float:
    """Rough size of a prompt in tokens: one a Japanese character, one for four ASCII ones."""
    return sum(len(m.content) - 0.75 * _count_ascii(m.content) for m in messages)


def _count_ascii(text: str) -> int:
    return len(text.encode("ascii", "ignore"))
