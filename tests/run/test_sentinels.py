"""Answers with a known label among a run's own: planned for the whole run, and every one of them accounted for."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from jmedethic_plugin import run as run_module
from jmedethic_plugin.analysis.summary import SentinelTable
from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.corpus.labelled import load_labelled
from jmedethic_plugin.engine.ports import Price
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.reporting.text import sentinel_text, summary_lines
from jmedethic_plugin.run import Run, merge_runs, read_manifest
from jmedethic_plugin.settings import Settings
from tests.engine.test_conversation import material_of

ROOT = Path(__file__).parents[2]


def settings_for(tmp_path, **given):
    given = {"sample": 2, "sentinels": 8} | given
    return Settings(root=ROOT, model="demo/steadfast", judges=("demo/judge-a", "demo/judge-b"), reports=tmp_path, **given)


class Judge:
    """Knows which replies of the starter set violate; ``says`` may answer for it."""

    is_demo = True

    def __init__(self, model_id, violating, says=None):
        self.model_id = model_id
        self._violating = violating
        self._says = says or (lambda reply, violates: None)

    def identity(self):
        return {"model": self.model_id}

    def price(self):
        return Price(0, 0)

    async def complete(self, messages, sampling):
        reply = material_of(messages)["turn_to_score"]["reply_to_score"]
        violates = reply in self._violating
        said = self._says(reply, violates)
        if said is not None:
            return await said
        return Reply(outcome="ok", served_model=self.model_id, text=json.dumps({
            "nonce": re.search(r"^nonce: (\w{32})$", messages[0].content, re.MULTILINE)[1], "reason": "r", "points": 1 if violates else 9,
            "response_class": "harmful" if violates else "answer", "violation": violates, "evidence": [reply[:20]] if violates else [],
        }))  # fmt: skip


@pytest.fixture
def judges(corpus, monkeypatch):
    """Make the run's judges say what ``judges(says)`` was given."""
    violating = {a.exchanges[-1][1] for a in load_labelled(ROOT / "judges" / "starter", corpus) if a.kind == "violating"}

    def use(says=None):
        monkeypatch.setattr(run_module, "make_judge", lambda settings, cases, model_id: Judge(model_id, violating, says))

    use()
    return use


def play(settings, *, broken=None, whole=True):
    """A sitting; with ``whole`` it ends by itself, else it is left before the sentinels are waited for."""
    run = Run.open(settings)
    try:
        run.prepare()
        if broken is not None:
            broken(run)
        run.engine.plan(run.item_ids)
        for item in run.item_ids:
            run.engine.result(item)
    finally:
        tables = run.close(len(run.item_ids) + (not whole))
    return run, tables


def counted(tables):
    (table,) = tables.languages
    return table.sentinels.model_dump() | {"fails": table.sentinels.fails}


def expected(**given):
    return dict.fromkeys((*SentinelTable.model_fields, "fails"), 0) | given


def test_each_kind_of_end_is_told_apart(tmp_path, judges):
    _, tables = play(settings_for(tmp_path))

    assert counted(tables) == expected(n_planned=8, n_caught=4, n_passed=4, fails=False)
    assert sentinel_text(tables.languages[0]).startswith("8 planned: 4 violations caught, 0 missed, 4 safe ones passed, 0 called violations")


def test_judge_that_answers_nothing_has_missed_nothing_and_is_asked_again(tmp_path, judges):
    async def vanished():
        return Reply(outcome="rejected", error="HTTP 404")

    judges(lambda reply, violates: vanished() if violates else None)
    run, tables = play(settings_for(tmp_path))

    assert counted(tables) == expected(n_planned=8, n_passed=4, n_unscored=4, fails=True)
    assert sentinel_text(tables.languages[0]).startswith("INCONCLUSIVE, not every sentinel has a verdict: ")
    assert "見落としたため" not in (run.folder / "report.html").read_text(encoding="utf-8")

    judges()
    _, tables = play(settings_for(tmp_path, resume=run.folder.name))
    assert counted(tables) == expected(n_planned=8, n_caught=4, n_passed=4, fails=False)


def test_false_alarm_is_reported_and_a_miss_fails(tmp_path, judges):
    _, tables = play(settings_for(tmp_path))
    table = tables.languages[0].sentinels

    assert not table.model_copy(update={"n_passed": 3, "n_false_alarms": 1}).fails
    assert table.model_copy(update={"n_caught": 3, "n_missed": 1}).fails


def test_unfinished_ones_are_counted_as_not_judged(tmp_path, judges):
    judges(lambda reply, violates: asyncio.sleep(3600) if violates else None)

    run, tables = play(settings_for(tmp_path), whole=False)

    found = tables.languages[0].sentinels
    assert (found.n_planned, found.n_caught, found.n_missed, found.n_unscored) == (8, 0, 0, 0)
    assert found.n_not_judged >= 4
    assert found.fails
    assert read_manifest(run.folder).n_sentinels == {"ja": 8}


def test_what_kept_one_from_being_judged_is_told(tmp_path, judges):
    run, tables = play(settings_for(tmp_path, sentinels=2, sample=1), broken=broken_watch)

    assert counted(tables) == expected(n_planned=2, n_not_judged=2, fails=True)
    (failure,) = run.manifest.sittings[-1].failures
    assert failure == "a sentinel was not judged: OSError"
    assert f"WARNING: {failure}" in summary_lines(tables, run.manifest)


def broken_watch(run):
    write = run.engine._journal.write

    async def full(row):
        if getattr(row, "author", None) == "sentinel":
            raise OSError("disk full")
        await write(row)

    run.engine._journal.write = full


def test_parts_share_out_the_sentinels_of_the_whole(tmp_path, judges):
    settings = [settings_for(tmp_path, sentinels=10, sample=12, shard=(part, 3), run_id=f"p{part}") for part in (1, 2, 3)]
    runs = [play(s)[0] for s in settings]

    ids = [s.answer_id for run in runs for s in run.sentinels]
    assert len(ids) == len(set(ids)) == 10
    assert min(len(run.sentinels) for run in runs) >= 2
    merged, _ = merge_runs(tmp_path / "joined", [run.folder for run in runs])
    assert merged.n_sentinels == {"ja": 10, "en": 0}
    tables = json.loads((tmp_path / "joined" / "summary.json").read_text(encoding="utf-8"))["tables"]
    assert tables["languages"][0]["sentinels"] | {"fails": 0} == expected(n_planned=10, n_caught=5, n_passed=5)


def test_number_follows_the_whole_run_in_each_part(tmp_path):
    parts = [Settings(root=ROOT, model="openai/x", judges=("openai/a", "openai/b"), judge_api_base="http://127.0.0.1:1/v1", api_base="http://127.0.0.1:1/v1",
                      reports=tmp_path, run_id=f"p{part}", shard=(part, 40)) for part in (1, 2)]  # fmt: skip
    runs = [Run.open(settings) for settings in parts]
    try:
        assert max(len(run.item_ids) for run in runs) * 3 < 300  # by itself no part is large enough for any
        assert all(run.sentinels for run in runs)
    finally:
        for run in runs:
            run.abandon()


def test_fewer_answers_than_wanted_are_said(tmp_path, judges):
    run, tables = play(settings_for(tmp_path, sentinels=200, sample=1))

    said = f"sentinels: {63 + 23} instead of 200, the starter set has no more"
    assert run.manifest.banners == (said,)
    assert tables.languages[0].sentinels.n_planned == 86
    assert f"WARNING: {said}" in summary_lines(tables, run.manifest)


def test_what_is_allowed_on_resuming_stands_in_the_reports_too(tmp_path, judges):
    run, _ = play(settings_for(tmp_path, sample=1, sentinels=4))
    again, _ = play(settings_for(tmp_path, sample=1, sentinels=200, resume=run.folder.name))

    assert run.manifest.banners == ()
    assert json.loads((run.folder / "summary.json").read_text(encoding="utf-8"))["banners"] == list(again.manifest.banners) != []


def test_plan_counts_those_that_are_still_to_be_judged(tmp_path, judges):
    run, _ = play(settings_for(tmp_path, sample=1))
    more = Run.open(settings_for(tmp_path, sample=1, sentinels=12, resume=run.folder.name))
    try:
        (a, b) = more.plan(more.item_ids).rows
    finally:
        more.abandon()

    assert (a.calls, b.calls) == (4, 4)


def test_resumed_run_can_have_no_fewer(tmp_path, judges):
    run, _ = play(settings_for(tmp_path, sample=1))

    with pytest.raises(ConfigError, match="the run has 8 sentinels, this command 0"):
        Run.open(settings_for(tmp_path, sample=1, sentinels=0, resume=run.folder.name))
    more = Run.open(settings_for(tmp_path, sample=1, sentinels=12, resume=run.folder.name))
    more.abandon()
    assert {s.answer_id for s in run.sentinels} < {s.answer_id for s in more.sentinels}
