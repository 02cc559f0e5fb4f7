"""How many calls may be open, how fast they may start, and who goes first.

One dispatcher serves the whole run. Each pool (an address, or a model of a provider) has a gate that learns from what comes back: fewer
calls open on 429 and overload, a pace just below what the provider let through, and both growing back. Caps that a user gives are a model's own.
Waiting calls are served oldest conversation first, because with a first-come queue all conversations advance at the same pace and the first
items finish late.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from jmedethic_plugin.core.transcript import Reply

_DECREASE = 0.7
_BELOW_ADMITTED = 0.9
_GROWTH_PER_S = 0.1
_GROWTH_PER_CALL = 0.1
"""Of open calls with each answer: a tenth more in the time of an answer, and at least one."""
_SLOWEST_PER_S = 0.2
_WINDOW_S = 2.0
_MEMORY_S = 10.0
_BURST_S = 2.0
"""A minute's allowance is spread evenly; at most this many seconds of it may be used at once."""


@dataclass(frozen=True, slots=True)
class RateCap:
    """What a provider allows, or the user wants used, in a minute; None is no cap."""

    requests: float | None = None
    tokens: float | None = None


class Bucket:
    """A token bucket. What was taken too little or too much is settled afterwards; it may go into debt."""

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self._per_s = per_minute / 60
        self._most = max(1.0, self._per_s * _BURST_S)
        self._level = self._most
        self._clock = clock
        self._at = clock()

    def wait_s(self, amount: float) -> float:
        """Seconds until ``amount`` may be taken; more than the bucket holds counts as a full bucket."""
        self._refill()
        return max(0.0, (min(amount, self._most) - self._level) / self._per_s)

    def take(self, amount: float) -> None:
        """Take ``amount``; a negative one gives back."""
        self._refill()
        self._level = min(self._most, self._level - amount)

    def _refill(self) -> None:
        now = self._clock()
        self._level = min(self._most, self._level + (now - self._at) * self._per_s)
        self._at = now


@dataclass(slots=True, eq=False)
class Start:
    """A call that was started, and whether it met a 429."""

    at: float
    refused: bool = False


class Cap:
    """A user's bounds on one model."""

    def __init__(self, cap: RateCap, clock: Callable[[], float]) -> None:
        self._requests = None if cap.requests is None else Bucket(cap.requests, clock)
        self._tokens = None if cap.tokens is None else Bucket(cap.tokens, clock)

    def wait_s(self, tokens: float) -> float:
        """Seconds until a call may start."""
        waits = [0.0]
        if self._requests is not None:
            waits.append(self._requests.wait_s(1))
        if self._tokens is not None:
            waits.append(self._tokens.wait_s(tokens))
        return max(waits)

    def start(self, tokens: float) -> None:
        """A call starts."""
        if self._requests is not None:
            self._requests.take(1)
        if self._tokens is not None:
            self._tokens.take(tokens)

    def settle(self, reserved: float, reply: Reply) -> None:
        """What a call really used takes the place of what was guessed."""
        used = (reply.prompt_tokens or 0) + (reply.completion_tokens or 0)
        if self._tokens is not None and used:
            self._tokens.take(used - reserved)


class Gate:
    """What one pool bears: calls open (additive increase, multiplicative decrease) and starts a second."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self.most = most
        self.limit = float(most)
        self.in_flight = 0
        self.per_s: float | None = None
        """Learned from 429: how many calls may start in a second. None until the first."""
        self._clock = clock
        self._next_at = 0.0
        self._cut_at = -1.0
        self._grown_at = 0.0
        self._starts: deque[Start] = deque()
        self._latency_s = 0.0

    def wait_s(self) -> float | None:
        """Seconds until a call may start, 0 for now; None when one must end first."""
        if self.in_flight >= max(1, int(self.limit)):
            return None
        return 0.0 if self.per_s is None else max(0.0, self._next_at - self._clock())

    def start(self) -> Start:
        """A call starts."""
        now = self._clock()
        self.in_flight += 1
        started = Start(now)
        self._starts.append(started)
        while self._starts[0].at < now - _WINDOW_S - 2 * self._latency_s - _MEMORY_S:
            self._starts.popleft()
        if self.per_s is not None:
            self.per_s *= 1 + _GROWTH_PER_S * min(1.0, now - self._grown_at)
            self._grown_at = now
            self._next_at = max(now, self._next_at) + 1 / self.per_s
        return started

    def end(self, started: Start, reply: Reply | None) -> None:
        """A call ended, without a reply when it was cancelled."""
        self.in_flight -= 1
        if reply is None:
            return
        now = self._clock()
        if reply.outcome == "rate_limited":
            started.refused = True
            self._slow_down(started, now)
        elif reply.outcome in ("overloaded", "timeout"):
            if started.at > self._cut_at:  # sent before the last cut, it tells nothing new
                self._cut_at = now
                self.limit = max(1.0, self.limit * _DECREASE)
        elif reply.outcome not in ("transport_error", "auth_error"):
            self.limit = min(float(self.most), self.limit + max(1 / max(1.0, self.limit), _GROWTH_PER_CALL))
            self._latency_s += 0.1 * (now - started.at - self._latency_s) if self._latency_s else now - started.at

    def _slow_down(self, started: Start, now: float) -> None:
        # What the provider let through of the calls that started in the seconds up to the refused one. Counted by start, so that it does not
        # matter how long answers take; counted anew with each refusal of a burst, of which the first alone would tell far too little.
        since = started.at - _WINDOW_S
        seen = [s for s in self._starts if since <= s.at <= started.at]
        admitted = sum(not s.refused for s in seen) / max(1.0, started.at - seen[0].at)
        slower = max(_SLOWEST_PER_S, _BELOW_ADMITTED * admitted)
        if self.per_s is None or slower < self.per_s:
            self.per_s = slower
            self._grown_at = now
            self._next_at = max(self._next_at, now + 1 / slower)
        if started.at > self._cut_at:
            self._cut_at = now
            # Never below what the rate itself needs open (Little's law), so that a slow but generous provider is not starved.
            needed = 2 * self.per_s * self._latency_s
            self.limit = max(1.0, self.limit * _DECREASE, min(needed, self.limit))


@dataclass(order=True, slots=True)
class _Waiting:
    priority: int
    ticket: int
    tokens: float = field(compare=False)
    turn: asyncio.Future[Start] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Lane:
    """Where a call goes: a model, and the pool whose limits it shares."""

    name: str
    pool: str


@dataclass(slots=True)
class Slot:
    """An open call; its holder puts the reply in, from which the gate learns."""

    started: Start
    reply: Reply | None = None


class Dispatcher:
    """Hands out the run's open calls.

    Parameters
    ----------
    most
        Calls open at once over all pools.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = most
        self.most = most
        self._clock = clock
        self.gates: dict[str, Gate] = {}
        self._caps: dict[str, Cap] = {}
        self._waiting: dict[Lane, list[_Waiting]] = {}
        self._tickets = count()
        self._timer: asyncio.TimerHandle | None = None

    def cap(self, lane: Lane, cap: RateCap) -> None:
        """Bound a model's requests and tokens a minute; one without a cap is only limited by what comes back."""
        self._caps[lane.name] = Cap(cap, self._clock)

    @asynccontextmanager
    async def slot(self, lane: Lane, priority: int, tokens: float = 0.0) -> AsyncIterator[Slot]:
        """Hold one open call; lower ``priority`` is served earlier.

        Parameters
        ----------
        tokens
            Estimate of the call's tokens, for the cap; settled with the reply's own count.
        """
        if lane.pool not in self.gates:
            self.gates[lane.pool] = Gate(self.most, self._clock)
        turn: asyncio.Future[Start] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting.setdefault(lane, []), _Waiting(priority, next(self._tickets), tokens, turn))
        self._pump()
        try:
            slot = Slot(await turn)
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # handed over in the same tick
                self._end(lane, turn.result(), tokens, None)
            raise
        try:
            yield slot
        finally:
            self._end(lane, slot.started, tokens, slot.reply)

    def _end(self, lane: Lane, started: Start, tokens: float, reply: Reply | None) -> None:
        self.gates[lane.pool].end(started, reply)
        if reply is not None and (cap := self._caps.get(lane.name)) is not None:
            cap.settle(tokens, reply)
        self._free += 1
        self._pump()

    def _wait_s(self, lane: Lane, tokens: float) -> float | None:
        wait = self.gates[lane.pool].wait_s()
        cap = self._caps.get(lane.name)
        return wait if wait is None or cap is None else max(wait, cap.wait_s(tokens))

    def _pump(self) -> None:
        while self._free > 0:
            ready, soonest = None, None
            for lane, queue in self._waiting.items():
                while queue and queue[0].turn.done():  # cancelled while waiting
                    heapq.heappop(queue)
                if not queue or (wait := self._wait_s(lane, queue[0].tokens)) is None:
                    continue
                if wait > 0:
                    soonest = wait if soonest is None else min(soonest, wait)
                elif ready is None or queue[0] < self._waiting[ready][0]:
                    ready = lane
            if ready is None:
                self._wake_in(soonest)
                return
            waiting = heapq.heappop(self._waiting[ready])
            self._free -= 1
            if (cap := self._caps.get(ready.name)) is not None:
                cap.start(waiting.tokens)
            waiting.turn.set_result(self.gates[ready.pool].start())

    def _wake_in(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._pump)
