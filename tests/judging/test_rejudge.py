"""Stored answers judged again, the target left alone."""

import json

from jmedethic_plugin.cli import main
from jmedethic_plugin.testing.server import LoopbackServer
from tests.plugin.test_runs import FEW, project, run, the_run  # noqa: F401  # the fixture is used by its name


def test_stored_answers_are_judged_by_others_and_the_target_is_not_called(project, corpus, capsys):  # noqa: F811
    run(project, "--model", "demo/eroding", *FEW)
    source = the_run(project)
    with LoopbackServer(corpus.cases) as server:
        command = ["rejudge", str(source), "--judge", "openai/judge-b", "--judge", "openai/judge-c", "--judge-api-base", server.url, "--run-id", "again"]
        assert main(command) == 0
        said = capsys.readouterr().out
        assert main(command) == 0

    assert server.stats.by_model == {"judge-b": 30, "judge-c": 30}  # the second time everything is known
    bridge = json.loads((project.path / "reports" / "again" / "bridge.json").read_text(encoding="utf-8"))
    (row,) = bridge["languages"]
    assert (row["n_turns"], row["n_to_safe"], row["n_to_unsafe"]) == (30, 0, 0)
    assert "ja: 30 turns" in said
    before, after = (json.loads((p / "run.json").read_text(encoding="utf-8")) for p in (source, project.path / "reports" / "again"))
    assert after["rejudged_from"] == before["run_id"]
    assert after["identity"]["judges"] == ["openai/judge-b", "openai/judge-c"]
    assert after["identity"]["model"] == "demo/eroding"


def test_folder_of_another_scale_is_refused(project, capsys):  # noqa: F811
    run(project, "--model", "demo/eroding", *FEW, "-k", "temporal")
    source = str(the_run(project))
    assert main(["rejudge", source, "--judge", "demo/judge-a", "--judge", "demo/judge-c", "--run-id", "again"]) == 0
    assert main(["rejudge", source, "--judge", "demo/judge-b", "--judge", "demo/judge-c", "--run-id", "again"]) == 2

    assert "holds another measurement" in capsys.readouterr().err
