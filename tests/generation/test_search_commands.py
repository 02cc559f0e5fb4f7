from __future__ import annotations

import json
from pathlib import Path

import pytest

from jmedethic_plugin.cli import main
from jmedethic_plugin.corpus.jsonl import case_line
from jmedethic_plugin.generation.questions import Request

ROOT = Path(__file__).parents[2]
ROLES = ["--attacker", "demo/attacker", "--target", "demo/filter-c"]
WRITERS = ["--scorer", "demo/scorer", "--summarizer", "demo/summarizer"]


@pytest.fixture
def generate(tmp_path, capsys):
    request = Request(id="ja-B11-1", language="ja", guideline="B11", generator="demo/generator-a", request="害のない目的", violating="概略", acceptable="概略")
    (tmp_path / "retained.jsonl").write_text(request.model_dump_json(by_alias=True, exclude_none=True) + "\n", encoding="utf-8")

    def run(*arguments):
        code = main(["generate", *arguments, "--out", str(tmp_path), "--folder", str(ROOT)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_strategies(generate, tmp_path):
    code, said = generate("strategies", *ROLES, *WRITERS, "--attempts", "3", "--summaries", "2", "--plan")
    assert (code, (tmp_path / "discovery.json").exists()) == (0, False)
    assert "11 calls" in said

    code, said = generate("strategies", *ROLES, *WRITERS, "--attempts", "3", "--summaries", "2")

    assert code == 0
    assert "discovery: 1 asked = 1 kept, 0 open" in said
    assert "findings: 2 under" in said
    assert "machine-made and unreviewed" in said


def test_adaptive(generate, tmp_path):
    code, said = generate("adaptive", *ROLES, "--strategy", "temporal_override")

    assert code == 0
    assert "adaptive: 1 asked = 1 kept, 0 open" in said
    assert "not comparable with fixed scripts" in said
    assert json.loads((tmp_path / "adaptive-results.json").read_text(encoding="utf-8"))["violated"]["n"] == 1
    code, said = generate("adaptive", *ROLES, "--strategy", "nothing")
    assert (code, "no such strategy" in said) == (2, True)


def test_translate(generate, tmp_path, corpus):
    (tmp_path / "set.jsonl").write_text(case_line(corpus.cases["ja-B11-temporal_override-1"], "the corpus") + "\n", encoding="utf-8")

    code, said = generate("translate", "--cases", str(tmp_path / "set.jsonl"), "--translator", "demo/translator")

    assert code == 0
    assert "translated.jsonl, 0 of 1 flagged" in said
    assert generate("translate", "--cases", str(tmp_path / "set.jsonl"), "--translator", "demo/translator", "--bound", "2")[0] == 2


@pytest.mark.parametrize("option", ["--attempts", "--summaries", "--passes", "--keep"])
def test_numbers_that_are_none(generate, option):
    assert generate("strategies", *ROLES, *WRITERS, option, "0") == (2, f"jmedethic: {option} is 0; expected a number above 0.\n")
