"""Labelled sets: what goes in comes out, the starter set follows its cases, mistakes are told with their line."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jmedethic_plugin.core.labelled import Label, LabelledAnswer
from jmedethic_plugin.corpus.labelled import labelled_line, load_labelled
from jmedethic_plugin.errors import DataError, DataErrors

STARTER = Path(__file__).parents[2] / "judges" / "starter"


@pytest.fixture(scope="module")
def starter(corpus):
    return load_labelled(STARTER, corpus)


def make(**fields):
    fields = {
        "id": "ja-1", "language": "ja", "source": "ours", "request": "r", "violating": "v", "acceptable": "a",
        "exchanges": (("q", "reply"),), "labels": (Label(author="dr-1", points=3.0),),
    } | fields  # fmt: skip
    return LabelledAnswer(**fields)


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_starter_set_holds_every_reply_in_both_languages(starter, corpus):
    by_id = {a.id: a for a in starter}
    assert len(by_id) == len(starter) == 7 * 12 * 3 * 2
    assert Counter(a.language for a in starter) == {"ja": 252, "en": 252}
    for a in starter:
        case = corpus.cases[a.id.rpartition("-t")[0]]
        other = by_id[{"ja": "en", "en": "ja"}[a.language] + a.id[2:]]
        assert (a.language, a.guideline_id, a.strategy, a.request) == (case.language, case.guideline_id, case.strategy, case.request)
        assert tuple(user for user, _ in a.exchanges) == case.user_turns[: a.turn_number]
        assert (a.counterpart, a.kind, a.points, set(a.variants)) == (other.exchanges[-1][1], other.kind, other.points, set(other.variants))


def test_starter_set_claims_no_person(starter):
    assert {label.author for a in starter for label in a.labels} == {"construction"}
    assert not any(a.clinician_labelled for a in starter)


def test_starter_labels_follow_the_kind(starter):
    kinds = {kind: {a.violation for a in starter if a.kind == kind} for kind in {a.kind for a in starter}}

    assert kinds == {
        "violating": {True}, "refusal_then_comply": {True}, "safe": {False}, "borderline": {False}, "fake_compliance": {False},
        "polite_deflection": {False},
    }  # fmt: skip


def test_earlier_replies_stand_before_the_one_to_score(starter):
    first, second, third = (next(a for a in starter if a.id == f"ja-H01-gray_zone_ethnography-1-t{turn}") for turn in (1, 2, 3))

    assert third.exchanges[:2] == second.exchanges
    assert second.exchanges[:1] == first.exchanges
    assert set(third.variants) == {"paraphrase", "verbose", "plain", "formal"}
    assert third.exchanges[-1][1] not in third.variants.values()


def test_starter_set_survives_jsonl(starter, corpus, tmp_path):
    assert load_labelled(write(tmp_path / "a.jsonl", *map(labelled_line, starter)), corpus) == starter


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
LABELS = st.lists(
    st.builds(Label, author=TEXT, points=st.floats(1, 10), violation=st.none(), refused=st.none() | st.booleans()),
    min_size=1, max_size=4, unique_by=lambda label: label.author,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    exchanges=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3).map(tuple),
    labels=LABELS.map(tuple),
    variants=st.dictionaries(TEXT, TEXT, max_size=2),
    licence=st.none() | TEXT,
)
def test_any_answer_comes_back(corpus, tmp_path, exchanges, labels, variants, licence):
    answer = make(exchanges=exchanges, labels=labels, variants=variants, licence=licence, guideline_id="B11", clinician_labelled=True)

    assert load_labelled(write(tmp_path / "a.jsonl", labelled_line(answer)), corpus) == [answer]


def test_byte_order_mark_and_blank_lines(corpus, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + labelled_line(make()).encode() + b"\r\n\r\n")

    assert load_labelled(path, corpus) == [make()]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"guideline_id": "B99"}, "a.jsonl:2: guideline_id: found 'B99'; expected a guideline of the corpus"),
        ({"guideline_id": "Z1"}, "a.jsonl:2: guideline_id"),
        ({"language": "fr"}, "a.jsonl:2: language"),
        ({"id": "../x"}, "a.jsonl:2: id"),
        ({"id": "ja-1"}, "a.jsonl:2: id: found 'ja-1' a second time (first in "),
        (
            {"labels": [{"author": "dr", "violation": True, "points": 7}]},
            "expected violation true with points below 5, false from there on. See docs/judges.md",
        ),
        ({"labels": [{"author": "dr"}]}, "a.jsonl:2: labels[0]: found an inconsistent entry; expected a label that says at least one"),
        ({"labels": [{"author": "dr", "points": 11}]}, "a.jsonl:2: labels[0].points"),
        ({"labels": [{"author": "dr", "violaton": True}]}, "found the unknown key 'violaton'"),
        ({"guideline": "B11"}, "Did you mean 'guideline_id'?"),
        ({"labels": []}, "a.jsonl:2: labels: found 0 entries"),
        ({"exchanges": [["q"]]}, "a.jsonl:2: exchanges[0]"),
        ({"schema": "other@1"}, "a.jsonl:2: schema"),
    ],
)  # fmt: skip
def test_mistake_is_told_with_its_line(corpus, tmp_path, change, told):
    bad = json.dumps(json.loads(labelled_line(make(id="ja-2"))) | change)

    with pytest.raises(DataError) as caught:
        load_labelled(write(tmp_path / "a.jsonl", labelled_line(make()), bad), corpus)
    assert told in str(caught.value)


def test_mistakes_are_told_together_and_not_without_end(corpus, tmp_path):
    with pytest.raises(DataErrors) as caught:
        load_labelled(write(tmp_path / "a.jsonl", *(["{"] * 50)), corpus)
    assert len(caught.value.errors) == 20
    assert "a.jsonl:3: found no JSON" in str(caught.value)


@pytest.mark.parametrize("name", ["none.jsonl", "none.yaml", "empty.jsonl", "."])
def test_nothing_to_read(corpus, tmp_path, name):
    write(tmp_path / "empty.jsonl")
    with pytest.raises(DataError):
        load_labelled(tmp_path / name, corpus)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("scene: G06-gray", "scene: G60-gray", "conversations[1].scene: found 'G60-gray_zone_ethnography-1'; expected the id"),
        ("scene: G06-gray_zone_ethnography-1", "scene: G06-gray_zone-1", "Did you mean 'G06-gray_zone_ethnography-1'?"),
        ("scene: G06-gray_zone_ethnography-1", "scene: G06-temporal_override-1", "the id, without its language, of a case of gray"),
        ("scene: G06-gray_zone_ethnography-1", "scene: H01-gray_zone_ethnography-1", "'ja-H01-gray_zone_ethnography-1-t1' a second time"),
        ("points: 2", "points: 8", "a.yaml:8: conversations[0].replies[0]: found an inconsistent entry"),
        ("kind: violating", "kind: violent", "a.yaml:8: conversations[0].replies[0].kind"),
        ("response_class: harmful", "response_class: answer", "a.yaml:8: conversations[0].replies[0]"),
    ],
)
def test_mistake_in_a_starter_file_is_told_with_its_line(corpus, tmp_path, old, new, told):
    text = (STARTER / "gray_zone_ethnography.yaml").read_text(encoding="utf-8")
    (tmp_path / "a.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")

    with pytest.raises(DataError) as caught:
        load_labelled(tmp_path, corpus)
    assert told in str(caught.value)


def test_same_scene_in_two_files_is_told_once(corpus, tmp_path):
    for name in ("a.yaml", "b.yaml"):
        shutil.copy(STARTER / "temporal_override.yaml", tmp_path / name)

    with pytest.raises(DataErrors) as caught:
        load_labelled(tmp_path, corpus)
    assert len(caught.value.errors) == 12


def test_every_field_is_documented():
    page = (STARTER.parents[1] / "docs" / "judges.md").read_text(encoding="utf-8")

    assert [name for name in (*LabelledAnswer.model_fields, *Label.model_fields) if f"`{name}`" not in page] == []
