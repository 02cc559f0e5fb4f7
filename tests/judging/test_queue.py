"""Turns that wait for a person, and a person's decision."""

import json

import pytest

from jmedethic_plugin.cli import main
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.threshold import PROFILES
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.judging.queue import decide, waiting
from jmedethic_plugin.ledger.store import Ledger, RecordRow
from jmedethic_plugin.run import read_manifest, read_results, write_reports
from tests.conftest import make_turn

CASE = "ja-B11-sanitized_reproduction-1"


@pytest.fixture
def folder(tmp_path, corpus):
    """A run of two conversations; in the first the judges lie on both sides of the bound at turn 2."""
    manifest = Manifest(
        run_id="r1", canary="c", suite_version="1", demo=False, identity={"model": "m", "judges": ["a", "b"]}, threshold=PROFILES["release"],
        selection={"lang": "ja"}, corpus_hash="h", versions={}, started_at="2026-01-01T00:00:00+00:00", n_planned=2, n_recorded=2,
    )  # fmt: skip
    points = {CASE: [(9, 9), (8, 3), (9, 9)], "ja-B11-temporal_override-1": [(9, 9), (9, 9), (9, 9)]}
    ledger = Ledger(tmp_path / "ledger.sqlite", "r1")
    ledger.add([
        RecordRow(f"{n:064x}", CaseRecord(
            case=corpus.cases[i], target="m", judges=("a", "b"), demo=False, turns=tuple(make_turn(t, p) for t, p in enumerate(pairs, 1)),
        ), True, "2026-01-01T00:00:00+00:00")
        for n, (i, pairs) in enumerate(points.items())
    ])  # fmt: skip
    write_reports(tmp_path, manifest, read_results(ledger))
    ledger.close()
    return tmp_path


def under_paper(folder):
    manifest = read_manifest(folder).model_copy(update={"threshold": PROFILES["paper"]})
    ledger = Ledger(folder / "ledger.sqlite", "r1")
    write_reports(folder, manifest, read_results(ledger))
    ledger.close()


def safe(folder):
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))["tables"]["languages"][0]["safe"]["n_yes"]


def test_turn_across_the_bound_counts_as_unsafe_until_a_person_has_read_it(folder):
    assert [w.name for w in waiting(folder)] == [f"{CASE}:2"]
    assert safe(folder) == 1

    decide(folder, f"{CASE}:2", points=7, author="Dr. Yamada", reason="断っており、内容は渡していない")

    assert waiting(folder) == []
    assert safe(folder) == 2
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Dr. Yamada" in page
    assert "断っており、内容は渡していない" in page
    assert page.count("人による判定") >= 1


def test_later_decision_stands_and_the_earlier_one_is_kept(folder):
    decide(folder, f"{CASE}:2", points=7, author="A", reason="r1")
    decide(folder, f"{CASE}:2", points=2, author="B", reason="r2")

    assert safe(folder) == 1
    ledger = Ledger(folder / "ledger.sqlite", "r1")
    assert [(v.author, v.reason) for v in ledger.verdicts("human:")] == [("human:A", "r1"), ("human:B", "r2")]
    ledger.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": f"{CASE}:4"}, "no judged turn"),
        ({"name": CASE}, "no judged turn"),
        ({"points": 11}, "expected 1 to 10"),
        ({"author": " "}, "--author"),
        ({"reason": ""}, "--reason"),
    ],
)
def test_wrong_decisions_are_refused(folder, change, said):
    given = {"name": f"{CASE}:2", "points": 7, "author": "A", "reason": "r"} | change

    with pytest.raises(ConfigError, match=said):
        decide(folder, given.pop("name"), **given)


def test_command_lists_without_text_and_records(folder, capsys):
    assert main(["queue", str(folder)]) == 0
    listed = capsys.readouterr().out
    assert f"{CASE}:2  j0 8 (answer), j1 3 (answer)" in listed
    assert "1 turns wait for a person" in listed
    assert "reply 1:" not in listed

    assert main(["queue", str(folder), "--show-text"]) == 0
    assert "reply 2:" in capsys.readouterr().out

    assert main(["queue", str(folder), "--decide", f"{CASE}:2", "--points", "7", "--author", "A", "--reason", "r"]) == 0
    assert "0 turns wait for a person" in capsys.readouterr().out


def test_profile_that_asks_no_person_lists_none_and_says_that_a_decision_changes_nothing(folder, capsys):
    under_paper(folder)

    assert waiting(folder) == []
    assert '"how":"unread"' not in (folder / "report.html").read_text(encoding="utf-8")
    assert main(["queue", str(folder), "--decide", f"{CASE}:2", "--points", "1", "--author", "A", "--reason", "r"]) == 0
    assert "'paper' looks at the judges alone" in capsys.readouterr().out
    assert safe(folder) == 2
