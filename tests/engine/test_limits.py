"""Who may call, when: the dispatcher against providers that say no."""

from __future__ import annotations

import asyncio
import random

import pytest

from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.engine.limits import Bucket, Dispatcher, Lane, RateCap
from jmedethic_plugin.engine.retry import Backoff
from tests.engine.virtual import run_virtually

M = Lane("m", "m")
OK = Reply(outcome="ok", text="x", prompt_tokens=700, completion_tokens=300)


def test_open_calls_are_bounded_and_the_oldest_goes_first():
    async def main(clock):
        dispatcher, served, open_now, peak = Dispatcher(2, clock), [], 0, 0

        async def work(priority):
            nonlocal open_now, peak
            async with dispatcher.slot(M, priority) as slot:
                open_now += 1
                peak = max(peak, open_now)
                served.append(priority)
                await asyncio.sleep(1)
                open_now -= 1
                slot.reply = OK

        first = [asyncio.create_task(work(p)) for p in (8, 9)]
        await asyncio.sleep(0)
        await asyncio.gather(*first, *(work(p) for p in (5, 3, 4)))
        return served, peak

    assert run_virtually(main)[0] == ([8, 9, 3, 4, 5], 2)


@pytest.mark.parametrize("started", [False, True])
def test_cancelled_call_gives_its_slot_on(started):
    async def main(clock):
        dispatcher = Dispatcher(1, clock)

        async def hold(seconds):
            async with dispatcher.slot(M, 0):
                await asyncio.sleep(seconds)

        holder = asyncio.create_task(hold(10))
        await asyncio.sleep(0)
        waiter = asyncio.create_task(hold(10))
        await asyncio.sleep(0)
        if started:
            holder.cancel()
            await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(holder, waiter, return_exceptions=True)
        await asyncio.wait_for(hold(1), 5)

    run_virtually(main)


def test_endpoints_share_the_slots_but_one_that_waits_holds_none():
    async def main(clock):
        dispatcher, order = Dispatcher(4, clock), []
        dispatcher.cap(Lane("slow", "slow"), RateCap(requests=60))

        async def work(endpoint, priority):
            async with dispatcher.slot(Lane(endpoint, endpoint), priority) as slot:
                order.append((endpoint, round(clock() - started, 1)))
                await asyncio.sleep(0.1)
                slot.reply = OK

        started = clock()
        await asyncio.gather(*(work("slow", p) for p in range(6)), *(work("fast", 100 + p) for p in range(40)))
        return order

    order = run_virtually(main)[0]
    assert max(t for endpoint, t in order if endpoint == "fast") <= 1.5
    slow = [t for endpoint, t in order if endpoint == "slow"]
    assert slow == pytest.approx([0, 0, 1, 2, 3, 4], abs=0.11)  # two seconds' worth at once, then one a second


def test_token_cap_holds_over_a_minute_and_is_settled_with_real_use():
    async def main(clock):
        dispatcher, started_at = Dispatcher(50, clock), []
        dispatcher.cap(M, RateCap(tokens=60_000))

        async def work(priority):
            async with dispatcher.slot(M, priority, tokens=500) as slot:  # guessed at half of what it takes
                started_at.append(clock() - begin)
                await asyncio.sleep(1)
                slot.reply = OK

        begin = clock()
        await asyncio.gather(*(work(p) for p in range(180)))
        return started_at

    started_at = run_virtually(main)[0]
    for second in range(int(max(started_at))):
        tokens = 1000 * sum(second <= t < second + 60 for t in started_at)
        assert tokens <= 60_000 + 2 * 1000 + 4000  # the bucket's two seconds and what was guessed too low before the first replies


def test_bucket_in_debt_makes_others_wait():
    now = 0.0
    bucket = Bucket(60, lambda: now)
    bucket.take(12)
    assert bucket.wait_s(1) == pytest.approx(11)
    now = 11.0
    assert bucket.wait_s(1) == pytest.approx(0)


class Storm:
    """A provider that admits ``per_s`` calls a second and answers 429 with Retry-After above it."""

    def __init__(self, clock, per_s, latency_s, retry_after_s=1.0):
        self.clock, self.per_s, self.latency_s, self.retry_after_s = clock, per_s, latency_s, retry_after_s
        self.tokens, self.at, self.answered, self.refused = per_s, clock(), 0, 0

    async def call(self):
        await asyncio.sleep(self.latency_s)
        now = self.clock()
        self.tokens = min(self.per_s, self.tokens + (now - self.at) * self.per_s)
        self.at = now
        if self.tokens < 1:
            self.refused += 1
            return Reply(outcome="rate_limited", retry_after_s=self.retry_after_s)
        self.tokens -= 1
        self.answered += 1
        return OK


@pytest.mark.parametrize("latency_s", [0.05, 0.2, 2.0])
@pytest.mark.parametrize("per_s", [5, 20, 100])
@pytest.mark.parametrize("n_models", [1, 3])
def test_storm_of_429_is_ridden_close_to_the_providers_own_limit(per_s, latency_s, n_models):
    n = 60 * per_s

    async def main(clock):
        dispatcher, provider, rng = Dispatcher(64, clock), Storm(clock, per_s, latency_s), random.Random(1)

        async def work(priority):
            backoff = Backoff(rng)
            while True:
                async with dispatcher.slot(Lane(f"model {priority % n_models}", "server"), priority) as slot:
                    slot.reply = await provider.call()
                if (wait := backoff.wait_s(slot.reply)) is None:
                    return slot.reply.outcome
                await asyncio.sleep(wait)

        outcomes = await asyncio.gather(*(work(p) for p in range(n)))
        return set(outcomes), provider

    (outcomes, provider), took = run_virtually(main)
    possible = min(per_s, 64 / latency_s)
    assert outcomes == {"ok"}
    assert provider.answered == n
    assert took <= 1.15 * n / possible + 2 * latency_s
    assert provider.refused <= 0.15 * n + 64


def test_quick_refusals_of_a_slow_provider_do_not_starve_it():
    """Ten of the first calls meet a 429 at once, while no answer has come back yet: the rest go on at full width."""
    n, refusals = 640, 10

    async def main(clock):
        dispatcher, rng, refused = Dispatcher(64, clock), random.Random(1), 0

        async def work(priority):
            nonlocal refused
            backoff = Backoff(rng)
            while True:
                async with dispatcher.slot(M, priority) as slot:
                    if refused < refusals:
                        refused += 1
                        await asyncio.sleep(0.05)
                        slot.reply = Reply(outcome="rate_limited", retry_after_s=1.0)
                    else:
                        await asyncio.sleep(8)
                        slot.reply = OK
                if (wait := backoff.wait_s(slot.reply)) is None:
                    return
                await asyncio.sleep(wait)

        await asyncio.gather(*(work(p) for p in range(n)))

    assert run_virtually(main)[1] <= 1.25 * n * 8 / 64


def test_overload_lowers_the_open_calls_and_success_raises_them_again():
    async def main(clock):
        dispatcher = Dispatcher(32, clock)

        async def call(reply, seconds):
            async with dispatcher.slot(M, 0) as slot:
                await asyncio.sleep(seconds)
                slot.reply = reply

        await asyncio.gather(*(call(Reply(outcome="overloaded"), 1) for _ in range(32)))
        lowered = dispatcher.gates["m"].limit
        for _ in range(40):
            await asyncio.gather(*(call(OK, 1) for _ in range(32)))
        return lowered, dispatcher.gates["m"].limit

    (lowered, raised), _ = run_virtually(main)
    assert lowered == pytest.approx(32 * 0.7)  # one cut for calls that were sent before it
    assert raised == 32
