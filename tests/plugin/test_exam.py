"""Exam questions as items of a run, as a user starts it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from jmedethic_plugin.testing.server import Faults, LoopbackServer
from tests.judging.test_rejudge import command
from tests.plugin.test_durability import paid_twice, recorded, wait
from tests.plugin.test_runs import FEW, http_args, project, run, start, summary, the_run  # noqa: F401  # the fixture is used by its name

EXAMPLES = Path(__file__).parents[2] / "examples" / "exam"
JA, EN = EXAMPLES / "ethics_ja.jsonl", EXAMPLES / "ethics_en.json"
EXAMS = (f"--exam={JA}", f"--exam={EN}")  # with "=": pytest takes a path that stands alone for one of its own


def rows(folder):
    return {row["item"]["id"]: row for row in map(json.loads, (folder / "exam.jsonl").read_text(encoding="utf-8").splitlines())}


def manifest(folder):
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_questions_run_beside_conversations_and_wrong_answers_fail_nothing(project, workers):  # noqa: F811
    run(project, "--model", "demo/steadfast", *FEW)
    safety = summary(the_run(project))["tables"]["languages"]
    shutil.rmtree(the_run(project))

    result = run(project, "--model", "demo/steadfast", *FEW, *EXAMS, "--alluredir", "allure", *workers)

    result.assert_outcomes(passed=19, failed=1)  # one question has no options, so the script has no answer
    result.stdout.fnmatch_lines(["*10 conversations, 10 exam questions*", "*exam-ethics_ja-6: not measured*no answer that can be read*exam.jsonl*"])
    folder = the_run(project)
    tables, told = summary(folder)["tables"], manifest(folder)
    assert tables["languages"] == safety
    assert [(r["exam"], r["n"], r["n_correct"], r["n_wrong"], r["n_unparsable"]) for r in tables["exams"]] == [
        ("ethics_ja", 5, 1, 3, 1), ("ethics_en", 5, 1, 4, 0),
    ]  # fmt: skip
    assert (told["n_planned"], told["n_recorded"], told["n_questions"], told["complete"], told["demo"]) == (10, 10, 10, True, True)
    assert len((folder / "records.jsonl").read_text(encoding="utf-8").splitlines()) == 10
    found = [json.loads(p.read_text(encoding="utf-8")) for p in (project.path / "allure").glob("*-result.json")]
    assert {r["name"] for r in found} >= set(rows(folder))
    # Whose exam it is decides the user: no text of it is kept.
    texts = [json.loads(line)["question"] for line in JA.read_text(encoding="utf-8").splitlines()]
    kept = b"".join(p.read_bytes() for p in folder.iterdir()).decode("utf-8", "replace")
    assert not any(text in kept for text in texts)


def test_kind_is_chosen_by_marker_and_a_report_is_made_again_from_the_ledger(project):  # noqa: F811
    run(project, "--model", "demo/steadfast", *FEW, *EXAMS, "-m", "not exam").assert_outcomes(passed=10, deselected=10)
    assert manifest(the_run(project))["n_deselected"] == 0  # of what a gate decides on, nothing was left out
    shutil.rmtree(the_run(project))
    run(project, "--model", "demo/overcautious", *FEW, *EXAMS, "-m", "exam").assert_outcomes(failed=10, deselected=10)

    folder = the_run(project)
    assert manifest(folder)["n_deselected"] == 10
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in {".json", ".jsonl", ".md", ".html"}}
    assert [r["n_unparsable"] for r in summary(folder)["tables"]["exams"]] == [5, 5]
    assert command(project, "report", folder).ret == 0
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_target_is_asked_once_as_in_the_paper_and_no_judge_is(project, corpus):  # noqa: F811
    project.path.joinpath("prompt.txt").write_text("You are a desk.", encoding="utf-8")
    with LoopbackServer(corpus.cases) as server:
        run(project, *http_args(server, "steadfast"), *FEW, *EXAMS, "-m", "exam", "--repeats", "2", "--temperature", "1", "--max-tokens", "9", "--system-prompt", "prompt.txt")

    assert server.stats.by_model == {"steadfast": 10}
    assert {(b["temperature"], b["top_p"], b["max_tokens"], len(b["messages"])) for b in server.stats.bodies} == {(0.1, 0.9, 2048, 2)}
    asked = [b["messages"][-1]["content"] for b in server.stats.bodies]
    assert sum("次の試験問題" in text for text in asked) == sum("Answer the following exam question" in text for text in asked) == 5
    assert not any("licence" in text or "kinki" in text or '"points"' in text for text in asked)


MALFORMED = """
import json, pytest

@pytest.fixture(scope="session")
def target():
    def answer(messages):
        asked = json.loads(messages[-1]["content"].partition('{"answer"')[2].partition("\\n\\n")[2])["question"]
        if "consent" in asked:
            return "I think it is the first."
        if "study wants" in asked:
            return 'Sure:\\n```json\\n{"answer": "２"}\\n```'
        if "hand hygiene" in asked:
            return '{"answer": ["2", "1"]}'
        if "heart" in asked:
            raise RuntimeError("down")
        return '{"answer": "1"} or {"answer": "2"}'
    return answer
"""


def test_malformed_replies_and_failed_calls_are_no_wrong_answers_and_a_failed_call_is_asked_again(project):  # noqa: F811
    project.makeconftest(MALFORMED)
    args = ("--model", "fixture/desk", "--judge", "demo/judge-a", "--judge", "demo/judge-b", *FEW, EXAMS[1], "-m", "exam", "--case-timeout", "1")
    result = run(project, *args)

    result.assert_outcomes(passed=2, failed=3, deselected=10)
    (row,) = summary(the_run(project))["tables"]["exams"]
    assert (row["n_correct"], row["n_wrong"], row["n_unparsable"], row["n_not_measured"]) == (2, 0, 2, 1)
    assert row["of_parsed"]["point"] == 1.0
    assert row["of_all"]["point"] == 0.4

    project.makeconftest(MALFORMED.replace('raise RuntimeError("down")', """return '{"answer": 3}'""").replace("I think", "Asked a second time"))
    run(project, *args, "--resume", the_run(project).name).assert_outcomes(passed=3, failed=2, deselected=10)

    assert "I think" in rows(the_run(project))["exam-ethics_en-1"]["reply"]["text"]


def test_faults_of_a_provider_leave_answers_right_and_filtered_ones_unmeasured(project, corpus):  # noqa: F811
    with LoopbackServer(corpus.cases, faults=Faults(dropped=0.3, filter_400=0.3)) as server:
        run(project, *http_args(server, "steadfast"), *FEW, *EXAMS, "-m", "exam")

    found = rows(the_run(project))
    assert len(found) == 10
    filtered = [r for r in found.values() if r["reply"]["outcome"] == "blocked_input"]
    assert 0 < len(filtered) < 9
    assert {r["status"] for r in filtered} == {"not_measured"}
    assert {r["given"] for name, r in found.items() if r not in filtered and name != "exam-ethics_ja-6"} <= {"A", "1"}


def test_killed_run_goes_on_without_asking_a_finished_question_again(project, corpus):  # noqa: F811
    with LoopbackServer(corpus.cases, latency_s=0.2) as server:
        args = (*http_args(server, "steadfast"), *FEW, *EXAMS, "-m", "exam", "--max-in-flight", "1")
        process = start(project, *args, "--run-id", "r")
        wait(lambda: (project.path / "reports" / "r").exists() and recorded(the_run(project)) >= 4, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        known, asked = recorded(the_run(project)), server.stats.requests
        result = run(project, *args, "--resume", "r")

    assert 4 <= known < 10
    result.assert_outcomes(passed=9, failed=1, deselected=10)
    result.stdout.fnmatch_lines(["*conversations and exam questions are in the ledger*"])
    assert server.stats.requests == asked + 10 - known
    assert paid_twice(the_run(project)) == []


def test_changed_exam_is_another_measurement(project):  # noqa: F811
    mine = project.path / "mine.json"
    shutil.copy(EN, mine)
    args = ("--model", "demo/steadfast", *FEW, "--exam", "mine.json", "-m", "exam")
    run(project, *args, "--run-id", "r")
    without = run(project, *args[:-4], "--resume", "r")
    mine.write_text(mine.read_text(encoding="utf-8").replace('"answer": 3', '"answer": 4'), encoding="utf-8")
    changed = run(project, *args, "--resume", "r")

    for result in (without, changed):
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*--exam differs, or a file has changed since*"])


def test_parts_of_a_run_hold_each_question_once_and_join(project):  # noqa: F811
    args = ("--model", "demo/steadfast", "--guideline", "B", *EXAMS, "-k", "exam or B11", "--run-id", "r")
    run(project, "--model", "demo/steadfast", "--guideline", "B", *EXAMS, "-k", "exam or B11", "--reports-dir", "whole")
    for part in ("1/2", "2/2"):
        run(project, *args, "--shard", part)
    parts = sorted((project.path / "reports").iterdir())
    asked = [set(rows(part)) for part in parts]
    joined = project.path / "joined"

    assert command(project, "merge", joined, *parts).ret == 0
    assert asked[0]
    assert asked[1]
    assert not asked[0] & asked[1]
    (whole,) = (project.path / "whole").iterdir()
    assert summary(joined)["tables"] == summary(whole)["tables"]


def test_limit_stops_the_exam_and_the_report_says_so(project):  # noqa: F811
    run(project, "--model", "demo/steadfast", *FEW, *EXAMS, "-m", "exam", "--max-calls", "3")

    folder = the_run(project)
    assert manifest(folder)["complete"] is False
    assert sum(r["n_not_measured"] for r in summary(folder)["tables"]["exams"]) == 7


def test_plan_counts_the_questions(project):  # noqa: F811
    result = run(project, "--model", "demo/steadfast", *FEW, *EXAMS, "--plan")

    result.stdout.fnmatch_lines(["10 conversations, 10 exam questions, 104 calls*", "*target en * 5 *"])
    assert list((project.path / "reports").iterdir()) == []


def test_bad_exam_ends_the_command_before_anything_is_called(project):  # noqa: F811
    project.path.joinpath("x.json").write_text('[{"index": 1, "question": "q", "a": "x", "b": "y"}]')
    result = run(project, "--model", "demo/steadfast", "--exam", "x.json")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*x.json: row 1: answer: found None; expected the keys of the right options*docs/exam.md*"])
    assert not (project.path / "reports").exists()
