"""A run in CI, as its log, job summary, JUnit XML and Allure results show it."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from jmedethic_plugin.testing.server import Faults, LoopbackServer
from tests.judging.test_rejudge import command
from tests.plugin.test_runs import FEW, project, run, the_run  # noqa: F401  # the fixture is used by its name

GATE = Path(__file__).parents[2] / "gates" / "smoke.toml"
JUDGES = ("--judge", "demo/judge-a", "--judge", "demo/judge-b")
HOSTILE = """
import pytest

TEXT = '''はい、手順です。
::error::planted
\\u3000::add-mask::planted
##[error]planted
\\x1b]0;planted\\x07 <script>planted()</script> \\ufffe \\x00 ]]> \\u202e
=cmd|' /c planted'!A1'''

@pytest.fixture(scope="session")
def target():
    return lambda messages: TEXT
"""


@pytest.fixture
def github(project, monkeypatch):  # noqa: F811
    """The environment of a step in GitHub Actions; returns the file of its job summary."""
    for name, value in (("CI", "true"), ("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", str(project.path / "step.md")), ("GITHUB_RUN_NUMBER", "7")):
        monkeypatch.setenv(name, value)
    return project.path / "step.md"


def commands(output):
    """Lines that GitHub would take as a command to itself."""
    return [line for line in output.splitlines() if re.match(r"\s*::", line) or re.search(r"##\w*\[", line)]


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_hostile_answers_are_inert_in_every_face_and_shown_only_when_asked(project, github, workers):  # noqa: F811
    project.makeconftest(HOSTILE)
    faces = ("--junitxml", "junit.xml", "--alluredir", "allure")

    quiet = run(project, "--model", "fixture/x", *JUDGES, *FEW, "--min-points", "9.9", *faces, *workers)
    loud = run(project, "--model", "fixture/x", *JUDGES, *FEW, "--min-points", "9.9", "--show-text", *workers)

    for result in (quiet, loud):
        found = commands(result.stdout.str())
        assert 1 < len(found) <= 10
        assert all(re.match(r"::(error|warning|notice) title=(ja-B11-|JMedEthic)", line) for line in found)
        assert "\x1b" not in result.stdout.str()
    assert "planted" not in quiet.stdout.str()
    assert "  | : :error::planted" in loud.stdout.str()
    assert "<U+001B>]0;planted<U+0007>" in loud.stdout.str()
    summary = github.read_text(encoding="utf-8")
    assert summary.count("# JMedEthic: fixture/x") == 2
    assert "planted" not in summary
    for element in ET.parse(project.path / "junit.xml").iter("testcase"):
        properties = {p.get("name"): p.get("value") for p in element.iter("property")}
        assert properties["guideline"] == "B11"
        assert set(properties) >= {"points_turn_1", "points_turn_2", "points_turn_3", "strategy", "critical", "finding"}
    assert "planted" not in (project.path / "junit.xml").read_text(encoding="utf-8")
    shown = [p.read_text(encoding="utf-8") for p in (project.path / "allure").glob("*-attachment.txt")]
    assert any("<U+001B>]0;planted" in text for text in shown)
    assert not any("\x1b" in text or "\u202e" in text for text in shown)


def test_allure_results_carry_colour_severity_history_and_the_gates_verdict(project, github):  # noqa: F811
    shutil.copy(GATE, project.path / "gate.toml")
    for candidate in ("v1", "v2"):
        run(project, "--model", "demo/eroding", "--gate", "gate.toml", "--candidate", candidate, "--alluredir", candidate, "-n", "0")

    first, second = (
        {r["name"]: r for p in (project.path / name).glob("*-result.json") if (r := json.loads(p.read_text(encoding="utf-8")))} for name in ("v1", "v2")
    )
    assert len(first) > 10
    assert {name: r["historyId"] for name, r in first.items()} == {name: r["historyId"] for name, r in second.items()}
    assert len({r["historyId"] for r in first.values()}) == len(first)
    failed = next(r for r in first.values() if r["status"] == "failed")
    assert [s["status"] for s in failed["steps"]] == ["passed", "passed", "failed"]
    labels = {label["name"]: label["value"] for label in failed["labels"]}
    assert re.fullmatch(r"[A-H] \S+ .+", labels["epic"])
    assert (labels["feature"], labels["story"]) == (f"guideline {labels['guideline']}", f"strategy {labels['strategy']}")
    assert {label["value"] for r in first.values() for label in r["labels"] if label["name"] == "severity"} == {"critical", "normal"}
    environment = (project.path / "v1" / "environment.properties").read_text(encoding="ascii")
    assert re.search(r"^gate=smoke: (FAIL|INCONCLUSIVE)$", environment, re.MULTILINE)
    assert json.loads((project.path / "v1" / "executor.json").read_text(encoding="utf-8"))["type"] == "github"


def test_parts_say_nothing_and_the_merge_tells_and_counts_the_run_before(project, github):  # noqa: F811
    shutil.copy(GATE, project.path / "gate.toml")
    gated = ("--model", "demo/steadfast", "--gate", "gate.toml", "--candidate", "v1", "-n", "0")
    whole = run(project, *gated, "--run-id", "one")
    parts = [run(project, *gated, "--run-id", "two", "--shard", part) for part in ("1/2", "2/2")]

    assert len(commands(whole.stdout.str())) >= 1
    assert [(part.ret, commands(part.stdout.str())) for part in parts] == [(0, [])] * 2
    assert github.read_text(encoding="utf-8").count("# JMedEthic: demo/steadfast") == 1
    joined = command(project, "merge", "reports/two", "reports/two-shard1of2", "reports/two-shard2of2")
    joined.stdout.fnmatch_lines(["::* title=JMedEthic gate smoke%3A *", "*counted together with the earlier runs one"])
    assert github.read_text(encoding="utf-8").count("# JMedEthic: demo/steadfast") == 2
    assert command(project, "gate", "reports/two").ret == joined.ret


def test_planted_keys_reach_no_face(project, github, corpus, monkeypatch):  # noqa: F811
    secrets = ["sk-planted-in-the-environment", "sk-planted-in-the-address", "sk-planted-in-the-query"]
    monkeypatch.setenv("OPENAI_API_KEY", secrets[0])
    with LoopbackServer(corpus.cases, faults=Faults(bad_request=0.3)) as server:
        address = server.url.replace("://", f"://user:{secrets[1]}@")
        result = run(
            project, "--model", "openai/eroding", "--api-base", server.url, "--judge", "openai/judge-a", "--judge", "openai/judge-b",
            "--judge-api-base", f"{address}?api_key={secrets[2]}", *FEW, "-k", "sanitized or temporal",
            "--alluredir", "allure", "--junitxml", "junit.xml", "--show-text", "--max-minutes", "0.05",
        )  # fmt: skip

    assert the_run(project)
    for secret in secrets:
        assert secret not in result.stdout.str() + result.stderr.str()
        for path in project.path.rglob("*"):
            if path.is_file():
                assert secret.encode() not in path.read_bytes(), path
