"""A run in CI, as its log, job summary, JUnit XML and Allure results show it."""

from __future__ import annotations

import json
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import quote

import pytest
from allure_commons.utils import platform_label

from jmedethic_plugin.testing.server import Faults, LoopbackServer
from tests.judging.test_rejudge import command
from tests.planted import places_of
from tests.plugin.test_exam import JA
from tests.plugin.test_runs import FEW, project, run, summary  # noqa: F401  # the fixture is used by its name

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


def told(folder):
    """What Allure results tell, by name: without ids and times, tracebacks, and what is of the process that ran pytest."""

    def of(item):
        details = item.get("statusDetails", {}).get("message")
        attachments = [(a["name"], a["type"], (folder / a["source"]).read_text(encoding="utf-8")) for a in item.get("attachments", [])]
        return item["status"], details, attachments, [(step["name"], of(step)) for step in item.get("steps", [])]

    results = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*-result.json")]
    assert len({r["name"] + str(r["parameters"]) for r in results}) == len(results)
    return {
        r["parameters"][0]["value"]: (
            r["name"], of(r), r["parameters"], r["historyId"], r["testCaseId"], r["fullName"], r["titlePath"],
            {(label["name"], label["value"]) for label in r["labels"]
             if label["name"] not in ("host", "thread") and label != {"name": "language", "value": platform_label()}},
        )
        for r in results
    }  # fmt: skip


@pytest.mark.parametrize("workers", ["0", "2"])
def test_allure_results_are_made_again_from_the_ledger_and_twice_the_same(project, corpus, workers):  # noqa: F811
    project.mkpydir("cases").joinpath("test_mine.py").write_text("def test_mine(case, judged):\n    judged.require()\n", encoding="utf-8")
    with LoopbackServer(corpus.cases, faults=Faults(bad_request=0.1)) as server:
        run(
            project, "cases/test_mine.py", "--model", "openai/eroding", "--api-base", server.url, *JUDGES, "--allow-related-judges", *FEW, "--repeats", "2",
            f"--exam={JA}", "--alluredir", "during", "--run-id", "one", "-n", workers,
        )  # fmt: skip

    again = [command(project, "report", "reports/one", "--allure", name) for name in ("first", "second")]

    assert [result.ret for result in again] == [0, 0]
    during, first = told(project.path / "during"), told(project.path / "first")
    assert {status for _, (status, *_), *_ in during.values()} == {"passed", "failed", "broken"}
    assert len(during) == 25
    assert first == during
    files = [{path.name: path.read_bytes() for path in (project.path / name).iterdir()} for name in ("first", "second")]
    assert files[0] == files[1]
    assert {path.name for path in (project.path / "during").iterdir() if "-" not in path.name} == {name for name in files[0] if "-" not in name}
    for result in (json.loads(content) for name, content in files[0].items() if name.endswith("-result.json")):
        assert 0 <= result["stop"] - result["start"] < 600_000


# Every face that is made after a run, in one process, as `jmedethic` would in many.
FACES = """
import sys
from jmedethic_plugin.cli import main
for arguments in sys.stdin.read().splitlines():
    print("ended", arguments.split()[0], main(arguments.split()), file=sys.stderr, flush=True)
"""


def test_planted_keys_reach_no_face(project, github, corpus, monkeypatch):  # noqa: F811
    keys = {name: f"sk-{name}+/=Zq-{digits}" for name, digits in (
        ("environment", "Xk29dPq7Lm40"), ("unused", "Rw83nVb5Ty61"), ("query", "Hj57sFc2Ge98"), ("user", "Uo14mKx6Ad35"), ("ledger", "Zi72bQt8Np03"),
    )}  # fmt: skip
    monkeypatch.setenv("OPENAI_API_KEY", keys["environment"])
    monkeypatch.setenv("ANTHROPIC_API_KEY", keys["unused"])
    shutil.copy(GATE, project.path / "gate.toml")
    loud = ("--show-text", "-l", "--tb=long", "-rA", "-n", "0")
    with LoopbackServer(corpus.cases, faults=Faults(bad_request=0.1)) as server:  # these tell the request's address and headers
        address = f"{server.url}?api_key={quote(keys['query'], safe='')}"
        refused = address.replace("://", f"://user:{quote(keys['user'], safe='')}@")  # the client does not take two credentials at once
        openai = ("--model", "openai/eroding", "--judge", "openai/judge-a", "--judge", "openai/judge-b")
        judged = (*openai, "--api-base", address, "--judge-api-base", address)
        unjudged = (*openai, "--api-base", address, "--judge-api-base", refused, *FEW, "-k", "sanitized or temporal", "--max-minutes", "0.05")
        faces = ("--alluredir", "allure", "--junitxml")
        said = [
            run(project, *judged, "--gate", "gate.toml", "--run-id", "judged", *faces, "junit.xml", *loud),
            run(project, *unjudged, "--run-id", "unjudged", *faces, "unjudged.xml", *loud),
        ]
        commands = [
            "report --redact --allure rebuilt reports/judged", "report --redact reports/unjudged", "queue --show-text reports/judged", "evidence --with-text reports/judged",
            "plots reports/judged", "gate reports/judged", "compare reports/judged reports/judged --json compare.json --markdown compare.md",
            *(f"export reports/judged --format {name}" for name in ("jsonl", "csv", "parquet", "inspect", "sarif", "hf")),
            f"rejudge reports/unjudged --judge openai/judge-a --judge openai/judge-b --judge-api-base {address} --run-id again",
            f"generate questions --out factory --generator openai/generator-a --guideline B11 --per-guideline 2 --api-base {address}",
            f"report reports/judged --ledger postgresql+psycopg://user:{quote(keys['ledger'], safe='')}@127.0.0.1:1/none",
        ]  # fmt: skip
        said.append(project.run(sys.executable, "-c", FACES, stdin="\n".join(commands).encode()))

    told = "\n".join(part for result in said for part in (result.stdout.str(), result.stderr.str())).encode()
    ends = [(line.split()[1], int(line.split()[2])) for line in said[-1].errlines if line.startswith("ended ")]
    assert ends == [(line.split()[0], 0) for line in commands[:5]] + [("gate", 1)] + [(line.split()[0], 0) for line in commands[6:-1]] + [("report", 2)]
    assert summary(project.path / "reports" / "judged")["tables"]["languages"][0]["outcomes"]["rejected"] > 0
    files = [path for path in project.path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".html", ".md", ".json", ".xml", ".sqlite", ".parquet", ".png", ".svg", ".csv", ".sarif"}
    places = [place for key in keys.values() for place in places_of(key, told, "terminal")]
    assert places + [place for path in files for content in [path.read_bytes()] for key in keys.values() for place in places_of(key, content, str(path))] == []
