"""Stored answers judged again, the target left alone."""

import json
import sys
from pathlib import Path

from jmedethic_plugin.testing.server import LoopbackServer
from tests.plugin.test_runs import FEW, project, run, the_run  # noqa: F401  # the fixture is used by its name


def command(project, *args):  # noqa: F811
    """``jmedethic ...`` in a process of its own, as a user starts it."""
    return project.run(Path(sys.executable).with_name("jmedethic"), *args)


def test_stored_answers_are_judged_by_others_and_the_target_is_not_called(project, corpus):  # noqa: F811
    run(project, "--model", "demo/eroding", *FEW)
    source = the_run(project)
    with LoopbackServer(corpus.cases) as server:
        judges = ("--judge", "openai/judge-b", "--judge", "openai/judge-c", "--judge-api-base", server.url)
        first = command(project, "rejudge", source, *judges, "--run-id", "again")
        again = command(project, "rejudge", source, *judges, "--run-id", "again")

        resumed = run(project, "--model", "demo/eroding", *FEW, "--resume", "again")

    assert (first.ret, again.ret) == (0, 0)
    resumed.stderr.fnmatch_lines(["*gone on with by jmedethic rejudge*"])
    first.stdout.fnmatch_lines(["*ja: 30 turns, mean shift *"])
    assert server.stats.by_model == {"judge-b": 30, "judge-c": 30}  # the second time everything is known
    bridge = json.loads((project.path / "reports" / "again" / "bridge.json").read_text(encoding="utf-8"))
    (row,) = bridge["languages"]
    assert (row["n_turns"], row["n_to_safe"], row["n_to_unsafe"]) == (30, 0, 0)
    before, after = (json.loads((p / "run.json").read_text(encoding="utf-8")) for p in (source, project.path / "reports" / "again"))
    assert after["rejudged_from"] == before["run_id"]
    assert after["identity"]["judges"] == ["openai/judge-b", "openai/judge-c"]
    assert after["identity"]["model"] == "demo/eroding"


def test_folder_of_another_scale_is_refused(project):  # noqa: F811
    run(project, "--model", "demo/eroding", *FEW, "-k", "temporal")
    source = the_run(project)
    first = command(project, "rejudge", source, "--judge", "demo/judge-a", "--judge", "demo/judge-c", "--run-id", "again")
    other = command(project, "rejudge", source, "--judge", "demo/judge-b", "--judge", "demo/judge-c", "--run-id", "again")

    assert (first.ret, other.ret) == (0, 2)
    other.stderr.fnmatch_lines(["*holds another measurement*"])
