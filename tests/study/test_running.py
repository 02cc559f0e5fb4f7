"""Studies as a user starts them."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from jmedethic_plugin.core.base import CANARY
from jmedethic_plugin.corpus.jsonl import case_line
from tests.conftest import ROOT
from tests.judging.test_rejudge import command
from tests.plugin.test_runs import project  # noqa: F401  # the fixture is used by its name

JMEDETHIC = Path(sys.executable).with_name("jmedethic")
N_CONVERSATIONS = 4
CALLS = {"target": 3 * N_CONVERSATIONS, "judge": 6 * N_CONVERSATIONS}
HEAD = """\
schema = "jmedethic/study@1"
name = "s"
[defaults]
judges = ["demo/judge-a", "demo/judge-b"]
sample = 4
"""


def model(part, more=""):
    return f'[[models]]\nid = "demo/{part}"\ngroup = "open"\n{more}\n'


def calls(folder):
    """Calls of a run by role, and how many were made twice."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT role, count(*), count(*) - count(DISTINCT key) FROM calls GROUP BY role").fetchall()
    except sqlite3.OperationalError:  # not there yet, or still without its tables
        return {}, 0
    return {role: n for role, n, _ in rows}, sum(twice for _, _, twice in rows)


def states(out):
    with (out / "tables" / "runs.csv").open(encoding="utf-8", newline="") as file:
        return {row["model"]: row["state"] for row in csv.DictReader(file)}


def test_study_of_the_four_demo_targets_writes_every_table(project):  # noqa: F811
    text = (ROOT / "studies" / "demo.toml").read_text(encoding="utf-8").replace("sample = 14", "sample = 9")
    (project.path / "demo.toml").write_text(text, encoding="utf-8")

    result = command(project, "study", "demo.toml")

    out = project.path / "reports" / "demo-study"
    assert result.ret == 0
    assert set(states(out).values()) == {"finished"}
    study = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert (study["canary"], study["demo"]) == (CANARY, True)
    sheets = {sheet["name"]: sheet for sheet in study["sheets"]}
    assert {path.stem for path in (out / "tables").iterdir()} == set(sheets)
    assert {name for name, sheet in sheets.items() if sheet["empty"]} == {
        "group_tests", "safety_helpfulness", "filter_families", "filter_bias", "source_bias",
    }  # fmt: skip
    averages = {row["model"]: row["average"] for row in sheets["models"]["rows"] if row["language"] == "ja"}
    assert averages["demo/steadfast"] > averages["demo/overcautious"] > averages["demo/eroding"] > averages["demo/compliant"]
    assert {row["over_refusal"] for row in sheets["models"]["rows"] if row["model"] == "demo/overcautious"} == {1.0}
    page = (out / "study.md").read_text(encoding="utf-8")
    assert all(f"`{name}`; in the paper: " in page for name in sheets)
    assert "DEMO: scripted models" in page
    assert "Empty: no model has an exam accuracy." in page

    before = {path: path.read_bytes() for path in out.rglob("*") if path.suffix in (".csv", ".json", ".md", ".sqlite")}
    again = command(project, "study", "demo.toml", "--report-only")

    assert again.ret == 0
    assert {path: path.read_bytes() for path in before} == before


def test_killed_study_goes_on_and_repeats_nothing(project):  # noqa: F811
    slow = 'pytest = ["--rpm", "demo/judge-a=60", "-p", "no:xdist"]'
    path, out = project.path / "s.toml", project.path / "reports" / "s"
    path.write_text(HEAD + model("steadfast") + model("eroding", slow), encoding="utf-8")
    killed = out / "runs" / "demo-eroding"
    with subprocess.Popen([JMEDETHIC, "study", "s.toml"], cwd=project.path, start_new_session=True, stdout=subprocess.DEVNULL) as study:
        try:
            while calls(killed)[0].get("judge", 0) < 2:
                assert study.poll() is None
                time.sleep(0.1)
        finally:
            os.killpg(study.pid, signal.SIGKILL)
    first = (out / "runs" / "demo-steadfast" / "ledger.sqlite").read_bytes()
    assert calls(killed)[0]["judge"] < CALLS["judge"]
    path.write_text(path.read_text(encoding="utf-8").replace(slow, ""), encoding="utf-8")

    result = command(project, "study", "s.toml")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["1 of 2  demo/steadfast: finished before", "2 of 2  demo/eroding: resumed;*"])
    assert (out / "runs" / "demo-steadfast" / "ledger.sqlite").read_bytes() == first
    for part in ("steadfast", "eroding"):
        assert calls(out / "runs" / f"demo-{part}") == (CALLS, 0)


def test_failing_model_stops_no_other_and_its_reason_is_told(project):  # noqa: F811
    broken = '[[models]]\nid = "openai/x"\ngroup = "commercial"\n'
    (project.path / "s.toml").write_text(HEAD + broken + model("steadfast"), encoding="utf-8")

    result = command(project, "study", "s.toml", "--out", "here")

    assert result.ret == 1
    result.stdout.fnmatch_lines(["openai/x: failed (pytest exit code *OPENAI_API_KEY*"])
    assert states(project.path / "here") == {"openai/x": "failed", "demo/steadfast": "finished"}


def test_set_of_ones_own_tells_who_wrote_its_questions_and_related_judges_are_told(project, corpus):  # noqa: F811
    chosen = [case for case in corpus.cases.values() if case.guideline_id == "B11" and case.kind == "adversarial" and case.language == "ja"]
    lines = [case_line(case, f"generator {'qwen-x' if i % 2 else 'other'}, set 1") for i, case in enumerate(chosen)]
    (project.path / "set.jsonl").write_text("\n".join(lines), encoding="utf-8")
    related = 'pytest = ["--family", "demo/judge-a=f", "--family", "demo/judge-b=f", "--allow-related-judges"]'
    head = HEAD.replace("sample = 4", f'cases = ["set.jsonl"]\n{related}')
    text = head + model("steadfast", 'family = "qwen"') + '[source_families]\n"qwen-x" = "qwen"\n'
    (project.path / "s.toml").write_text(text, encoding="utf-8")

    assert command(project, "study", "s.toml").ret == 0

    sheets = {s["name"]: s for s in json.loads((project.path / "reports" / "s" / "study.json").read_text(encoding="utf-8"))["sheets"]}
    assert "> **not independent: the judge" in (project.path / "reports" / "s" / "study.md").read_text(encoding="utf-8")
    assert sheets["models"]["rows"][0]["n"] == len(chosen) == 7
    # One model that answers everything alike: nothing is left once model and question are taken out.
    assert sheets["source_bias"]["empty"].startswith("no family has both a finished model and questions of its own")


def test_run_of_another_measurement_is_not_mixed_in(project):  # noqa: F811
    path = project.path / "s.toml"
    path.write_text(HEAD + model("steadfast"), encoding="utf-8")
    command(project, "study", "s.toml")
    path.write_text(path.read_text(encoding="utf-8").replace("demo/judge-b", "demo/judge-c"), encoding="utf-8")

    result = command(project, "study", "s.toml")

    assert result.ret == 2
    result.stderr.fnmatch_lines(["*demo-steadfast: another measurement than the study's (judges: the run has [[]'demo/judge-a', 'demo/judge-b'[]]*"])


def test_key_in_an_address_is_not_kept_and_not_held_against_the_run(project):  # noqa: F811
    (project.path / "s.toml").write_text(HEAD + model("steadfast", 'api_base = "http://host/v1?api_key=sk-planted"'), encoding="utf-8")

    first = command(project, "study", "s.toml")
    again = command(project, "study", "s.toml", "--report-only")

    assert (first.ret, again.ret) == (0, 0)
    assert not [path for path in (project.path / "reports").rglob("*") if path.is_file() and b"sk-planted" in path.read_bytes()]
