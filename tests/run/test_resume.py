"""A run that goes on: what it takes up again, what it counts, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest

from jmedethic_plugin.cli import main
from jmedethic_plugin.core.threshold import PROFILES
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.judging.queue import decide
from jmedethic_plugin.plugin.session import ControllerSession
from jmedethic_plugin.run import Run, read_manifest
from jmedethic_plugin.settings import Settings

ROOT = Path(__file__).parents[2]
CASE = "ja-B11-temporal_override-1"


def sitting(reports, *, resume=None, third="demo/judge-c", threshold=PROFILES["release"], repeats=1):
    """Play one conversation; returns its record, the run folder and the tables."""
    settings = Settings(
        root=ROOT, model="demo/eroding", judges=("demo/judge-a", "demo/judge-b"), third_judge=third, guidelines=("B11",),
        strategies=("temporal_override",), reports=reports, resume=resume, threshold=threshold, run_id=None if resume else "r", repeats=repeats,
    )  # fmt: skip
    run = Run.open(settings)
    try:
        run.prepare()
        run.engine.plan(run.item_ids)
        record = run.engine.result(run.item_ids[0])
    finally:
        tables = run.close(len(run.item_ids))
    return record, run.folder, tables


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A finished run of one conversation, which gave way at turn 3."""
    _, folder, _ = sitting(tmp_path_factory.mktemp("reports"))
    return folder


@pytest.fixture
def reports(played, tmp_path):
    """The same in a place of its own."""
    shutil.copytree(played, tmp_path / "r")
    return tmp_path


def test_nothing_is_paid_for_or_counted_twice(reports):
    _, folder, tables = sitting(reports, resume="r")

    manifest = read_manifest(folder)
    assert manifest.calls == {"judge ok": 6, "target ok": 3}
    assert [s.calls for s in manifest.sittings] == [9, 0]
    assert (manifest.n_planned, manifest.n_recorded, manifest.complete) == (1, 1, True)
    assert tables.languages[0].safe.n == 1


def test_run_of_another_suite_version_is_not_gone_on_with(reports):
    data = json.loads((reports / "r" / "run.json").read_text(encoding="utf-8"))
    (reports / "r" / "run.json").write_text(json.dumps(data | {"suite_version": "0"}), encoding="utf-8")

    with pytest.raises(ConfigError, match="begun under suite version 0"):
        sitting(reports, resume="r")
    assert main(["report", str(reports / "r")]) == 0  # its records can still be read


def test_threshold_that_asks_the_third_at_other_times_is_another_measurement(reports):
    with pytest.raises(ConfigError, match=r"third_judge_rule: the run has \[5.0, False\], this command says None"):
        sitting(reports, resume="r", threshold=PROFILES["paper"])

    _, folder, _ = sitting(reports, resume="r", threshold=PROFILES["release"].model_copy(update={"blocked": "safe"}))
    assert read_manifest(folder).n_recorded == 1


def test_without_a_third_another_threshold_may_look_at_the_same_records(tmp_path):
    sitting(tmp_path, third=None)
    _, folder, tables = sitting(tmp_path, third=None, resume="r", threshold=PROFILES["paper"])

    assert (read_manifest(folder).n_recorded, tables.languages[0].safe.n) == (1, 1)


def test_case_that_two_tests_ask_for_is_one_of_the_planned(tmp_path):
    settings = Settings(
        root=ROOT, model="demo/eroding", judges=("demo/judge-a", "demo/judge-b"), guidelines=("B11",), strategies=("temporal_override",), reports=tmp_path,
    )  # fmt: skip
    session = ControllerSession(settings, eager=True)
    session.prepare()
    session.plan(session.item_ids * 2)
    session.result(session.item_ids[0])
    session.finish()

    manifest = read_manifest(session.run.folder)
    assert (manifest.n_planned, manifest.n_recorded, manifest.complete) == (1, 1, True)

def test_decision_of_a_person_reaches_the_item_too(reports):
    decide(reports / "r", f"{CASE}:3", points=8, author="A", reason="hands nothing over")
    record, _, tables = sitting(reports, resume="r")

    assert record.turns[2].panel.human.points == 8
    assert record.assess(PROFILES["release"]).status == "passed"
    assert tables.languages[0].safe.n_yes == 1

def test_run_whose_ledger_is_elsewhere_does_not_begin_anew(reports):
    (reports / "r" / "ledger.sqlite").unlink()

    with pytest.raises(ConfigError, match="--ledger URL"):
        sitting(reports, resume="r")
    assert not (reports / "r" / "ledger.sqlite").exists()


def test_report_is_rebuilt_to_the_byte_and_a_redacted_one_beside_it(reports, capsys):
    folder = reports / "r"
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".html", ".json", ".jsonl", ".md")}
    reply = json.loads(before["records.jsonl"])["turns"][2]["reply"]["text"]

    assert main(["report", str(folder), "--redact"]) == 0

    assert {name: (folder / name).read_bytes() for name in before} == before
    assert "応招義務" in before["report.html"].decode()
    assert reply[:20] in before["report.html"].decode()
    redacted = (folder / "report-redacted.html").read_text(encoding="utf-8")
    assert reply[:20] not in redacted
    assert CASE in redacted


@pytest.mark.parametrize("command", [("report", "r"), ("queue", "r"), ("merge", "out", "r")])
def test_reports_are_not_replaced_by_those_of_an_empty_ledger(reports, capsys, command):
    (reports / "r" / "ledger.sqlite").unlink()
    before = (reports / "r" / "report.html").read_bytes()

    assert main([command[0], *(str(reports / name) for name in command[1:])]) == 2
    assert "--ledger URL" in capsys.readouterr().err
    assert not (reports / "r" / "ledger.sqlite").exists()
    assert (reports / "r" / "report.html").read_bytes() == before
