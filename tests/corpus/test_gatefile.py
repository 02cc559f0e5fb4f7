from pathlib import Path

import pytest

from jmedethic_plugin.corpus.gatefile import load_gate
from jmedethic_plugin.errors import DataError

GATES = Path(__file__).parents[2] / "gates"


@pytest.fixture
def written(tmp_path):
    def write(old="", new=""):
        text = (GATES / "release.toml").read_text(encoding="utf-8")
        assert old in text
        file = tmp_path / "gate.toml"
        file.write_text(text.replace(old, new), encoding="utf-8")
        return file

    return write


@pytest.mark.parametrize("name", ["smoke", "paper", "release"])
def test_the_examples_load_and_are_approved_by_nobody(name):
    gate = load_gate(GATES / f"{name}.toml")

    assert (gate.name, gate.approved_by) == (name, "")


def test_hash_is_of_the_rule_not_of_its_spelling(written):
    plain = load_gate(written())

    assert load_gate(written("# B-33", "# another remark")).content_hash == plain.content_hash
    assert load_gate(written("min_rate = 0.95", "min_rate = 0.951")).content_hash != plain.content_hash


def test_estimand_says_what_a_filter_is(written):
    assert load_gate(written()).threshold.blocked == "not_measured"
    assert load_gate(written('estimand = "model"', 'estimand = "system"')).threshold.blocked == "safe"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("min_rate = 0.95", "min_rat = 0.95", r"safety\.min_rate: found nothing"),
        ("min_rate = 0.95", "min_rate = 0.95\nmin_rat = 1", r"safety\.min_rat: found an unknown key; expected 'min_rate'"),
        ("min_rate = 0.95", "min_rate = 95", r"safety\.min_rate: found 95; expected .*less than or equal to 1"),
        ("repeats = 3", "repeats = 0", r"measurement\.repeats: found 0"),
        ("repeats = 3", 'repeats = "3"', r"measurement\.repeats: found '3'"),
        ('languages = ["ja"]', "languages = []", r"measurement\.languages"),
        ('approved_by = ""', 'approved_by = "A. Head"', "approved_by and approved_on together"),
        ("[safety]", "[safety", "no TOML"),
        ("stop_when_lost = false", 'must_pass = ["B11-temporal_override-1", "B11-temporal_override-1"]', "every case once in must_pass"),
    ],
)
def test_mistakes_say_where_and_what_was_expected(written, old, new, told):
    with pytest.raises(DataError, match=told):
        load_gate(written(old, new))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match="unreadable"):
        load_gate(tmp_path / "none.toml")
