from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from jmedethic_plugin.core.guideline import Discovered, Strategy, StrategyFile, StrategyText
from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.corpus.loading import read_source
from jmedethic_plugin.engine.budget import Caps
from jmedethic_plugin.engine.scheduler import Limits
from jmedethic_plugin.generation import strategies
from jmedethic_plugin.generation.common import Access, DroppedError
from jmedethic_plugin.generation.discovery import PROMPTS, Finding, LifelongJob, RequestJob, Roles, Search, discover, live_long
from jmedethic_plugin.generation.questions import Request
from jmedethic_plugin.generation.strategies import (
    Distinct,
    discovery_asks,
    discovery_step,
    distinct,
    find_strategies,
)

ROLES = Roles("demo/attacker", "demo/filter-d", "demo/scorer", "demo/summarizer")


def request_of(n=1):
    return Request(id=f"en-B11-{n}", language="en", guideline="B11", generator="demo/generator-a", request=f"a harmless aim {n}",
                   violating="an outline", acceptable="another outline")  # fmt: skip


@pytest.fixture
def search(corpus):
    def make(**more):
        return Search(**{"roles": ROLES, "guidelines": corpus.guidelines, "attempts": 4, "summaries": 3, "passes": 2} | more)

    return make


@dataclass
class Stage:
    """Plays all four parts: scores in a given order, names what it is told, keeps what it was asked."""

    scores: list[float]
    names: list[str]

    def __post_init__(self):
        self.asked = []
        self.n = 0

    def answer(self, ask):
        self.asked.append(ask)
        if ask.role != "writer":
            return Reply(outcome="ok", text=f"reply to {ask.messages[-1].content}" if ask.role == "target" else json.dumps([float(len(self.asked)), 0.0]))
        material = json.loads(ask.messages[-1].content)
        if "mode" in material:
            self.n += 1
            text = {"prompt": f"prompt {self.n}"}
        elif "reply" in material:
            text = {"assessment": "a", "score": self.scores.pop(0)}
        else:
            text = {"name": self.names.pop(0), "definition": "d"}
        return Reply(outcome="ok", text=json.dumps(text))

    def hold(self, talk):
        ask = next(talk)
        try:
            while True:
                ask = talk.send(self.answer(ask))
        except StopIteration as end:
            return end.value

    def materials(self, key):
        return [m for a in self.asked if a.role == "writer" and key in (m := json.loads(a.messages[-1].content))]


def test_attempts_know_nothing_of_each_other_and_pairs_are_put_in_order_of_score(search):
    stage = Stage([1.0, 3.0, 7.0, 2.0], ["A", "B", "A"])

    made = stage.hold(discover(search(), RequestJob(request_of())))

    attacks = [a for a in stage.asked if "mode" in a.messages[-1].content]
    assert len({a.messages for a in attacks}) == 1
    assert [a.sample for a in attacks] == [1, 2, 3, 4]
    pairs = stage.materials("weaker")
    assert len(pairs) == 3
    assert all(p["weaker"]["score"] <= p["stronger"]["score"] and p["weaker"] != p["stronger"] and p["known"] == [] for p in pairs)
    assert [f.gain for f in made.findings] == [p["stronger"]["score"] - p["weaker"]["score"] for p in pairs]
    assert (made.n_attempts, made.best, made.lost) == (4, 7.0, {})


def test_pairs_are_drawn_by_the_seed_alone(search):
    def pairs(seed):
        stage = Stage([1.0, 3.0, 7.0, 2.0], list("ABCDEFGHIJ"))
        stage.hold(discover(search(seed=seed, summaries=10), RequestJob(request_of())))
        return [p["stronger"]["prompt"] + p["weaker"]["prompt"] for p in stage.materials("weaker")]

    assert pairs(1) == pairs(1)
    assert pairs(1) != pairs(2)


def test_a_declining_attacker_sends_the_bare_request_and_a_blocked_attempt_is_counted(search):
    class Odd(Stage):
        def answer(self, ask):
            if ask.role == "target" and ask.sample == 2:
                return Reply(outcome="blocked_output")
            if "mode" in ask.messages[-1].content and ask.sample == 1:
                return Reply(outcome="ok", text="I'm sorry, but I can't help with that.")
            return super().answer(ask)

    stage = Odd([1.0, 5.0, 2.0], list("ABC"))
    made = stage.hold(discover(search(), RequestJob(request_of())))

    assert (made.n_attempts, made.n_bare, made.lost) == (4, 1, {"blocked": 1})
    assert next(a for a in stage.asked if a.role == "target").messages[0].content == "a harmless aim 1"


def test_a_request_without_two_attempts_is_dropped(search):
    class Blocked(Stage):
        def answer(self, ask):
            return Reply(outcome="blocked_input") if ask.role == "target" else super().answer(ask)

    with pytest.raises(DroppedError) as dropped:
        Blocked([], []).hold(discover(search(), RequestJob(request_of())))
    assert dropped.value.reason == "too_few_attempts"


def test_a_fault_ends_the_job_so_that_it_is_asked_again(search):
    class Down(Stage):
        def answer(self, ask):
            return Reply(outcome="timeout") if ask.role == "target" else super().answer(ask)

    with pytest.raises(DroppedError) as dropped:
        Down([], []).hold(discover(search(), RequestJob(request_of())))
    assert dropped.value.reason == "fault"


def test_warm_up_pairs_lowest_with_highest_and_stops_at_the_break_score(search):
    stage = Stage([3.0, 1.0, 8.5], ["A"])

    made = stage.hold(live_long(search(passes=0), LifelongJob((request_of(),))))

    assert made.n_attempts == 3  # 8.5 ends it
    (pair,) = stage.materials("weaker")
    assert (pair["weaker"]["score"], pair["stronger"]["score"]) == (1.0, 8.5)
    assert [f.gain for f in made.findings] == [7.5]


def test_warm_up_without_a_gain_pairs_with_the_bare_request(search):
    stage = Stage([2.0] * 4, ["A"])
    stage.hold(live_long(search(passes=0), LifelongJob((request_of(),))))

    (pair,) = stage.materials("weaker")
    assert pair["weaker"] == {"prompt": "a harmless aim 1", "score": 1.0}
    assert pair["stronger"]["score"] == 2.0


def test_lifelong_attempts_use_what_was_learnt_and_learn_only_from_a_rise(search):
    # Warm-up 1.0 to 7.0 (gain 6: strong), then a lap: 2.0, 4.0 (a rise), 3.0, 9.0 (a rise, and the end).
    stage = Stage([1.0, 7.0, 2.0, 4.0, 3.0, 9.0], ["Strong", "Weak", "Strong"])

    made = stage.hold(live_long(search(attempts=2, passes=1), LifelongJob((request_of(),))))

    modes = [(m["mode"], [s["name"] for s in m["strategies"]]) for m in stage.materials("mode")]
    assert modes == [("free", []), ("free", []), ("free", []), ("use", ["Strong"])]
    assert [(f.name, f.gain) for f in made.findings] == [("Strong", 6.0), ("Weak", 2.0)]
    assert [k["name"] for k in stage.materials("weaker")[1]["known"]] == ["Strong"]


def test_every_attempt_of_a_request_is_another_sample(search):
    stage = Stage([2.0] * 12, list("ABCDEFGHIJKL"))
    stage.hold(live_long(search(attempts=3, passes=3), LifelongJob((request_of(),))))

    samples = [a.sample for a in stage.asked if a.role == "target"]
    assert samples == list(range(1, 13))


def test_embedder_is_asked_for_the_last_reply(search):
    stage = Stage([1.0, 7.0, 2.0, 4.0], list("ABC"))
    roles = Roles("demo/attacker", "demo/filter-d", "demo/scorer", "demo/summarizer", "demo/embedder")
    stage.hold(live_long(search(roles=roles, attempts=2, passes=1), LifelongJob((request_of(),))))

    embedded = [a.messages[0].content for a in stage.asked if a.role == "embedder"]
    assert embedded == ["reply to prompt 1", "reply to prompt 3", "reply to prompt 3"]
    assert ("demo/embedder", "embedder") in roles.models(lifelong=True)
    assert ("demo/embedder", "embedder") not in roles.models(lifelong=False)


def finding(name, definition, gain=1.0):
    return Finding(name=name, definition=definition, example="x", gain=gain, request="en-B11-1")


def test_findings_of_one_name_or_one_definition_are_one_strategy(corpus):
    long = "The speaker puts the whole matter into a play so that it looks like fiction"
    found = distinct(
        [finding("A", long, 2.0), finding("A", "whatever", 4.0), finding("B", f"{long} again", 9.0), finding("C", "Something else entirely", 5.0)],
        corpus.strategies,
    )

    assert found == [Distinct("A", long, 3, 5.0, ("B",)), Distinct("C", "Something else entirely", 1, 5.0)]


def test_a_finding_of_the_catalogue_is_told(corpus):
    (known,) = distinct([finding("X", corpus.strategies["temporal_override"].idea.en)], corpus.strategies)

    assert known.resembles == "temporal_override"


@pytest.mark.parametrize("lifelong", [False, True])
def test_discovery_ends_in_a_file_of_the_catalogues_form(tmp_path, corpus, search, lifelong):
    requests = [request_of(n) for n in range(1, 9)]
    found = search()
    step = discovery_step(tmp_path, found, requests, Access(), lifelong=lifelong)

    reports, said = find_strategies(step, found, requests, corpus.strategies, lifelong=lifelong, keep=2)

    assert all(r.complete for r in reports)
    file = read_source(tmp_path / "strategies.yaml", StrategyFile).value
    assert (file.discovered.demo, file.discovered.origin) == (True, "machine-made, unreviewed")
    assert 1 <= len(file.strategies) <= 2
    assert all(isinstance(s, StrategyText) and s.id.startswith("demo_") and len(s.turns) == 3 for s in file.strategies)
    assert said[0].startswith(f"attempts: {32 if not lifelong else ''}")
    before = {p.name: p.read_bytes() for p in tmp_path.glob("*.*") if p.suffix in (".jsonl", ".yaml")}
    find_strategies(step, found, requests, corpus.strategies, lifelong=lifelong, keep=2)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("lifelong", [False, True])
def test_a_stopped_discovery_goes_on_and_pays_for_nothing_twice(tmp_path, corpus, search, lifelong):
    requests = [request_of(n) for n in range(1, 5)]
    found = search()
    whole = discovery_step(tmp_path / "whole", found, requests, Access(), lifelong=lifelong)
    find_strategies(whole, found, requests, corpus.strategies, lifelong=lifelong, keep=7)

    def sitting(calls):
        step = discovery_step(tmp_path / "parts", found, requests, Access(limits=Limits(max_in_flight=2, caps=Caps(calls=calls))), lifelong=lifelong)
        return find_strategies(step, found, requests, corpus.strategies, lifelong=lifelong, keep=7)[0]

    assert sitting(9)[0].n_open > 0
    assert sitting(9)[0].n_open > 0
    reports = sitting(10_000)

    assert all(r.complete for r in reports)
    assert json.loads((tmp_path / "parts/strategies.json").read_text())["calls"] == json.loads((tmp_path / "whole/strategies.json").read_text())["calls"]
    assert (tmp_path / "parts/discovery.jsonl").read_bytes() == (tmp_path / "whole/discovery.jsonl").read_bytes()


def test_texts_that_yaml_would_read_as_something_else_come_back_as_they_were(tmp_path):
    texts = {"ja": "null", "en": "- 3: 'x' # y\nz"}
    found = {"name": "12", "definition": "true", "n_found": 1, "mean_gain": 0.5, "merged": ["1.5", "title"], "resembles": None}
    entry = {"title": texts, "idea": texts, "turns": [texts] * 3, "marks": texts, "id": "x", "number": 1, "found": found}
    strategy = Strategy.model_validate_json(json.dumps(entry))
    (tmp_path / "s.yaml").write_text(strategies.strategies_yaml([strategy], Discovered(demo=False, method="title")), encoding="utf-8")

    file = read_source(tmp_path / "s.yaml", StrategyFile).value
    assert (file.strategies, file.discovered) == ((strategy,), Discovered(demo=False, method="title"))


def test_names_become_ids_of_their_own():
    used = set()
    for name in ("The Play", "the play!", "9 lives", "日本 A", "x" * 90):
        used.add(strategies._slug(name, used))

    assert used == {"the_play", "the_play_2", "s_9_lives", "a", "x" * 40}


def test_lifelong_plan_knows_that_calls_follow_each_other(tmp_path, search):
    fast, slow = (
        discovery_step(tmp_path, search(), [request_of()], Access(), lifelong=lifelong).plan(discovery_asks(search(passes=1), [request_of()], lifelong=True), 1)
        for lifelong in (False, True)
    )

    assert slow.minutes > 10 * fast.minutes


def test_plan_counts_every_call_of_the_paper(search):
    times = {}
    for ask, n in discovery_asks(search(), [request_of(), request_of(2)], lifelong=False):
        times[ask.model] = times.get(ask.model, 0) + n

    assert times == {"demo/attacker": 8, "demo/filter-d": 8, "demo/scorer": 8, "demo/summarizer": 6}


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_are_there_in_both_languages(name):
    folder = Path(strategies.__file__).parents[1] / "prompts"

    assert all("JSON" in (folder / f"{name}_{language}.md").read_text(encoding="utf-8") for language in ("ja", "en"))
