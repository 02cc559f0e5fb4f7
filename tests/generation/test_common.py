from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.transcript import Message, Reply
from jmedethic_plugin.engine.asking import Ask
from jmedethic_plugin.engine.budget import Caps
from jmedethic_plugin.engine.ports import Price, Sampling
from jmedethic_plugin.engine.scheduler import Limits
from jmedethic_plugin.errors import ConfigError, EngineError
from jmedethic_plugin.generation.common import Access, DroppedError, Step, ask_for, read_made, read_report, schema_of


class Word(Value):
    word: str


@dataclass(frozen=True)
class Job:
    key: str


@dataclass
class Fake:
    """A model that answers by a function of its last message."""

    answer: Any
    model_id: str = "fake/one"
    is_demo: bool = False
    asked: list[str] = field(default_factory=list)

    def identity(self):
        return {"model": self.model_id}

    def price(self):
        return Price(0.0, 0.0)

    async def complete(self, messages, sampling):
        self.asked.append(messages[-1].content)
        answer = self.answer(messages)
        return answer if isinstance(answer, Reply) else Reply(outcome="ok", text=answer, completion_tokens=10, prompt_tokens=10, cost_usd=0.0)


@dataclass(frozen=True)
class FakeAccess(Access):
    fake: Any = None

    def model(self, model_id, role):
        return self.fake


def step(folder, fake, **more):
    limits = more.pop("limits", Limits(max_in_flight=4))
    return Step(folder, "words", (("fake/one", "writer"),), {"input": 1, **more}, FakeAccess(limits=limits, fake=fake))


def ask(text):
    return Ask("fake/one", "writer", "en", (Message(role="user", content=text),), Sampling())


def talk(job, secret):
    return (yield from ask_for(ask(job.key), Word))


def said(messages):
    return json.dumps({"word": messages[-1].content.upper()})


JOBS = [Job(f"job-{n:02}") for n in range(20)]


def test_every_job_is_asked_once_and_stands_in_the_file_in_order_of_keys(tmp_path):
    fake = Fake(said)

    report = step(tmp_path, fake).run(reversed(JOBS), 20, talk)

    assert (report.n_kept, report.n_open, report.complete) == (20, 0, True)
    assert len(fake.asked) == 20
    assert [(key, word.word) for key, word in read_made(tmp_path, "words", Word).items()] == [(j.key, j.key.upper()) for j in JOBS]


def test_repeating_a_finished_step_calls_nobody_and_changes_no_byte(tmp_path):
    step(tmp_path, Fake(said)).run(JOBS, 20, talk)
    before = (tmp_path / "words.jsonl").read_bytes()
    again = Fake(said)

    report = step(tmp_path, again).run(JOBS, 20, talk)

    assert again.asked == []
    assert report.n_kept == 20
    assert (tmp_path / "words.jsonl").read_bytes() == before


def test_a_limit_leaves_jobs_open_and_the_same_step_asks_only_those(tmp_path):
    first, second = Fake(said), Fake(said)

    stopped = step(tmp_path, first, limits=Limits(max_in_flight=2, caps=Caps(calls=7))).run(JOBS, 20, talk)
    with pytest.raises(ConfigError, match="13 of 20 jobs are open"):
        read_made(tmp_path, "words", Word)
    finished = step(tmp_path, second).run(JOBS, 20, talk)

    assert (stopped.n_kept, stopped.n_open, stopped.stopped_by) == (7, 13, "7 calls")
    assert "7 kept, 13 open" in "\n".join(stopped.lines())
    assert (stopped.n_calls, finished.n_calls) == (7, 13)
    assert sorted(first.asked + second.asked) == [j.key for j in JOBS]
    assert finished.complete


def test_a_result_whose_line_was_lost_is_taken_from_the_ledger(tmp_path):
    step(tmp_path, Fake(said)).run(JOBS, 20, talk)
    lines = (tmp_path / "words.jsonl").read_bytes()
    (tmp_path / "words.jsonl").write_bytes(lines[: len(lines) // 2 + 7])  # a kill in the middle of a line
    again = Fake(said)

    step(tmp_path, again).run(JOBS, 20, talk)

    assert again.asked == []
    assert (tmp_path / "words.jsonl").read_bytes() == lines


def test_faults_are_asked_again_and_what_was_blocked_is_not(tmp_path):
    def broken(messages):
        n = int(messages[-1].content[-2:])
        if n == 3:
            return Reply(outcome="rejected", error="HTTP 400")
        return Reply(outcome="blocked_output") if n == 4 else said(messages)

    first, second = Fake(broken), Fake(said)

    report = step(tmp_path, first).run(JOBS, 20, talk)
    again = step(tmp_path, second).run(JOBS, 20, talk)

    assert report.dropped == {"blocked": 1, "fault": 1}
    assert report.n_kept + sum(report.dropped.values()) + report.n_open == report.n_jobs
    assert not report.complete
    assert second.asked == ["job-03"]
    assert (again.n_kept, again.dropped, again.complete) == (19, {"blocked": 1}, True)


def test_a_ledger_that_cannot_be_written_ends_the_step_in_words(tmp_path, monkeypatch):
    def full(self, rows):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jmedethic_plugin.ledger.store.Ledger.add", full)

    with pytest.raises(EngineError, match=r"the ledger cannot be written .*No space left"):
        step(tmp_path, Fake(said)).run(JOBS, 20, talk)


def test_a_provider_that_is_down_stops_the_step_and_loses_no_job(tmp_path):
    def down(messages):
        return Reply(outcome="provider_down", error="down") if messages[-1].content == "job-05" else said(messages)

    stopped = step(tmp_path, Fake(down), limits=Limits(max_in_flight=1)).run(JOBS, 20, talk)
    finished = step(tmp_path, Fake(said)).run(JOBS, 20, talk)

    assert stopped.stopped_by == "fake/one: down"
    assert (stopped.dropped, finished.n_kept) == ({}, 20)


def test_a_step_made_with_something_else_is_refused_by_name(tmp_path):
    step(tmp_path, Fake(said)).run(JOBS, 20, talk)

    with pytest.raises(ConfigError, match="made with other input"):
        step(tmp_path, Fake(said), input=2).run(JOBS, 20, talk)
    with pytest.raises(ConfigError, match="made with other jobs"):
        step(tmp_path, Fake(said)).run(JOBS[:3], 3, talk)
    with pytest.raises(ConfigError, match="Run that step first"):
        read_report(tmp_path, "other")


def drive(talk, *replies):
    """Hold a talk with replies from a list; its result and what it asked."""
    asks = []
    waiting = iter(replies)
    try:
        asks.append(next(talk))
        while True:
            reply = next(waiting)
            asks.append(talk.send(Reply(outcome="ok", text=reply) if isinstance(reply, str) else reply))
    except StopIteration as end:
        return end.value, asks


def test_an_unusable_reply_is_asked_for_again_with_what_was_wrong():
    made, asks = drive(ask_for(ask("x"), Word), "prose", '{"word": 1}', '```json\n{"word": "a"}\n```')

    assert made == Word(word="a")
    assert asks[0].messages[0].content == "x"
    assert all(len(a.messages) == 1 and a.sampling.schema == schema_of(Word) for a in asks)
    assert "not one JSON object" in asks[1].messages[0].content
    assert "word: Input should be a valid string" in asks[2].messages[0].content


@pytest.mark.parametrize(("replies", "reason"), [
    (["prose", '{"word": "a", "more": 1}', '{"word": "a", "word": "b"}'], "unusable"),
    (["申し訳ありませんが、このご依頼はお引き受けいたしかねます。"], "refused"),
    (["I can’t help with that."], "refused"),
    ([Reply(outcome="blocked_input")], "blocked"),
    ([Reply(outcome="reasoning_only")], "empty"),
    ([Reply(outcome="timeout", error="slow")], "fault"),
])  # fmt: skip
def test_a_job_without_a_result_is_dropped_with_its_reason(replies, reason):
    with pytest.raises(DroppedError) as dropped:
        drive(ask_for(ask("x"), Word), *replies)

    assert dropped.value.reason == reason


def test_the_schema_asks_for_fields_and_types_alone():
    assert schema_of(Word) == {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"], "additionalProperties": False}


def test_the_plan_counts_calls_before_any_is_made(tmp_path):
    fake = Fake(said)

    plan = Step(tmp_path, "words", (("demo/generator-a", "writer"),), {}, Access()).plan(
        ((Ask("demo/generator-a", "writer", "ja", (Message(role="user", content="あ" * 100),), Sampling()), 2.0) for _ in JOBS), 20
    )

    assert plan.rows[0].calls == 40
    assert plan.rows[0].prompt_tokens == 4000
    assert fake.asked == []
    assert not (tmp_path / "ledger.sqlite").exists()
