import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.core.transcript import Message, Reply
from jmedethic_plugin.engine.budget import Budget, Caps
from jmedethic_plugin.engine.ports import Price, Sampling

MESSAGES = (Message(role="user", content="あ" * 400),)
PRICE = Price(prompt=1.0, completion=10.0)


def reply(prompt=400, completion=100, price=PRICE):
    return Reply(outcome="ok", text="x", prompt_tokens=prompt, completion_tokens=completion, cost_usd=None if price is None else price.of(prompt, completion))


@given(st.integers(1, 20), st.integers(1, 30))
def test_calls_never_exceed_their_cap_however_many_are_open(cap, wanted):
    budget = Budget(Caps(calls=cap))

    held = [r for _ in range(wanted) if (r := budget.reserve("m", MESSAGES, Sampling(), None)) is not None]
    for r in held:
        budget.settle("m", r, MESSAGES, reply())

    assert len(held) == budget.calls == min(cap, wanted)
    assert (budget.stopped_by is None) == (wanted <= cap)


def test_money_is_reserved_before_it_is_spent_and_given_back_when_less_was_needed():
    budget = Budget(Caps(usd=0.025))
    sampling = Sampling(max_tokens=1000)  # 400 prompt + 1000 completion tokens: 0.0104 USD set aside
    first = budget.reserve("m", MESSAGES, sampling, PRICE)
    second = budget.reserve("m", MESSAGES, sampling, PRICE)

    assert budget.reserve("m", MESSAGES, sampling, PRICE) is None
    assert budget.stopped_by == "0.025 USD"
    for r in (first, second):
        budget.settle("m", r, MESSAGES, reply())
    assert budget.usd == pytest.approx(2 * 0.0014)
    assert budget.reserve("m", MESSAGES, sampling, PRICE) is not None


def test_tokens_are_learned_from_what_came_back():
    budget = Budget(Caps())
    for _ in range(3):
        budget.settle("m", budget.reserve("m", MESSAGES, Sampling(), None), MESSAGES, reply(prompt=600, completion=50))

    prompt, completion = budget.estimate("m", MESSAGES, Sampling())

    assert (prompt, completion) == (pytest.approx(600), pytest.approx(100))  # twice the mean reply, to be safe


def test_cancelled_call_costs_nothing_and_unpriced_ones_are_counted():
    budget = Budget(Caps(tokens=2000))
    budget.settle("m", budget.reserve("m", MESSAGES, Sampling(max_tokens=500), None), MESSAGES, None)
    assert (budget.calls, budget.tokens) == (0, 0)
    budget.settle("m", budget.reserve("m", MESSAGES, Sampling(max_tokens=500), None), MESSAGES, reply(price=None))
    assert (budget.calls, budget.tokens, budget.n_unpriced) == (1, 500, 1)


def test_time_is_a_limit_too():
    now = 0.0
    budget = Budget(Caps(minutes=2), clock=lambda: now)
    assert budget.reserve("m", MESSAGES, Sampling(), None) is not None
    now = 121.0
    assert budget.reserve("m", MESSAGES, Sampling(), None) is None
    assert budget.stopped_by == "2 minutes"


def test_reply_without_token_counts_stands_at_what_was_set_aside():
    budget = Budget(Caps(tokens=1000))
    silent = Reply(outcome="ok", text="x")
    budget.settle("m", budget.reserve("m", MESSAGES, Sampling(max_tokens=500), PRICE), MESSAGES, silent)

    assert (budget.tokens, budget.usd, budget.n_unpriced) == (900, pytest.approx(0.0054), 0)
    assert budget.reserve("m", MESSAGES, Sampling(max_tokens=500), PRICE) is None
