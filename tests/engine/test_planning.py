import pytest

from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.engine.limits import RateCap
from jmedethic_plugin.engine.planning import ASSUMED_REPLY_TOKENS, ASSUMED_THIRD, observe, plan_judging, plan_run
from jmedethic_plugin.engine.ports import Price
from jmedethic_plugin.prompts.judge import JudgeTask

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


def test_third_judge_and_sentinels_are_counted_and_the_fallback_is_named(corpus):
    task = JudgeTask("ja", None, "aim", "bad", "good", (("q", "a"),))
    plain, found = plan(corpus), plan(corpus, third="c", fallback="d", sentinels=[task] * 4)

    calls, before = ({(r.model, r.language): r.calls for r in p.rows} for p in (found, plain))
    assert calls["a", "ja"] == before["a", "ja"] + 4
    assert calls["c", "ja"] == pytest.approx(ASSUMED_THIRD * (6 + 4))
    assert calls["t", "ja"] == before["t", "ja"]
    text = "\n".join(found.lines())
    assert "4 sentinels included" in text
    assert "the third judge c is heard on 15% of the turns" in text
    assert "the fallback judge d in the place of another" in text


def test_exam_asks_every_judge_everything(corpus):
    tasks = [JudgeTask(language, None, "aim", "bad", "good", (("q", "a" * n),)) for language, n in (("ja", 10), ("ja", 4000), ("en", 10))]

    found = plan_judging(tasks, ("a", "b"), prices={"a": Price(3, 4)}, max_in_flight=10, rates={})

    rows = {(r.model, r.language): r for r in found.rows}
    assert {key: r.calls for key, r in rows.items()} == {("a", "ja"): 2, ("b", "ja"): 2, ("a", "en"): 1, ("b", "en"): 1}
    assert rows["a", "ja"].prompt_tokens > 2 * rows["a", "en"].prompt_tokens
    assert rows["a", "en"].usd == pytest.approx(Price(3, 4).of(rows["a", "en"].prompt_tokens, ASSUMED_REPLY_TOKENS["judge"]))
    assert found.lines()[0].startswith("3 answers to judge, 6 calls, about ")
