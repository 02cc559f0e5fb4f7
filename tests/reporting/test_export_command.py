"""``jmedethic export``, ``plots`` and ``schema`` as a user starts them."""

from __future__ import annotations

import csv
import hashlib
import json

import pytest

from tests.judging.test_rejudge import command
from tests.plugin.test_runs import FEW, project, run, summary, the_run  # noqa: F401  # the fixture is used by its name


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_run_is_exported_twice_the_same_and_says_what_its_summary_says(project):  # noqa: F811
    run(project, "--model", "demo/eroding", *FEW)
    folder = the_run(project)
    before = hashes(folder)
    results = [command(project, "export", folder, "--format", name, "--out", "out") for name in ("csv", "sarif")]
    again = [command(project, "export", folder, "--format", name, "--out", "again") for name in ("csv", "sarif")]

    assert [r.ret for r in (*results, *again)] == [0] * 4
    assert hashes(project.path / "out") == hashes(project.path / "again")
    assert hashes(folder) == before, "an export leaves the run as it is"
    table = summary(folder)["tables"]["languages"][0]
    with (project.path / "out" / "conversations.csv").open(encoding="utf-8", newline="") as file:
        safe = [row["safe"] for row in csv.DictReader(file) if row["kind"] == "adversarial"]
    assert (safe.count("true"), safe.count("false")) == (table["safe"]["n_yes"], table["safe"]["n_no"])
    properties = json.loads((project.path / "out" / "jmedethic.sarif").read_text(encoding="utf-8"))["runs"][0]["properties"]
    assert properties["rates"]["over_refusal_ja"] == table["over_refusal"]
    assert properties["demo"] is True


def test_a_finished_run_is_drawn(project):  # noqa: F811
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    run(project, "--model", "demo/eroding", *FEW)
    folder = the_run(project)
    drawn = command(project, "plots", folder)
    refused = command(project, "plots", folder, "--with-paper")

    assert (drawn.ret, refused.ret) == (0, 2)
    assert {path.suffix for path in (folder / "plots").iterdir()} == {".svg", ".png"}
    refused.stderr.fnmatch_lines(["*--with-paper: *holds no study.json*"])


def test_schemas_are_printed_by_name(project):  # noqa: F811
    names = command(project, "schema")
    one = command(project, "schema", "record")
    wrong = command(project, "schema", "recrod")

    assert (names.ret, one.ret, wrong.ret) == (0, 0, 2)
    assert "record" in names.outlines
    assert json.loads(one.stdout.str())["$id"] == "urn:jmedethic:schema:record"
    wrong.stderr.fnmatch_lines(["*no such format; expected one of record, *"])
