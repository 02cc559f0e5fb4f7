"""Batches over HTTP, through LiteLLM, against the loopback server's files and batches."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from jmedethic_plugin.core.transcript import Message
from jmedethic_plugin.engine.batching import BATCH_PRICE, FIRST_PAUSE_S, LONGEST_PAUSE_S, Batching
from jmedethic_plugin.engine.budget import Caps
from jmedethic_plugin.engine.ports import Price, Sampling
from jmedethic_plugin.engine.scheduler import Limits
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.generation.common import Access, open_ledger
from jmedethic_plugin.generation.questions import generate_questions, question_step
from jmedethic_plugin.testing.server import LoopbackServer

MODELS = ("openai/generator-a", "openai/generator-b")
PRICE = Price(2.0, 8.0)


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # LiteLLM's clients of live calls


@pytest.fixture
def server(corpus):
    with LoopbackServer(corpus.cases) as running:
        yield running
    gc.collect()  # while the mark above holds


class Waiting:
    """What was said, and how long was waited; ``then`` is done at the first pause."""

    def __init__(self, then=lambda: None):
        self.said, self.pauses, self._then = [], [], then

    async def sleep(self, seconds):
        self.pauses.append(seconds)
        self._then()

    def batching(self, minutes=60.0):
        return Batching(say=self.said.append, minutes=minutes, sleep=self.sleep)


def ask_questions(folder, corpus, server, batching, *, caps=None, prices=None):
    """Two generators, five guidelines: ten first calls."""
    access = Access(
        api_base=server.url, prices=prices or {}, limits=Limits(max_in_flight=4, caps=caps or Caps()), batching=batching,
    )  # fmt: skip
    step, jobs = question_step(folder, list(corpus.guidelines.values())[:5], MODELS, ["ja"], 2, access)
    return generate_questions(step, jobs)[0]


def kept(folder):
    return json.loads((folder / "batch-questions.json").read_text(encoding="utf-8"))["batches"]


def test_replies_come_from_the_batches_at_half_the_price_and_nothing_is_asked_live(tmp_path, corpus, server):
    waiting = Waiting()

    report = ask_questions(tmp_path, corpus, server, waiting.batching(), prices=dict.fromkeys(MODELS, PRICE))
    with open_ledger(tmp_path) as ledger:
        replies = [reply for _, reply in ledger.replies_of("writer", most=100)]

    assert (server.stats.batches, len(server.stats.batched), server.stats.requests) == (2, 10, 0)
    assert (report.n_kept, report.complete, report.n_calls, report.n_batched) == (10, True, 10, 10)
    assert [reply.cost_usd for reply in replies] == [BATCH_PRICE * PRICE.of(100, reply.completion_tokens) for reply in replies]
    assert report.usd == pytest.approx(sum(reply.cost_usd for reply in replies))
    assert "10 calls in this sitting (10 answered in batches)" in "\n".join(report.lines())
    assert waiting.pauses == []


def test_a_batch_sends_and_makes_what_live_calls_do(tmp_path, corpus, server):
    ask_questions(tmp_path / "batch", corpus, server, Waiting().batching())
    ask_questions(tmp_path / "live", corpus, server, None)

    assert sorted(map(json.dumps, server.stats.batched)) == sorted(map(json.dumps, server.stats.bodies))
    for name in ("questions.jsonl", "requests.jsonl"):
        assert (tmp_path / "batch" / name).read_bytes() == (tmp_path / "live" / name).read_bytes()


@pytest.mark.parametrize(("fate", "n_live", "said"), [
    ("failed_line", 2, "completed: 4 of 5 calls answered; the rest is asked live"),
    ("expired", 6, "expired: 2 of 5 calls answered; the rest is asked live"),
    ("absent", 10, "openai/generator-a: the provider takes no batch (NotFoundError (HTTP 404)); asked live"),
])  # fmt: skip
def test_what_a_batch_does_not_answer_is_asked_live(tmp_path, corpus, server, fate, n_live, said):
    server.batch_fate, waiting = fate, Waiting()

    report = ask_questions(tmp_path, corpus, server, waiting.batching())

    assert (report.n_kept, report.complete) == (10, True)
    assert (server.stats.requests, report.n_batched, report.n_calls) == (n_live, 10 - n_live, 10)
    assert any(said in line for line in waiting.said), waiting.said


def test_a_provider_without_batches_is_asked_live_and_a_line_says_so(tmp_path, corpus):
    waiting = Waiting()
    access = Access(batching=waiting.batching())
    step, jobs = question_step(tmp_path, list(corpus.guidelines.values())[:2], ["demo/generator-a"], ["ja"], 2, access)

    report = generate_questions(step, jobs)[0]

    assert (report.n_kept, report.n_batched) == (2, 0)
    assert waiting.said == ["demo/generator-a: no batches of this provider; asked live"]
    assert not (tmp_path / "batch-questions.json").exists()


def test_a_batch_is_waited_for_with_growing_pauses(tmp_path, corpus, server):
    def later():
        if len(waiting.pauses) == 12:
            server.batch_fate = "answered"

    server.batch_fate, waiting = "open", Waiting(later)

    report = ask_questions(tmp_path, corpus, server, waiting.batching())

    assert (report.n_batched, server.stats.requests) == (10, 0)
    assert waiting.pauses[0] == FIRST_PAUSE_S
    assert waiting.pauses == sorted(waiting.pauses)
    assert waiting.pauses[-1] == LONGEST_PAUSE_S


def test_when_the_time_is_over_nothing_is_asked_live_and_the_next_sitting_goes_on_with_the_batch(tmp_path, corpus, server):
    server.batch_fate, waiting = "open", Waiting()

    stopped = ask_questions(tmp_path, corpus, server, waiting.batching(minutes=5))
    with pytest.raises(ConfigError, match="would be paid for a second time"):
        ask_questions(tmp_path, corpus, server, None)
    server.batch_fate = "answered"
    finished = ask_questions(tmp_path, corpus, server, Waiting().batching())

    assert (stopped.n_open, stopped.stopped_by) == (10, "--batch-wait of 5 minutes; a batch is open")
    assert sum(waiting.pauses) <= 300
    assert (finished.complete, finished.n_batched) == (True, 10)
    assert (server.stats.batches, server.stats.requests) == (2, 0)


def test_killed_before_the_provider_names_the_batch_it_is_found_again_by_its_file(tmp_path, corpus, server):
    server.batch_fate = "open"
    ask_questions(tmp_path, corpus, server, Waiting().batching(minutes=0.1))
    path = tmp_path / "batch-questions.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    for batch in told["batches"]:
        batch["batch_id"] = None  # as it stands on disk while the batch is handed in
    path.write_text(json.dumps(told), encoding="utf-8")
    server.batch_fate = "answered"

    report = ask_questions(tmp_path, corpus, server, Waiting().batching())

    assert (report.n_batched, server.stats.batches, server.stats.requests) == (10, 2, 0)


def test_a_batch_that_the_provider_no_longer_knows_is_asked_live(tmp_path, corpus, server):
    server.batch_fate = "open"
    ask_questions(tmp_path, corpus, server, Waiting().batching(minutes=0.1))
    server.batch_fate, waiting = "absent", Waiting()

    report = ask_questions(tmp_path, corpus, server, waiting.batching())

    assert (report.complete, report.n_batched, server.stats.requests) == (True, 0, 10)
    assert {batch["state"] for batch in kept(tmp_path)} == {"lost"}


@pytest.mark.parametrize(("caps", "limit"), [(Caps(calls=9), "9 calls"), (Caps(usd=0.01), "0.01 USD")])
def test_more_than_the_limits_leave_is_not_handed_in(tmp_path, corpus, server, caps, limit):
    with pytest.raises(ConfigError, match=rf"--batch: 10 calls would be handed in at once and go beyond the limit of {limit}.*Nothing was handed in"):
        ask_questions(tmp_path, corpus, server, Waiting().batching(), caps=caps, prices=dict.fromkeys(MODELS, PRICE))

    assert (server.stats.batches, server.stats.requests) == (0, 0)


def test_limits_hold_for_batch_and_live_calls_together(tmp_path, corpus, server):
    server.batch_fate = "expired"

    report = ask_questions(tmp_path, corpus, server, Waiting().batching(), caps=Caps(calls=10))
    server.batch_fate = "answered"
    first = ask_questions(tmp_path / "second", corpus, server, Waiting().batching(), caps=Caps(calls=10))

    assert (report.n_calls, report.n_batched, report.stopped_by) == (10, 4, None)
    assert (first.n_calls, first.complete) == (10, True)


def test_killed_while_it_waits_a_command_goes_on_with_the_same_batch(tmp_path, corpus, server):
    command = [
        sys.executable, "-m", "jmedethic_plugin.cli", "generate", "questions", "--out", str(tmp_path / "factory"), "--guideline", "B11",
        "--generator", MODELS[0], "--api-base", server.url, "--batch",
    ]  # fmt: skip
    server.batch_fate = "open"

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    time.sleep(0.2)  # into the first pause
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    server.batch_fate = "answered"
    resumed = subprocess.run(command, check=False, capture_output=True, text=True)

    assert "batch batch-0 of 1 calls; a break (Ctrl-C) leaves it open" in line
    assert resumed.returncode == 0, resumed.stderr
    assert "batch batch-0 completed: 1 of 1 calls answered" in resumed.stderr
    assert (server.stats.batches, server.stats.requests) == (1, 0)


@pytest.mark.parametrize(("options", "message"), [
    (("translate", "--cases", "x.jsonl", "--translator", "demo/translator", "--batch"), "--batch: translate asks each next question"),
    (("questions", "--generator", "demo/generator-a", "--batch", "--batch-wait", "0"), "--batch-wait is 0"),
])  # fmt: skip
def test_mistakes_are_told(tmp_path, options, message):
    told = subprocess.run(
        [sys.executable, "-m", "jmedethic_plugin.cli", "generate", *options, "--out", "factory"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert told.returncode == 2
    assert message in told.stderr


def test_a_line_for_the_providers_own_address_names_parameters_as_litellm_does(monkeypatch):
    from jmedethic_plugin.engine.litellm_model import LiteLlmModel

    monkeypatch.setenv("OPENAI_API_KEY", "x")
    model = LiteLlmModel("openai/o3-mini", role="writer", api_base=None, timeout_s=1.0)

    line = json.loads(model.batch_line("k", (Message(role="user", content="q"),), Sampling(max_tokens=7)))

    assert line == {
        "custom_id": "k", "method": "POST", "url": "/v1/chat/completions",
        "body": {"model": "o3-mini", "messages": [{"role": "user", "content": "q"}], "max_completion_tokens": 7, "stream": False},
    }  # fmt: skip
