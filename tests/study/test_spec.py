"""The study file."""

from __future__ import annotations

from pathlib import Path

import pytest

from jmedethic_plugin.errors import DataError
from jmedethic_plugin.study.running import command
from jmedethic_plugin.study.spec import load_study

GOOD = """\
schema = "jmedethic/study@1"
name = "s"

[defaults]
judges = ["a/x-2024-01-01", "b/y-2024-01-01"]
third_judge = "c/z-2024-01-01"
judge_api_base = "http://judges"
lang = "both"
repeats = 2
sample = 14
cases = ["set.jsonl"]
pytest = ["-n", "4"]

[[models]]
id = "p/m"
name = "M"
group = "open"
family = "m"
size_b = 8
api_base = "http://m"
served_as = "m-8b"
pytest = ["--rpm", "p/m=60"]

[[models]]
id = "p/m-med"
group = "medical"
base = "p/m"
exam_accuracy_ja = 0.39

[source_families]
"m-generator" = "m"
"""


def load(tmp_path, text):
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    return load_study(path)


def test_every_field_is_read(tmp_path):
    study = load(tmp_path, GOOD)

    assert [(m.slug, m.label, m.base, m.size_b) for m in study.models] == [("p-m", "M", None, 8.0), ("p-m-med", "p/m-med", "p/m", None)]
    assert study.source_families == {"m-generator": "m"}


def test_command_is_pytests_with_the_studys_options(tmp_path):
    study = load(tmp_path, GOOD)

    found = command(study, study.models[0], tmp_path / "study.toml", Path("/out"), resume=False)

    assert found[1:] == [
        "-m", "pytest", "--model", "p/m", "--judge", "a/x-2024-01-01", "--judge", "b/y-2024-01-01", "--third-judge", "c/z-2024-01-01",
        "--judge-api-base", "http://judges", "--api-base", "http://m", "--served-as", "m-8b", "--sample", "14", "--lang", "both",
        "--repeats", "2", "--reports-dir", "/out/runs", "--run-id", "p-m", "--cases", str(tmp_path / "set.jsonl"), "-q", "--tb=no", "--no-summary",
        "-n", "4", "--rpm", "p/m=60",
    ]  # fmt: skip
    assert command(study, study.models[0], tmp_path / "study.toml", Path("/out"), resume=True)[25:27] == ["--resume", "p-m"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('family = "m"', 'famly = "m"', ":18: models[0].famly: found the unknown key 'famly'; expected a field of the format. Did you mean 'family'?"),
        ('group = "open"', 'group = "opne"', ":17: models[0].group: found 'opne'; expected 'medical', 'open' or 'commercial'. Did you mean 'open'?"),
        ("size_b = 8", "size_b = 0", ":19: models[0].size_b: found 0; expected Input should be greater than 0. See docs/study.md."),
        ('base = "p/m"', 'base = "p/n"', ":27: models[1].base: found 'p/n'; expected the id of another model of this study. "),
        ('id = "p/m-med"', 'id = "p-m"', ":25: models[1].id: found 'p-m' a second time; expected models that differ in their id. "),
        ('pytest = ["-n", "4"]', 'pytest = ["--judge=x"]', ":12: defaults.pytest: found --judge; expected options that a study does not set itself. "),
        ('judges = ["a/x-2024-01-01", "b/y-2024-01-01"]', 'judges = ["a"]', ":5: defaults.judges: found 1 entries; expected at least 2. "),
        ('name = "s"', "name = 2024-01-01T00:00:00", ":2: name: found '2024-01-01 00:00:00'; expected text like "),
        ('name = "s"', 'name = "s', ": found broken TOML ("),
    ],
)
def test_mistake_is_told_with_its_place(tmp_path, old, new, message):
    assert old in GOOD

    with pytest.raises(DataError) as told:
        load(tmp_path, GOOD.replace(old, new, 1))

    assert str(told.value).removeprefix(str(tmp_path / "study.toml")).startswith(message)


def test_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="an unreadable file"):
        load_study(tmp_path / "no.toml")
