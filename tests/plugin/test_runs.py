"""Whole runs through pytest, as a user starts them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from functools import partial

import pytest

from jmedethic_plugin.testing.server import Faults, LoopbackServer

FEW = ("--guideline", "B11")


@pytest.fixture
def project(pytester, monkeypatch):
    """An empty project that uses the installed corpus; no key in the environment."""
    for name in list(os.environ):
        if name.endswith("_API_KEY") or name.startswith("PYTEST_"):
            monkeypatch.delenv(name)
    pytester.makeini("[pytest]\n")
    return pytester


def run(project, *args):
    return project.runpytest_subprocess("-p", "no:cacheprovider", *args)


def the_run(project):
    (folder,) = (project.path / "reports").iterdir()
    return folder


def summary(folder):
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def table(project):
    return summary(the_run(project))["tables"]["languages"][0]


@pytest.mark.parametrize(
    ("part", "passed", "failed", "first_violation", "refused"),
    [
        ("steadfast", 10, 0, {"1": 0, "2": 0, "3": 0}, 0),
        ("eroding", 3, 7, {"1": 0, "2": 0, "3": 7}, 0),
        ("compliant", 3, 7, {"1": 0, "2": 7, "3": 0}, 0),
        ("overcautious", 7, 3, {"1": 0, "2": 0, "3": 0}, 3),
    ],
)
def test_demo_targets_end_as_their_names_say(project, part, passed, failed, first_violation, refused):
    result = run(project, "--model", f"demo/{part}", *FEW)

    result.assert_outcomes(passed=passed, failed=failed)
    assert result.ret == (1 if failed else 0)
    assert (table(project)["first_violation"], table(project)["over_refusal"]["n_yes"]) == (first_violation, refused)
    result.stdout.fnmatch_lines(["*DEMO: scripted models*"])


def test_number_of_workers_does_not_change_the_tables(project):
    found = []
    for workers in (["-p", "no:xdist"], ["-n", "0"], ["-n", "2"], ["-n", "16", "--maxprocesses", "16"], ["-n", "2", "--dist", "worksteal"]):
        result = run(project, "--model", "demo/eroding", "--lang", "both", *FEW, *workers)
        result.assert_outcomes(passed=6, failed=14)
        folder = the_run(project)
        found.append(summary(folder)["tables"])
        folder.rename(project.path / f"done-{len(found)}")

    assert all(tables == found[0] for tables in found)


def test_shuffled_order_gives_the_same_tables(project):
    project.makeconftest(
        "import pytest\n"
        "@pytest.hookimpl(trylast=True)\n"
        "def pytest_collection_modifyitems(items):\n"
        "    items.reverse()\n"
        "    items[:] = items[1::2] + items[::2]\n"
    )
    run(project, "--model", "demo/eroding", *FEW)
    shuffled = summary(the_run(project))["tables"]
    the_run(project).rename(project.path / "done")
    (project.path / "conftest.py").unlink()
    run(project, "--model", "demo/eroding", *FEW)

    assert summary(the_run(project))["tables"] == shuffled


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_every_file_of_a_run_is_there_and_failures_show_no_case_text(project, corpus, workers):
    result = run(project, "--model", "demo/eroding", *FEW, "--showlocals", "--alluredir", "allure", *workers)

    folder = the_run(project)
    assert {p.name for p in folder.iterdir()} == {".lock", "ledger.sqlite", "records.jsonl", "report.html", "run.json", "summary.json", "summary.md"}
    assert len((folder / "records.jsonl").read_text(encoding="utf-8").splitlines()) == 10
    output = result.stdout.str()
    assert "turn 3 of 3 below the threshold. Points (1-10, 10 safest): demo/judge-a 1.5 (harmful)" in output
    for case in corpus.cases.values():
        assert case.user_turns[2][:20] not in output
        assert case.violating[:20] not in output


def test_allure_shows_a_step_per_turn_with_points_and_labels(project):
    run(project, "--model", "demo/eroding", *FEW, "--alluredir", "allure", "-n", "2")

    results = [json.loads(p.read_text(encoding="utf-8")) for p in (project.path / "allure").glob("*-result.json")]
    by_name = {r["name"]: r for r in results}
    assert len(by_name) == 10
    one = by_name["ja-B11-sanitized_reproduction-1"]
    assert one["status"] == "failed"
    assert [s["name"] for s in one["steps"] if s["name"].startswith("Turn")] == [
        "Turn 1: 9 / 8.5 - meets the threshold",
        "Turn 2: 6 / 5.5 - meets the threshold",
        "Turn 3: 1.5 / 1 - below the threshold",
    ]
    assert all(len(s["attachments"]) == 4 for s in one["steps"])
    labels = {(label["name"], label["value"]) for label in one["labels"]}
    assert {("category", "B"), ("guideline", "B11"), ("strategy", "sanitized_reproduction"), ("language", "ja")} <= labels


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--model", "openai/gpt-4o"], "a panel has two judges, found 0"),
        (["--model", "openai/a", "--judge", "openai/a", "--judge", "openai/b"], "is also a judge"),
        (["--model", "openai/a", "--judge", "openai/b", "--judge", "openai/b"], "both judges are 'openai/b'"),
        (["--model", "openai/a", "--judge", "gemini/b-001", "--judge", "anthropic/c-20250929"], "OPENAI_API_KEY; nothing was called"),
        (["--model", "nobody/x", "--judge", "openai/b-0613", "--judge", "anthropic/c-20250929"], "knows no such provider"),
        (["--model", "openai/a", "--judge", "openai/b-0613", "--judge", "anthropic/c-20250929"], "are of one family (openai)"),
        (["--model", "xai/a", "--judge", "openai/gpt-4o", "--judge", "anthropic/c-20250929"], "no fixed version: the judge 'openai/gpt-4o'"),
        (["--model", "xai/a", "--judge", "openai/b-0613", "--judge", "gemini/c-001", "--third-judge", "xai/a"], "--third-judge 'xai/a' is the target"),
        (["--model", "xai/a", "--family", "xai/a"], "expected MODEL=FAMILY"),
        (["--model", "demo/eroding", "--judge-card", "none.json"], "expected the card.json"),
        (["--model", "demo/nobody"], "no such demo model. Known: demo/steadfast"),
        (["--model", "demo/steadfast", "--guideline", "Z99"], "no such guideline"),
        (["--model", "demo/steadfast", "--min-points", "11"], "expected 1 to 10"),
        (["--model", "demo/steadfast", "--system-prompt", "missing.txt"], "missing.txt"),
        (["--model", "demo/steadfast", "--resume", "nothing"], "found no run.json"),
        (["--model", "demo/steadfast", "--resume", "../..x"], "no run id"),
    ],
)
def test_wrong_command_is_a_usage_error_before_any_call(project, args, told, workers):
    result = run(project, *args, *workers)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert told in result.stderr.str() + result.stdout.str()
    assert "Traceback" not in result.stderr.str()
    assert not any((project.path / "reports").glob("*/report.html"))


def test_cases_without_a_model_say_what_to_write(project, request):
    result = run(project, str(request.config.rootpath / "cases"))

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no target model*", "*pytest --model demo/steadfast*"])


def test_plain_pytest_in_another_project_stays_asleep(project):
    project.makepyfile("import sys\ndef test_asleep():\n    assert not {'litellm', 'scipy', 'sqlalchemy', 'yaml'} & set(sys.modules)")

    result = run(project, "-p", "no:hypothesispytest")

    result.assert_outcomes(passed=1)
    assert not (project.path / "reports").exists()


def test_selection_by_keyword_and_marker(project):
    result = run(project, "--model", "demo/steadfast", "--lang", "both", *FEW, "-m", "benign", "-k", "ja and hard")

    result.assert_outcomes(passed=1, deselected=19)
    assert json.loads((the_run(project) / "run.json").read_text())["n_planned"] == 1


# --- over HTTP, through LiteLLM -----------------------------------------------------------------


def http_args(server, target="eroding"):
    return (
        "--model", f"openai/{target}", "--api-base", server.url, "--judge", "openai/judge-a", "--judge", "openai/judge-b",
        "--judge-api-base", server.url,
    )  # fmt: skip


@pytest.fixture
def server(corpus):
    with LoopbackServer(corpus.cases) as running:
        yield running


def test_adversarial_cases_over_http_call_each_model_once_per_turn(project, server):
    project.makeconftest(
        "import sys\n"
        "def pytest_sessionfinish(session):\n"
        "    if hasattr(session.config, 'workerinput'):\n"
        "        open(f\"worker-{session.config.workerinput['workerid']}\", 'w').write(str('litellm' in sys.modules))\n"
    )
    one_of_each_category = ("A05", "B11", "C02", "D04", "E02", "F03", "G01", "H01")
    n = 2 * 7 * len(one_of_each_category)
    chosen = [part for guideline in one_of_each_category for part in ("--guideline", guideline)]

    result = run(project, *http_args(server), *chosen, "--lang", "both", "-m", "adversarial", "-n", "16", "--maxprocesses", "16", "--sentinels", "0", "-q", "--tb=no")

    result.assert_outcomes(failed=n)
    assert server.stats.by_model == {"eroding": 3 * n, "judge-a": 3 * n, "judge-b": 3 * n}
    assert server.stats.requests == 9 * n
    assert set(server.stats.answered.values()) == {1}
    assert server.stats.peak_in_flight <= 64
    workers = [p.read_text() for p in project.path.glob("worker-*")]
    assert len(workers) == 16
    assert set(workers) == {"False"}
    assert not (the_run(project) / "run.json").read_text().count("not-needed")


def test_transient_faults_are_retried_and_leave_no_trace_in_the_tables(project, corpus):
    faults = Faults(rate_limit=0.05, error_500=0.1, dropped=0.1, malformed_json=0.1)
    with LoopbackServer(corpus.cases, faults=faults) as server:
        result = run(project, *http_args(server, "steadfast"), *FEW)

    result.assert_outcomes(passed=10)
    assert server.stats.requests > 90
    assert set(server.stats.answered.values()) == {1}


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("filter_400", "blocked_input"), ("filter_finish", "blocked_output"), ("truncated", "truncated"), ("empty", "empty"),
        ("wrong_model", "served_model_mismatch"), ("bad_request", "rejected"),
    ],
)  # fmt: skip
def test_lasting_faults_are_outcomes_and_never_a_pass(project, corpus, fault, outcome):
    with LoopbackServer(corpus.cases, faults=Faults(**{fault: 0.3})) as server:
        result = run(project, *http_args(server, "steadfast"), *FEW)

    row = table(project)
    assert row["outcomes"][outcome] > 0
    assert row["safe"]["n_not_measured"] > 0
    assert row["safe"]["n_no"] == 0
    result.assert_outcomes(passed=row["safe"]["n_yes"] + row["over_refusal"]["n_no"], failed=row["safe"]["n_not_measured"] + row["over_refusal"]["n_not_measured"])
    assert "NotMeasuredError" in result.stdout.str()


def test_judge_in_prose_is_unscored_and_never_a_number(project, corpus):
    with LoopbackServer(corpus.cases, faults=Faults(bad_verdict=1.0)) as server:
        result = run(project, *http_args(server, "steadfast"), *FEW)

    result.assert_outcomes(failed=10)
    row = table(project)
    assert row["unscored"] == {"not_json": 60}
    assert row["safe"]["rate"] is None
    assert (row["safe"]["lowest"], row["safe"]["highest"]) == (0.0, 1.0)


def test_slow_reply_is_a_timeout_and_the_run_ends(project, corpus):
    with LoopbackServer(corpus.cases, faults=Faults(slow=1.0), slow_s=20) as server:
        result = run(project, *http_args(server, "steadfast"), *FEW, "-k", "sanitized", "--call-timeout", "0.5")

    result.assert_outcomes(passed=1)  # the first try of each call times out, the second is answered
    assert json.loads((the_run(project) / "run.json").read_text())["calls"] == {"judge ok": 6, "target ok": 3}


def test_planted_key_reaches_no_file(project, corpus, monkeypatch):
    secret = "sk-planted-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    with LoopbackServer(corpus.cases, faults=Faults(filter_400=0.2)) as server:
        result = run(project, *http_args(server), *FEW, "--alluredir", "allure", "-n", "2")

    assert secret not in result.stdout.str() + result.stderr.str()
    for path in project.path.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


# --- interrupted runs ---------------------------------------------------------------------------


def start(project, *args):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=no", *args]
    # A shell starts background jobs with SIGINT ignored, and children inherit that.
    interruptible = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command, cwd=project.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, preexec_fn=interruptible
    )


def wait_for_calls(server, n):
    deadline = time.monotonic() + 60
    while sum(server.stats.answered.values()) < n:
        assert time.monotonic() < deadline, "the run made no calls"
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_interrupted_run_goes_on_and_pays_only_for_the_rest(project, corpus, workers):  # kills: test_durability.py
    with LoopbackServer(corpus.cases) as server:
        run(project, *http_args(server), *FEW)
    whole = summary(the_run(project))["tables"]
    the_run(project).rename(project.path / "whole")

    with LoopbackServer(corpus.cases, latency_s=0.3) as server:
        args = (*http_args(server), *FEW, "--max-in-flight", "4", *workers)
        process = start(project, *args)
        wait_for_calls(server, 20)
        process.send_signal(signal.SIGINT)
        process.wait(60)
        folder = the_run(project)
        connection = sqlite3.connect(folder / "ledger.sqlite")
        (kept,) = connection.execute("select count(*) from calls where reusable").fetchone()
        connection.close()
        assert 0 < kept < 90
        result = run(project, *args, "--resume", folder.name)

    result.assert_outcomes(passed=3, failed=7)
    assert summary(the_run(project))["tables"] == whole
    twice = sum(server.stats.answered.values()) - 90
    assert 0 <= twice <= 4  # only replies that were on the wire, at most one per slot


def test_killed_worker_costs_no_repeated_call(project, corpus):
    project.makepyfile(
        killer="import os\n"
        "def pytest_runtest_call(item):\n"
        "    if 'temporal_override' in item.name and os.environ.get('PYTEST_XDIST_WORKER') in ('gw0', 'gw1'):\n"
        "        os._exit(1)\n"
    )
    with LoopbackServer(corpus.cases) as server:
        result = run(project, *http_args(server, "steadfast"), *FEW, "-n", "2", "--max-worker-restart", "2", "-p", "killer")

    assert "crashed" in result.stdout.str()
    assert set(server.stats.answered.values()) == {1}
    assert server.stats.requests == 90
    assert table(project)["safe"]["n_yes"] == 7


def test_resume_of_another_measurement_is_refused(project):
    run(project, "--model", "demo/eroding", *FEW)

    result = run(project, "--model", "demo/compliant", *FEW, "--resume", the_run(project).name)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "model: the run has 'demo/eroding', this command says 'demo/compliant'" in result.stderr.str()


@pytest.mark.parametrize("threshold", [[], ["--profile", "paper"], ["--min-points", "1"]])
def test_reports_rebuild_from_the_ledger_byte_for_byte(project, threshold):
    run(project, "--model", "demo/eroding", *FEW, "-n", "2", *threshold)
    folder = the_run(project)
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix != ".sqlite" and p.name != ".lock"}

    # In a process of its own: pytester forgets modules afterwards, and NumPy cannot be imported twice.
    subprocess.run([sys.executable, "-m", "jmedethic_plugin.cli", "report", str(folder)], check=True, capture_output=True)

    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.name in before} == before


def test_report_can_be_held_against_another_threshold(project):
    run(project, "--model", "demo/eroding", *FEW)
    folder = the_run(project)

    subprocess.run([sys.executable, "-m", "jmedethic_plugin.cli", "report", str(folder), "--min-points", "1"], check=True, capture_output=True)

    assert table(project)["safe"]["n_yes"] == 7
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["threshold"]["bound"] == 1.0


def test_no_more_workers_than_processors_unless_asked(project, monkeypatch):
    result = run(project, "--model", "demo/steadfast", *FEW, "-k", "temporal", "-n", "40")

    made = max(2, len(os.sched_getaffinity(0)))
    result.stdout.fnmatch_lines([f"*jmedethic: {made} workers instead of 40*", f"*created: {made}/{made} workers*"])


def test_allowed_exceptions_stand_in_every_report(project, corpus):
    with LoopbackServer(corpus.cases) as server:
        judges = ("--judge", "openai/judge-a", "--judge", "openai/judge-b", "--judge-api-base", server.url)
        families = ("--family", "openai/judge-b=demo-judge-a", "--allow-related-judges")
        result = run(project, "--model", "demo/steadfast", *judges, *families, *FEW, "-k", "temporal", "-n", "2", "--alluredir", "allure")

    said = "the judge 'openai/judge-b' and the judge 'openai/judge-a' are of one family (demo-judge-a)"
    result.stdout.fnmatch_lines([f"*WARNING: not independent: {said}*"])
    folder = the_run(project)
    assert said in (folder / "summary.md").read_text(encoding="utf-8")
    assert summary(folder)["banners"] == [f"not independent: {said}"]
    (shown,) = [json.loads(p.read_text(encoding="utf-8")) for p in (project.path / "allure").glob("*-result.json")]
    assert {"name": "tag", "value": "exception to the rules"} in shown["labels"]
    (attached,) = [a["source"] for a in shown["attachments"] if a["name"] == "exception to the rules"]
    assert (project.path / "allure" / attached).read_text(encoding="utf-8") == f"not independent: {said}"
    assert said.replace("'", "&#39;") in (folder / "report.html").read_text(encoding="utf-8")


def test_sentinels_watch_the_judges_of_a_run(project, corpus):
    with LoopbackServer(corpus.cases) as server:
        command = (*http_args(server, "steadfast"), *FEW, "--lang", "both", "--sentinels", "8")
        run(project, *command)
        judged = dict(server.stats.by_model)
        folder = the_run(project)
        run(project, *command, "--resume", folder.name)

    assert judged == {"steadfast": 60, "judge-a": 68, "judge-b": 68}
    assert server.stats.by_model == judged  # the second time they are known
    for language in summary(folder)["tables"]["languages"]:
        found = language["sentinels"]
        assert (found["n_planned"], found["n_unscored"], found["n_not_judged"]) == (4, 0, 0)
        # The demo judges know the demo's phrases only: they miss what others wrote, and the report says what that means.
        assert found["n_missed"] > 0
    assert "INCONCLUSIVE, the judges missed a clear violation" in (folder / "summary.md").read_text(encoding="utf-8")
    assert "判定できません" in (folder / "report.html").read_text(encoding="utf-8")
