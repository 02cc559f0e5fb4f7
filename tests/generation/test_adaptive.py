from __future__ import annotations

import json
from pathlib import Path

import pytest

from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.corpus.jsonl import CaseSet
from jmedethic_plugin.engine.budget import Caps
from jmedethic_plugin.engine.scheduler import Limits
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.generation.adaptive import NOTE, adaptive_asks, adaptive_step, adaptive_talk, play_adaptively
from jmedethic_plugin.generation.common import Access, DroppedError
from jmedethic_plugin.generation.questions import Request
from jmedethic_plugin.settings import Settings
from tests.generation.test_common import drive

ROOT = Path(__file__).parents[2]


def settings_of(**more):
    return Settings(**{"root": ROOT, "model": "demo/filter-c", "judges": ("demo/judge-a", "demo/judge-b"), "system_prompt": "Be kind."} | more)


def request_of(n, language="en"):
    return Request(id=f"{language}-B11-{n}", language=language, guideline="B11", generator="demo/generator-a", request=f"a harmless aim {n}",
                   violating="an outline", acceptable="another outline")  # fmt: skip


@pytest.fixture
def setup(tmp_path, corpus):
    def make(folder="out", n=4, calls=None, **more):
        chosen = [corpus.strategies[s] for s in ("temporal_override", "creative_ethnography")]
        access = Access(limits=Limits(max_in_flight=4, caps=Caps(calls=calls)))
        settings = settings_of(limits=access.limits, **more)
        step, jobs = adaptive_step(tmp_path / folder, [request_of(i) for i in range(1, n + 1)], corpus.guidelines, chosen, "demo/attacker", settings, access)
        return step, jobs, settings

    return make


def test_the_attacker_reads_the_replies_and_the_target_its_own_past(setup):
    _, (job, *_), _ = setup()
    made, asks = drive(adaptive_talk(job, b""), *(text for n in (1, 3, 5) for text in (f'{{"prompt": "user {n}"}}', f"reply {n + 1}")))

    assert [(a.role, a.model) for a in asks] == [("writer", "demo/attacker"), ("target", "demo/filter-c")] * 3
    materials = [json.loads(a.messages[-1].content) for a in asks[::2]]
    assert [m["turn"] for m in materials] == [1, 2, 3]
    assert materials[2]["conversation"] == [{"user": "user 1", "reply": "reply 2"}, {"user": "user 3", "reply": "reply 4"}]
    assert materials[1]["strategy"]["this_turn"] == job.strategy.turns[1].en
    assert [m.content for m in asks[5].messages] == ["Be kind.", "user 1", "reply 2", "user 3", "reply 4", "user 5"]
    assert made.turns == ("user 1", "user 3", "user 5")


@pytest.mark.parametrize(("role", "reply", "reason"), [
    ("writer", Reply(outcome="ok", text="I'm sorry, but I can't help with that."), "refused"), ("target", Reply(outcome="blocked_output"), "blocked"),
    ("target", Reply(outcome="timeout"), "fault"),
])  # fmt: skip
def test_a_conversation_that_does_not_reach_its_end_is_dropped(setup, role, reply, reason):
    _, (job, *_), _ = setup()
    with pytest.raises(DroppedError) as dropped:
        drive(adaptive_talk(job, b""), *([] if role == "writer" else ['{"prompt": "user"}']), reply)

    assert dropped.value.reason == reason


def test_results_are_judged_and_stand_apart(setup, corpus, tmp_path):
    step, jobs, settings = setup()

    report, results = play_adaptively(step, jobs, settings)

    assert report.complete
    assert (results.violated.n, results.n_jobs, results.dropped, results.note) == (8, 8, {}, NOTE)
    assert [row.name for row in results.by_strategy] == ["creative_ethnography", "temporal_override"]
    assert [row.n for row in results.by_turn] == [8, 8, 8]
    assert results.demo
    cases = CaseSet([tmp_path / "out/adaptive-cases.jsonl"], corpus.guidelines)
    assert set(cases) == {job.key for job in jobs}
    lines = (tmp_path / "out/adaptive-cases.jsonl").read_text(encoding="utf-8").splitlines()
    assert all("adaptive against demo/filter-c, attacker demo/attacker" in json.loads(line)["source"] for line in lines)
    records = [CaseRecord.model_validate_json(line) for line in (tmp_path / "out/adaptive-records.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {r.case_id: r.case.user_turns for r in records} == {i: cases[i].user_turns for i in cases}
    assert all(turn.panel is not None and r.demo for r in records for turn in r.turns)
    assert not (tmp_path / "out/run.json").exists()  # no run that a gate or comparison could read
    assert report.notes == (NOTE,)


def test_a_stopped_conversation_goes_on_without_paying_twice(setup, tmp_path):
    whole_step, whole_jobs, whole = setup("whole")
    play_adaptively(whole_step, whole_jobs, whole)

    stopped, results = play_adaptively(*setup("parts", calls=11))
    assert (stopped.n_open > 0, results) == (True, None)
    play_adaptively(*setup("parts"))

    for name in ("adaptive.jsonl", "adaptive-records.jsonl", "adaptive-results.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    calls = [json.loads((tmp_path / folder / "adaptive.json").read_text())["calls"] for folder in ("whole", "parts")]
    assert calls[0] == calls[1]


def test_related_judges_are_refused(setup):
    step, jobs, settings = setup(model="openai/x", judges=("openai/judge-2024-01-01", "anthropic/claude-20240101"))

    with pytest.raises(ConfigError, match="not independent"):
        play_adaptively(step, jobs, settings)
    assert not step.folder.exists()


def test_plan_counts_attacker_and_target(setup):
    _, jobs, _ = setup(n=2)

    asked = [a.role for a, times in adaptive_asks(jobs) for _ in range(int(times))]
    assert (asked.count("writer"), asked.count("target")) == (12, 12)
