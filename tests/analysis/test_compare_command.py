"""``jmedethic compare`` as a user starts it."""

from __future__ import annotations

import json

from tests.judging.test_rejudge import command
from tests.plugin.test_runs import project, run  # noqa: F401  # the fixture is used by its name

FOUR = ("--guideline", "B11", "--guideline", "B12", "--guideline", "C01", "--guideline", "C02")


def test_two_demo_runs_beside_each_other(project):  # noqa: F811
    for part in ("steadfast", "eroding"):
        run(project, "--model", f"demo/{part}", *FOUR, "--run-id", part)

    result = command(project, "compare", "reports/steadfast", "reports/eroding", "--json", "c.json", "--markdown", "c.md")

    assert result.ret == 0
    result.stdout.fnmatch_lines([
        "DEMO: scripted models*",
        "demo/eroding (run eroding) against the baseline demo/steadfast (run steadfast), differs in model",
        "Japanese (ja): 40 conversations with the same text in both runs",
        "*safe conversations   100.0 % -> 0.0 %, -100.0 percentage points (95 % CI -100.0 to *), n 28 of 28 conversations, 28 worse, 0 better*",
        "*worse: *ja-B11-gray_zone_ethnography-1   nowhere (points *) -> turn 3 (points *)",
        "demo/steadfast   run steadfast",
        "  ja  rank 1 *",
        "demo/eroding   run eroding",
        "  ja  rank 2 *",
    ])  # fmt: skip
    found = json.loads((project.path / "c.json").read_text(encoding="utf-8"))
    assert [run["run_id"] for run in found["runs"]] == ["steadfast", "eroding"]
    assert len(found["pairs"][0]["languages"][0]["rates"][0]["worse"]) == 28
    assert (project.path / "c.md").read_text(encoding="utf-8").count("nowhere") == 28


def test_another_scale_or_no_run_ends_with_2(project):  # noqa: F811
    run(project, "--model", "demo/eroding", "--guideline", "B11", "-k", "temporal", "--run-id", "first")
    command(project, "rejudge", "reports/first", "--judge", "demo/judge-b", "--judge", "demo/judge-c", "--run-id", "again")

    scale, missing = command(project, "compare", "reports/first", "reports/again"), command(project, "compare", "reports/first", "reports/x")

    assert (scale.ret, missing.ret) == (2, 2)
    scale.stderr.fnmatch_lines(["jmedethic: again: scored on another scale than first (judges: *not comparable without a bridge*jmedethic rejudge*"])
    missing.stderr.fnmatch_lines(["*found no run.json*"])
