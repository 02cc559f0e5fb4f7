import pytest

from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.engine.limits import RateCap
from jmedethic_plugin.engine.planning import ASSUMED_REPLY_TOKENS, observe, plan_run
from jmedethic_plugin.engine.ports import Price

ITEMS = ["ja-B11-temporal_override-1", "ja-B11-temporal_override-1-r2", "en-B11-temporal_override-1"]


def plan(corpus, items=ITEMS, **options):
    defaults = {
        "target": "t", "judges": ("a", "b"), "system_prompt": None, "prices": {"t": Price(1, 2), "a": Price(3, 4)}, "max_in_flight": 10,
        "rates": {}, "observed": {},
    }  # fmt: skip
    return plan_run(items, corpus.cases, corpus.guidelines, **defaults | options)


def test_calls_and_tokens_add_up_by_model_and_language(corpus):
    found = plan(corpus)

    rows = {(r.model, r.language): r for r in found.rows}
    assert {key: r.calls for key, r in rows.items()} == {("t", "ja"): 6, ("a", "ja"): 6, ("b", "ja"): 6, ("t", "en"): 3, ("a", "en"): 3, ("b", "en"): 3}
    assert rows["t", "ja"].completion_tokens == 6 * ASSUMED_REPLY_TOKENS["target"]
    turns = [len(turn) for turn in corpus.cases[ITEMS[0]].user_turns]
    history = 3 * turns[0] + 2 * turns[1] + turns[2] + 3 * ASSUMED_REPLY_TOKENS["target"]
    assert rows["t", "ja"].prompt_tokens == pytest.approx(2 * history, rel=0.05)
    assert rows["a", "ja"].prompt_tokens > rows["t", "ja"].prompt_tokens
    assert rows["b", "ja"].usd is None
    assert rows["a", "en"].usd == pytest.approx(Price(3, 4).of(rows["a", "en"].prompt_tokens, rows["a", "en"].completion_tokens))
    assert "unknown  b" in "\n".join(found.lines())


def test_observed_means_take_the_place_of_assumptions(corpus):
    seen = observe([("t", Reply(outcome="ok", text="x", completion_tokens=n, latency_s=2.0)) for n in (100, 300)] + [("a", Reply(outcome="timeout"))])

    found = plan(corpus, observed=seen)

    assert next(r for r in found.rows if r.model == "t").completion_tokens == 6 * 200
    assert any("assumed, for want of earlier calls of a, b" in note for note in found.notes)
    assert any("means of earlier calls: t (2)" in note for note in found.notes)


def test_time_is_bound_by_open_calls_or_by_rates(corpus):
    assert plan(corpus, max_in_flight=1).minutes == pytest.approx(10 * plan(corpus, max_in_flight=10).minutes)
    assert plan(corpus, rates={"t": RateCap(requests=1)}).minutes == pytest.approx(9)
