"""Repeats, parts, limits, sets: the same run in other sizes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from jmedethic_plugin.corpus.jsonl import case_line
from jmedethic_plugin.testing.server import Faults, LoopbackServer
from tests.plugin.test_runs import FEW, http_args, project, run, summary, table, the_run  # noqa: F401  # the fixture is used by its name


def manifest(folder):
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def cli(*args, code=0):
    done = subprocess.run([sys.executable, "-m", "jmedethic_plugin.cli", *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


# --- repeats -------------------------------------------------------------------------------------


def test_more_repeats_of_a_run_pay_only_for_the_new_ones(project, corpus):  # noqa: F811
    with LoopbackServer(corpus.cases) as server:
        run(project, *http_args(server), *FEW).assert_outcomes(passed=3, failed=7)
        assert server.stats.requests == 90

        result = run(project, *http_args(server), *FEW, "--repeats", "3", "--resume", the_run(project).name, "-n", "2")

        result.assert_outcomes(passed=9, failed=21)
        assert server.stats.requests == 270
        fewer = run(project, *http_args(server), *FEW, "--repeats", "2", "--resume", the_run(project).name)
    assert "the run has 3 repeats, this command 2; only more can be added" in fewer.stderr.str()
    assert table(project)["safe"]["n"] == 21
    assert manifest(the_run(project))["repeats"] == 3


def test_repeats_are_items_of_their_own(project):  # noqa: F811
    result = run(project, "--model", "demo/steadfast", *FEW, "--repeats", "2", "-k", "sanitized", "-v")

    result.stdout.fnmatch_lines(["*[[]ja-B11-sanitized_reproduction-1] PASSED*", "*[[]ja-B11-sanitized_reproduction-1-r2] PASSED*"])


# --- parts ---------------------------------------------------------------------------------------


def test_parts_make_up_the_whole_and_merge_to_the_same_tables(project):  # noqa: F811
    run(project, "--model", "demo/eroding", "--guideline", "B", "--lang", "both")
    whole = the_run(project)
    for part in "123":
        run(project, "--model", "demo/eroding", "--guideline", "B", "--lang", "both", "--shard", f"{part}/3", "--run-id", "r", "-n", "2")
    reports = whole.parent
    parts = [reports / f"r-shard{part}of3" for part in "123"]

    told = cli("merge", reports / "joined", *parts[:2], code=1)
    assert "the parts 3 are missing" in told
    assert manifest(reports / "joined")["complete"] is False
    cli("merge", reports / "joined", *parts)

    assert summary(reports / "joined")["tables"] == summary(whole)["tables"]
    assert manifest(reports / "joined")["complete"] is True
    before = {p.name: p.read_bytes() for p in (reports / "joined").iterdir() if p.suffix in (".json", ".jsonl", ".md", ".html")}
    cli("merge", reports / "joined", *parts, parts[0])  # nothing is counted twice
    assert {p.name: p.read_bytes() for p in (reports / "joined").iterdir() if p.name in before} == before
    ids = [json.loads(line)["case"]["id"] for p in parts for line in (p / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(ids) == len(set(ids)) == sum(summary(whole)["tables"]["languages"][i]["n"] for i in (0, 1))


def test_runs_of_different_measurements_are_not_joined(project):  # noqa: F811
    for part in ("eroding", "steadfast"):
        run(project, "--model", f"demo/{part}", *FEW, "--run-id", part)
    reports = project.path / "reports"

    assert "another measurement than" in cli("merge", reports / "joined", reports / "eroding", reports / "steadfast", code=2)
    assert not (reports / "joined").exists()


def test_name_of_a_run_is_not_used_twice(project):  # noqa: F811
    run(project, "--model", "demo/steadfast", *FEW, "--run-id", "mine")

    result = run(project, "--model", "demo/steadfast", *FEW, "--run-id", "mine")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "Go on with it by --resume mine" in result.stderr.str()


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_run_stops_before_the_limit_and_goes_on_when_resumed(project, corpus, workers):  # noqa: F811
    with LoopbackServer(corpus.cases) as server:
        result = run(project, *http_args(server), *FEW, "--max-calls", "40", *workers)

        assert server.stats.requests == 40
        assert result.ret == 1
        assert "STOPPED by the limit of 40 calls" in result.stdout.str()
        assert "budget_stop" in result.stdout.str()
        stopped = manifest(the_run(project))
        assert (stopped["complete"], stopped["sittings"][-1]["calls"], stopped["sittings"][-1]["stopped_by"]) == (False, 40, "40 calls")

        run(project, *http_args(server), *FEW, "--resume", the_run(project).name, *workers).assert_outcomes(passed=3, failed=7)
    assert server.stats.requests == 90
    assert set(server.stats.answered.values()) == {1}
    assert [s["calls"] for s in manifest(the_run(project))["sittings"]] == [40, 50]


def test_money_needs_a_price_and_stops_the_run(project, corpus):  # noqa: F811
    with LoopbackServer(corpus.cases) as server:
        unknown = run(project, *http_args(server), *FEW, "--budget-usd", "1")
        assert unknown.ret == pytest.ExitCode.USAGE_ERROR
        assert "--price openai/eroding=IN,OUT" in unknown.stderr.str() + unknown.stdout.str()
        assert server.stats.requests == 0
        prices = [part for m in ("eroding", "judge-a", "judge-b") for part in ("--price", f"openai/{m}=10,10")]
        run(project, *http_args(server), *FEW, "--budget-usd", "0.3", *prices, "--max-in-flight", "4")

    spent = manifest(the_run(project))["sittings"][-1]
    assert spent["stopped_by"] == "0.3 USD"
    assert 0.1 < spent["usd"] <= 0.3
    assert spent["n_unpriced"] == 0


def test_plan_tells_what_a_run_takes_and_calls_nothing(project, corpus):  # noqa: F811
    with LoopbackServer(corpus.cases) as server:
        prices = ("--price", "openai/eroding=1,2", "--price", "openai/judge-a=1,2")
        result = run(project, *http_args(server), *FEW, "--lang", "both", "--repeats", "2", *prices, "--plan")

        assert result.ret == 0
        assert server.stats.requests == 0
        text = result.stdout.str()
        assert "40 conversations, 360 calls" in text
        assert "unknown  openai/judge-b" in text
        assert "assumed, for want of earlier calls of openai/eroding" in text
        assert not any((project.path / "reports").iterdir())

        run(project, *http_args(server), *FEW)
        seen = run(project, *http_args(server), *FEW, "--resume", the_run(project).name, "--plan")
    assert "means of earlier calls: openai/eroding (30), openai/judge-a (30), openai/judge-b (30)" in seen.stdout.str()
    assert "assumed" not in seen.stdout.str()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--shard", "4/3"], "expected PART/OF"),
        (["--price", "openai/x"], "expected MODEL=IN,OUT"),
        (["--rpm", "x=often"], "expected MODEL=NUMBER"),
        (["--repeats", "0"], "--repeats is 0"),
        (["--budget-usd", "-1"], "--budget-usd is -1"),
        (["--run-id", "../x"], "--run-id '../x'"),
        (["--ledger", "postgresql+psycopg://nobody@127.0.0.1:1/x"], "no usable ledger"),
        (["--cases", "missing.jsonl"], "missing.jsonl"),
    ],
)
def test_wrong_option_is_told(project, args, told):  # noqa: F811
    result = run(project, "--model", "demo/steadfast", *FEW, *args)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert told in result.stderr.str()


# --- a provider's filter ---------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["filter_400", "filter_finish"])
def test_filter_is_no_property_of_the_model_and_both_rates_are_told(project, corpus, fault):  # noqa: F811
    with LoopbackServer(corpus.cases, faults=Faults(**{fault: 0.3})) as server:
        run(project, *http_args(server, "steadfast"), *FEW)
        row = table(project)
        name = the_run(project).name
        model, system = row["safe_model"], row["safe_system"]
        assert model["n_not_measured"] > 0
        assert model["highest"] == 1.0
        assert system["n_yes"] > model["n_yes"]
        assert row["over_refusal_system"]["n_yes"] >= row["over_refusal"]["n_yes"]

        result = run(project, *http_args(server, "steadfast"), *FEW, "--resume", name, "--blocked", "safe")
    assert "with its filter" in result.stdout.str()
    row = table(project)
    assert row["safe"] == row["safe_system"] | {"name": "all"}
    assert "a provider's filter counts as protection" in summary(the_run(project))["tables"]["threshold"]


def test_provider_that_is_down_ends_the_run_early(project, corpus):  # noqa: F811
    with LoopbackServer(corpus.cases) as server:
        gone = server.url
    args = ("--model", "openai/x", "--api-base", gone, "--judge", "demo/judge-a", "--judge", "demo/judge-b")

    result = run(project, *args, "--guideline", "B", "--call-timeout", "5", "--max-in-flight", "16")

    assert "provider_down" in result.stdout.str()
    assert manifest(the_run(project))["calls"] == {"target provider_down": 210}
    assert 20 < manifest(the_run(project))["sittings"][0]["calls"] <= 20 + 16 + 1  # twenty failures, what was open then, and the probe


# --- sets ----------------------------------------------------------------------------------------


def write_set(path, cases):
    path.write_text("".join(case_line(case, "test") + "\n" for case in cases), encoding="utf-8")


def test_set_is_played_like_the_corpus(project, corpus):  # noqa: F811
    cases = [c for c in corpus.cases.values() if c.guideline_id == "B11"]
    write_set(project.path / "a.jsonl", cases[::2])
    write_set(project.path / "b.jsonl", cases[1::2])

    result = run(project, "--model", "demo/eroding", "--cases", "a.jsonl", "--cases", "b.jsonl", "--lang", "both", "-n", "2")

    result.assert_outcomes(passed=6, failed=14)
    tables = summary(the_run(project))["tables"]
    the_run(project).rename(project.path / "done")
    run(project, "--model", "demo/eroding", *FEW, "--lang", "both")
    assert summary(the_run(project))["tables"] == tables


def test_changed_set_is_another_measurement(project, corpus):  # noqa: F811
    cases = [c for c in corpus.cases.values() if c.guideline_id == "B11"]
    write_set(project.path / "a.jsonl", cases)
    run(project, "--model", "demo/eroding", "--cases", "a.jsonl")
    write_set(project.path / "a.jsonl", cases[1:])

    result = run(project, "--model", "demo/eroding", "--cases", "a.jsonl", "--resume", the_run(project).name)

    assert "its cases or guidelines have changed since" in result.stderr.str()
