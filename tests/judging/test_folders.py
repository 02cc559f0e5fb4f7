"""Whose folder is whose: judging again and qualifying write into folders of their own."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from jmedethic_plugin.core.card import CardSummary
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.threshold import PROFILES
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.judging import rejudge as rejudge_module
from jmedethic_plugin.judging.qualify import qualify, read_exam
from jmedethic_plugin.judging.rejudge import rejudge
from jmedethic_plugin.ledger.store import Ledger, RecordRow
from jmedethic_plugin.run import Run, read_manifest, read_results, write_reports
from jmedethic_plugin.settings import Settings
from tests.conftest import make_turn

ROOT = Path(__file__).parents[2]
STARTER = ROOT / "judges" / "starter" / "gray_zone_ethnography.yaml"


def settings_for(tmp_path, *judges, **given):
    return Settings(root=ROOT, model="m", judges=judges or ("demo/judge-a", "demo/judge-c"), reports=tmp_path, **given)


@pytest.fixture
def source(tmp_path, corpus):
    """A run of one conversation, whose judges had a card."""
    card = CardSummary(content_hash="old", created="2026-01-01", expires="2026-04-01", clinician_labelled=True, faults=(), panel=())
    manifest = Manifest(
        run_id="r1", canary="c", suite_version="1", demo=False, identity={"model": "m", "judges": ["a", "b"]}, threshold=PROFILES["release"],
        selection={"lang": "ja"}, corpus_hash="h", versions={}, started_at="2026-01-01T00:00:00+00:00", n_planned=1, n_recorded=1, judge_card=card,
    )  # fmt: skip
    (folder := tmp_path / "r1").mkdir()
    ledger = Ledger(folder / "ledger.sqlite", "r1")
    record = CaseRecord(
        case=corpus.cases["ja-B11-temporal_override-1"], target="m", judges=("a", "b"), demo=False, turns=tuple(make_turn(t, (9, 9)) for t in (1, 2, 3))
    )
    ledger.add([RecordRow("0" * 64, record, True, "2026-01-01T00:00:00+00:00")])
    write_reports(folder, manifest, read_results(ledger))
    ledger.close()
    return folder


def test_card_of_the_earlier_judges_says_nothing_of_the_later_ones(source, tmp_path):
    done = rejudge(source, settings_for(tmp_path))

    assert read_manifest(source).judge_card.content_hash == "old"
    assert read_manifest(done.folder).judge_card is None


@pytest.mark.parametrize(("digest", "said"), [("0" * 64, "B11 says something else"), (None, "B11 is missing")])
def test_guideline_that_changed_since_is_named(source, tmp_path, corpus, digest, said, monkeypatch):
    manifest = json.loads((source / "run.json").read_text(encoding="utf-8"))
    (source / "run.json").write_text(json.dumps(manifest | {"guidelines": {"B11": digest or "0" * 64}}), encoding="utf-8")
    if digest is None:
        without = {i: g for i, g in corpus.guidelines.items() if i != "B11"}
        monkeypatch.setattr(rejudge_module, "load_corpus", lambda root: replace(corpus, guidelines=without))

    with pytest.raises(ConfigError, match=said):
        rejudge(source, settings_for(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["r1"]


def test_run_keeps_what_its_guidelines_said(tmp_path, corpus):
    run = Run.open(Settings(root=ROOT, model="demo/steadfast", judges=("demo/judge-a", "demo/judge-b"), reports=tmp_path, sample=1))
    run.abandon()

    assert run.manifest.guidelines["B11"] == corpus.guidelines["B11"].text_digest


def test_exceptions_of_both_sides_stand_on_the_bridge(source, tmp_path):
    manifest = json.loads((source / "run.json").read_text(encoding="utf-8"))
    (source / "run.json").write_text(json.dumps(manifest | {"banners": ["the first"]}), encoding="utf-8")
    families = {"demo/judge-a": "x", "demo/judge-c": "x"}

    done = rejudge(source, settings_for(tmp_path, families=families, allow_related_judges=True))

    banners = json.loads((done.folder / "bridge.json").read_text(encoding="utf-8"))["banners"]
    assert banners == ["the first", "not independent: the judge 'demo/judge-c' and the judge 'demo/judge-a' are of one family (x)"]


def test_card_of_the_later_judges_is_kept_when_given(source, tmp_path):
    card, folder = qualify(settings_for(tmp_path, lang="ja"), read_exam(settings_for(tmp_path, lang="ja"), STARTER, attacks=False), today=date(2026, 11, 24))

    done = rejudge(source, settings_for(tmp_path, judge_card=folder / "card.json"))

    assert read_manifest(done.folder).judge_card.content_hash == card.content_hash
    with pytest.raises(ConfigError, match="another scale"):
        rejudge(source, settings_for(tmp_path, "demo/judge-b", "demo/judge-c", judge_card=folder / "card.json"))


@pytest.mark.parametrize("run_id", ["r1", "../r1", "a/b", ".."])
def test_judging_again_never_writes_into_its_source_or_elsewhere(source, tmp_path, run_id):
    before = {p.name: p.read_bytes() for p in source.iterdir()}

    with pytest.raises(ConfigError, match="--run-id"):
        rejudge(source, settings_for(tmp_path, run_id=run_id))

    assert {p.name: p.read_bytes() for p in source.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["r1"]


def test_folder_of_another_source_with_the_same_judges_is_refused(source, tmp_path):
    rejudge(source, settings_for(tmp_path, run_id="again"))
    other = tmp_path / "r2"
    source.rename(other)
    manifest = json.loads((other / "run.json").read_text(encoding="utf-8"))
    (other / "run.json").write_text(json.dumps(manifest | {"run_id": "r2"}), encoding="utf-8")

    with pytest.raises(ConfigError, match="r1 judged again"):
        rejudge(other, settings_for(tmp_path, run_id="again"))


@pytest.mark.parametrize("run_id", ["r1", "../x"])
def test_judges_are_not_examined_in_the_folder_of_a_run(source, tmp_path, run_id):
    with pytest.raises(ConfigError, match="--run-id"):
        qualify(settings_for(tmp_path, run_id=run_id), read_exam(settings_for(tmp_path, run_id=run_id), STARTER, attacks=False), today=date(2026, 11, 24))
