"""The factory as a user starts it: every step in a process of its own, offline."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from jmedethic_plugin.testing.server import Faults, LoopbackServer
from tests.generation.test_conversations import requests_of
from tests.plugin.test_runs import project, run, table  # noqa: F401  # the fixture is used by its name

FILTER = [part for letter in "abcde" for part in ("--model", f"demo/filter-{letter}")]
OPEN = 4


def generate(folder, *options):
    return subprocess.run([sys.executable, "-m", "jmedethic_plugin.cli", "generate", *options], cwd=folder, capture_output=True, text=True, check=False)


def test_two_guidelines_from_requests_to_a_played_test_set(project):  # noqa: F811
    steps = [
        ("questions", "--generator", "demo/generator-a", "--generator", "demo/generator-b", "--guideline", "A01", "--guideline", "B11"),
        ("filter", *FILTER, "--judge", "demo/judge-a"),
        ("strategies", "--attacker", "demo/attacker", "--target", "demo/filter-d", "--scorer", "demo/scorer", "--summarizer", "demo/summarizer"),
        ("conversations", "--strategies", "factory/strategies.yaml", "--agent", "demo/agent-a", "--agent", "demo/agent-b"),
        ("testset", "--per-cell", "2"),
    ]
    unknown = ("--cases", "factory/testset.jsonl", "--model", "demo/eroding", "-n", "0")

    told = [generate(project.path, *step, "--out", "factory") for step in steps]
    refused = run(project, *unknown)
    played = run(project, *unknown, "--strategies", "factory/strategies.yaml")

    assert [t.returncode for t in told] == [0] * 5, told
    assert "16 kept" in told[4].stdout
    assert refused.ret == 4
    refused.stderr.fnmatch_lines(["*testset.jsonl:1: strategy: found 'demo_deference'*--strategies FILE*"])
    sheet = (project.path / "factory" / "testset-review.csv").read_text(encoding="utf-8-sig")
    assert len(list(csv.reader(io.StringIO(sheet)))) == 17
    assert "別の枠組み" in sheet
    outcomes = played.parseoutcomes()
    assert outcomes["failed"] + outcomes.get("passed", 0) == 16
    assert (table(project)["safe"]["n"], table(project)["safe"]["n_not_measured"]) == (16, 0)
    assert [row["name"] for row in table(project)["by_strategy"]] == ["demo_deference", "demo_detour", "demo_framing", "demo_persistence"]
    assert "別の枠組みに移す話し方" in next(project.path.glob("reports/*/report.html")).read_text(encoding="utf-8")
    lines = [json.loads(line) for line in (project.path / "factory" / "testset.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all("machine-made, unreviewed" in line["source"] and line["canary"] for line in lines)


def test_a_plan_spends_nothing_and_writes_nothing(tmp_path):
    planned = generate(tmp_path, "questions", "--out", "factory", "--generator", "demo/generator-a", "--plan")

    assert planned.returncode == 0
    assert "67 jobs of questions, 67 calls" in planned.stdout
    assert not (tmp_path / "factory").exists()


@pytest.mark.parametrize(("options", "message"), [
    (("questions",), "--generator: found none"),
    (("questions", "--generator", "demo/x", "--generator", "demo/x"), "none twice"),
    (("questions", "--generator", "demo/nobody"), "no such demo model"),
    (("questions", "--generator", "demo/generator-a", "--guideline", "Z99"), "no such guideline"),
    (("questions", "--generator", "demo/generator-a", "--per-guideline", "0"), "--per-guideline is 0"),
    (("filter", "--model", "demo/filter-a"), "no such file"),
    (("testset",), "no such file"),
])  # fmt: skip
def test_mistakes_are_told_before_anything_is_asked(tmp_path, options, message):
    told = generate(tmp_path, *options, "--out", "factory")

    assert told.returncode == 2
    assert message in told.stderr


def conversations(folder, out, url):
    return [
        sys.executable, "-m", "jmedethic_plugin.cli", "generate", "conversations", "--out", str(folder / out), "--requests", str(folder / "requests.jsonl"),
        "--agent", "openai/agent-a", "--agent", "openai/agent-b", "--api-base", url, "--max-in-flight", str(OPEN),
    ]  # fmt: skip


def test_killed_and_started_again_a_step_loses_and_repeats_nothing(tmp_path, corpus):
    lines = [r.model_dump_json(by_alias=True, exclude_none=True) for r in requests_of(corpus, 4)]
    (tmp_path / "requests.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    with LoopbackServer(corpus.cases, latency_s=0.05, keep_bodies=False) as server:
        whole = subprocess.run(conversations(tmp_path, "whole", server.url), check=False, capture_output=True, text=True)
        n_whole = server.stats.requests
        server.stats.answered.clear()
        process = subprocess.Popen(conversations(tmp_path, "killed", server.url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while server.stats.requests < n_whole + 40 and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        n_before = sum(server.stats.answered.values())
        resumed = subprocess.run(conversations(tmp_path, "killed", server.url), check=False, capture_output=True, text=True)
        n_asked = sum(server.stats.answered.values())

    assert whole.returncode == resumed.returncode == 0, resumed.stderr
    assert 0 < n_before < n_whole == 8 * 7 * 2
    # Only what was open at the kill, or on its way to the disk, is asked again: two for each slot at most.
    assert n_whole <= n_asked <= n_whole + 2 * OPEN
    for name in ("conversations.jsonl", "cases.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_faults_of_the_provider_are_survived_counted_and_asked_again(tmp_path, corpus):
    lines = [r.model_dump_json(by_alias=True, exclude_none=True) for r in requests_of(corpus, 3)]
    (tmp_path / "requests.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    faults = Faults(error_500=0.05, rate_limit=0.05, malformed_json=0.05, filter_400=0.05, empty=0.05, bad_request=0.1)

    with LoopbackServer(corpus.cases, faults=faults, keep_bodies=False) as server:
        first = subprocess.run(conversations(tmp_path, "factory", server.url), check=False, capture_output=True, text=True)
        port = server.port
        report = json.loads((tmp_path / "factory" / "conversations.json").read_text(encoding="utf-8"))
    with LoopbackServer(corpus.cases, port=port, keep_bodies=False) as server:  # the same address, and no fault
        second = subprocess.run(conversations(tmp_path, "factory", server.url), check=False, capture_output=True, text=True)
        again = json.loads((tmp_path / "factory" / "conversations.json").read_text(encoding="utf-8"))

    assert (first.returncode, second.returncode) == (1, 0), second.stderr
    assert {"blocked", "empty", "fault"} <= set(report["dropped"])
    assert report["n_kept"] + sum(report["dropped"].values()) == report["n_jobs"] == 84
    assert server.stats.requests == report["dropped"]["fault"]
    assert "fault" not in again["dropped"]
    assert again["dropped"]["blocked"] == report["dropped"]["blocked"]
