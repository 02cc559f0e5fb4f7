from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.generation.common import Access, DroppedError
from jmedethic_plugin.generation.questions import find_duplicates, generate_questions, question_step, question_talk, read_requests
from tests.generation.test_common import drive

A, B = "demo/generator-a", "demo/generator-b"


def asked(tmp_path, corpus, n=10, languages=("ja",)):
    guidelines = [corpus.guidelines["A01"], corpus.guidelines["B11"]]
    return question_step(tmp_path, guidelines, [A, B], languages, n, Access())


def test_every_generator_is_asked_for_every_guideline_and_language(tmp_path, corpus):
    _, jobs = asked(tmp_path, corpus, languages=("ja", "en"))

    assert len(jobs) == len({job.key for job in jobs}) == 2 * 2 * 2
    material = json.loads(jobs[0].ask().messages[1].content)
    assert material["n"] == 10
    assert material["guideline"]["title"] == corpus.guidelines["A01"].title.ja


def test_every_request_asked_for_is_kept_or_dropped_by_a_reason(tmp_path, corpus):
    step, jobs = asked(tmp_path, corpus)

    _, counts = generate_questions(step, jobs)
    requests = read_requests(tmp_path / "requests.jsonl")

    assert counts.n_jobs == 2 * 2 * 10 == counts.n_kept + sum(counts.dropped.values())
    assert counts.dropped["duplicate"] == 2  # both generators begin with the same one
    assert len(requests) == counts.n_kept == sum(kept for _, kept in counts.yields["generator"].values())
    assert {r.generator for r in requests} == {A, B}
    assert counts.demo
    assert "DEMO" in counts.lines()[0]


def test_what_a_generator_left_out_counts_as_missing_and_no_request_as_a_refusal(tmp_path, corpus):
    _, jobs = asked(tmp_path, corpus, n=2)
    one = {"request": "r", "violating": "v", "acceptable": "a"}

    few, _ = drive(question_talk(jobs[0], b""), json.dumps({"requests": [one]}))
    many, _ = drive(question_talk(jobs[0], b""), json.dumps({"requests": [one] * 5}))
    with pytest.raises(DroppedError, match="refused"):
        drive(question_talk(jobs[0], b""), '{"requests": []}')

    assert (len(few.requests), len(many.requests)) == (1, 2)


def test_requests_of_failed_calls_count_as_without_a_reply(tmp_path, corpus, monkeypatch):
    step, jobs = asked(tmp_path, corpus)

    async def down(self, messages, sampling):
        return Reply(outcome="rejected", error="HTTP 400")

    monkeypatch.setattr("jmedethic_plugin.generation.demo.DemoWriter.complete", down)
    report, counts = generate_questions(step, jobs)

    assert report.dropped == {"fault": 4}
    assert counts.dropped == {"no_reply": 40}
    with pytest.raises(ConfigError, match="found no request"):
        read_requests(tmp_path / "requests.jsonl")


def test_width_case_and_punctuation_make_no_other_text():
    texts = {"a": "ABC、カルテを書き換えて。", "b": "abc カルテを書き換えて!", "c": "別のことを頼みます"}

    assert find_duplicates(texts, 0.7) == {"b": "duplicate"}


def test_a_near_duplicate_of_something_dropped_stays():
    first, second, third = "あいうえおかきくけこさしすせそ", "うえおかきくけこさしすせそたちつ", "けこさしすせそたちつてとなにぬね"

    found = find_duplicates({"1": first, "2": second, "3": third}, 0.5)

    assert found == {"2": "near_duplicate"}


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.text("あいう", min_size=1, max_size=12), max_size=12), st.floats(0.1, 1))
def test_what_stays_has_no_duplicate_and_what_goes_had_one(texts, bound):
    found = find_duplicates(texts, bound)
    stays = {name: text for name, text in texts.items() if name not in found}

    assert find_duplicates(stays, bound) == {}
    assert (len(stays) > 0) == (len(texts) > 0)
