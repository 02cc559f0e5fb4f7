"""Trying again, and giving up on a provider that is down. The only retries in the package: the SDKs' own are off."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from jmedethic_plugin.core.transcript import Outcome, Reply

MAX_TRIES = 6
"""For failures of transport. A 429 is no failure of the request and is bounded by time instead."""
MAX_WAIT_S = 60.0
MAX_LIMITED_S = 900.0
"""How long one call may be put off by 429 and overload altogether."""

RETRIED: frozenset[Outcome] = frozenset({"transport_error", "timeout", "rate_limited", "overloaded"})
_BUSY: frozenset[Outcome] = frozenset({"rate_limited", "overloaded"})
_FAILURES: frozenset[Outcome] = frozenset({"transport_error", "timeout", "auth_error"})

BREAK_AFTER = 20
"""Consecutive failures of an endpoint after which it is taken to be down."""
PROBE_AFTER_S = 15.0


class Backoff:
    """Whether and when one call is tried again.

    Full jitter: ``uniform(0, min(60, 0.5 * 2**try))`` seconds; a provider's Retry-After is honoured, up to 60 s, with a little jitter on top so
    that the waiting do not all come back at once.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.tries = 0
        self._failures = 0
        self._limited_s = 0.0

    def wait_s(self, reply: Reply) -> float | None:
        """Seconds to wait before the next try; None when this reply is the last word."""
        self.tries += 1
        if reply.outcome not in RETRIED:
            return None
        jitter = self._rng.uniform(0, min(MAX_WAIT_S, 0.5 * 2 ** min(self.tries, 10)))
        asked = reply.retry_after_s
        wait = jitter if asked is None else min(MAX_WAIT_S, asked) + 0.1 * min(jitter, 5.0)
        if reply.outcome in _BUSY:
            self._limited_s += wait
            return wait if self._limited_s <= MAX_LIMITED_S else None
        self._failures += 1
        return wait if self._failures < MAX_TRIES else None


Way = Literal["open", "probe", "down"]


class Breaker:
    """Stops calls to an endpoint that has failed many times in a row.

    After ``BREAK_AFTER`` failures callers wait; one of them probes after ``PROBE_AFTER_S``. A good probe opens the way again, a failed one
    ends it for this run: every further call fails at once, and the run ends early instead of running into timeouts.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.is_down = False
        self._failures = 0
        self._broke_at = 0.0
        self._probe: asyncio.Event | None = None
        self._clock = clock
        self._sleep = sleep

    async def enter(self) -> Way:
        """Wait until a call may be made, and tell what it is; who was let in must `leave`."""
        while self._failures >= BREAK_AFTER and not self.is_down:
            if self._probe is not None:
                await self._probe.wait()
                continue
            self._probe = asyncio.Event()
            try:
                await self._sleep(max(0.0, self._broke_at + PROBE_AFTER_S - self._clock()))
            except BaseException:
                self._end_probe()
                raise
            return "probe"
        return "down" if self.is_down else "open"

    def leave(self, way: Way, reply: Reply | None) -> None:
        """A call ended, without a reply when it was cancelled."""
        if reply is not None and reply.outcome in _FAILURES:
            self._failures += 1
            self._broke_at = self._clock()
            self.is_down = self.is_down or way == "probe"
        elif reply is not None:
            self._failures = 0
        if way == "probe":
            self._end_probe()

    def _end_probe(self) -> None:
        if self._probe is not None:
            self._probe.set()
        self._probe = None
