import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.core.transcript import OUTCOMES, Reply
from jmedethic_plugin.engine.retry import BREAK_AFTER, MAX_LIMITED_S, MAX_TRIES, MAX_WAIT_S, PROBE_AFTER_S, RETRIED, Backoff, Breaker
from tests.engine.virtual import run_virtually


@pytest.mark.parametrize("outcome", sorted(set(OUTCOMES) - RETRIED))
def test_content_is_never_asked_again(outcome):
    assert Backoff(random.Random(0)).wait_s(Reply(outcome=outcome)) is None


@pytest.mark.parametrize("outcome", ["transport_error", "timeout"])
def test_transport_is_tried_six_times(outcome):
    backoff = Backoff(random.Random(0))

    waits = [backoff.wait_s(Reply(outcome=outcome)) for _ in range(MAX_TRIES)]

    assert waits[-1] is None
    assert None not in waits[:-1]
    assert backoff.tries == MAX_TRIES


@pytest.mark.parametrize("outcome", ["rate_limited", "overloaded"])
def test_busy_provider_is_bounded_by_time(outcome):
    backoff, total = Backoff(random.Random(0)), 0.0

    while (wait := backoff.wait_s(Reply(outcome=outcome, retry_after_s=10))) is not None:
        total += wait

    assert MAX_LIMITED_S - 11 <= total <= MAX_LIMITED_S


@given(st.integers(0, 2**32), st.integers(1, 30), st.none() | st.floats(0, 1e6))
def test_waits_are_jittered_honour_retry_after_and_end(seed, tries, retry_after_s):
    backoff = Backoff(random.Random(seed))
    backoff.tries = tries - 1

    wait = backoff.wait_s(Reply(outcome="rate_limited", retry_after_s=retry_after_s))

    if retry_after_s is None:
        assert 0 <= wait <= min(MAX_WAIT_S, 0.5 * 2**tries)
    else:
        assert min(MAX_WAIT_S, retry_after_s) <= wait <= MAX_WAIT_S + 0.5


def fail(breaker, way="open", outcome="transport_error"):
    breaker.leave(way, Reply(outcome=outcome))


def test_provider_that_fails_twenty_times_is_probed_once_while_others_wait_and_opens_again():
    async def main(clock):
        breaker, entered = Breaker(clock), []
        for _ in range(BREAK_AFTER):
            assert await breaker.enter() == "open"
            fail(breaker)

        async def caller(name):
            way = await breaker.enter()
            entered.append((name, way, clock() - started))
            await asyncio.sleep(1)
            breaker.leave(way, Reply(outcome="ok"))

        started = clock()
        await asyncio.gather(*(caller(n) for n in range(3)))
        return entered

    entered, _ = run_virtually(main)
    assert entered[0][1:] == ("probe", PROBE_AFTER_S)
    assert [way for _, way, _ in entered[1:]] == ["open", "open"]
    assert all(at == PROBE_AFTER_S + 1 for _, _, at in entered[1:])


def test_failed_probe_ends_it_for_all_at_once():
    async def main(clock):
        breaker = Breaker(clock)
        for _ in range(BREAK_AFTER):
            fail(breaker)
        waiting = [asyncio.create_task(breaker.enter()) for _ in range(3)]
        await asyncio.sleep(PROBE_AFTER_S + 1)
        fail(breaker, "probe")
        return [await w for w in waiting], await breaker.enter()

    (ways, later), took = run_virtually(main)
    assert sorted(ways) == ["down", "down", "probe"]
    assert later == "down"
    assert took == pytest.approx(PROBE_AFTER_S + 1)


def test_one_success_in_between_starts_the_count_anew():
    breaker = Breaker()
    for _ in range(3):
        for _ in range(BREAK_AFTER - 1):
            fail(breaker)
        breaker.leave("open", Reply(outcome="blocked_input"))  # an answer of the provider, whatever it says

    assert asyncio.run(breaker.enter()) == "open"


def test_cancelled_probe_lets_another_probe():
    async def main(clock):
        breaker = Breaker(clock)
        for _ in range(BREAK_AFTER):
            fail(breaker)
        first, second = asyncio.create_task(breaker.enter()), asyncio.create_task(breaker.enter())
        await asyncio.sleep(1)
        first.cancel()
        return await second

    assert run_virtually(main)[0] == "probe"
