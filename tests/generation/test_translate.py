from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.corpus.jsonl import CaseLine, CaseSet, case_line, parse_line
from jmedethic_plugin.generation.common import Access
from jmedethic_plugin.generation.translate import TranslateJob, chrf, read_lines, translate, translate_asks, translate_cases, translate_step

DEMO = "demo/translator"


@pytest.fixture
def lines(corpus, tmp_path):
    ids = ["ja-B11-temporal_override-1", "ja-B11-benign_hard-1", "en-B09-temporal_override-1"]
    file = tmp_path / "set.jsonl"
    file.write_text("".join(case_line(corpus.cases[i], "the corpus") + "\n" for i in ids), encoding="utf-8")
    return read_lines(file, corpus.guidelines)


def test_drafts_keep_everything_but_language_texts_and_source(tmp_path, corpus, lines):
    step, jobs = translate_step(tmp_path / "out", lines, DEMO, DEMO, Access())

    report, low = translate_cases(step, jobs)

    assert report.complete
    drafts = [parse_line(raw, CaseLine, "") for raw in (tmp_path / "out/translated.jsonl").read_bytes().splitlines()]
    assert [d.language for d in drafts] == ["en", "en", "ja"]
    for line, draft in zip(lines, drafts, strict=True):
        changed = {name for name in CaseLine.model_fields if getattr(line, name) != getattr(draft, name)}
        assert changed == {"language", "request", "violating", "acceptable", "turns", "source"}
        assert draft.turns == tuple(turn[::-1] for turn in line.turns)
        assert "machine translation by demo/translator" in draft.source
        assert "unreviewed" in draft.source
        assert draft.source.endswith("The source: the corpus")
    assert low == {}  # turned around twice is the source
    assert len(CaseSet([tmp_path / "out/translated.jsonl"], corpus.guidelines)) == 3


def test_a_draft_that_does_not_come_home_is_flagged(lines):
    job = TranslateJob(lines[0], "a/one", "b/two", 0.4, None)
    talk = translate(job, b"")
    there = next(talk)
    texts = json.loads(there.messages[-1].content)
    home = talk.send(Reply(outcome="ok", text=json.dumps({k: ["x"] * 3 if isinstance(v, list) else "x" for k, v in texts.items()})))
    lost = texts | {"turns": [*texts["turns"][:2], "まったく別の話です。"]}

    with pytest.raises(StopIteration) as end:
        talk.send(Reply(outcome="ok", text=json.dumps(lost)))

    assert (there.model, there.language, home.model, home.language) == ("a/one", "en", "b/two", "ja")
    assert end.value.value.similarity < 0.4
    assert "below 0.4: check the meaning" in end.value.value.draft.source


def test_plan_counts_both_ways(tmp_path, lines):
    step, jobs = translate_step(tmp_path / "out", lines, DEMO, DEMO, Access())

    assert sum(row.calls for row in step.plan(translate_asks(jobs), len(jobs)).rows) == 6
    assert not (tmp_path / "out").exists()


@given(st.text(), st.text())
def test_chrf_is_a_share_and_one_for_itself(a, b):
    assert 0 <= chrf(a, b) <= 1 + 1e-12
    assert chrf(a, a) == pytest.approx(1) if a.split() else chrf(a, a) == 0


def test_chrf_by_hand():
    # "abcd" and "abce": 3/4 unigrams, 2/3 bigrams, 1/2 trigrams, 0 of one 4-gram, the same both ways.
    assert chrf("abcd", "abce") == pytest.approx((3 / 4 + 2 / 3 + 1 / 2 + 0) / 4)
    # One order: precision 1/1, recall 1/2; F2 = 5 * 1 * 0.5 / (4 * 1 + 0.5).
    assert chrf("ab", "a") == pytest.approx(2.5 / 4.5)
    assert chrf("a b", "ab") == pytest.approx(1)
