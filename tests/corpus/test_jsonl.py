"""Sets as JSONL: what goes in comes out, mistakes are told with their line, selection does not read the cases."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jmedethic_plugin.corpus.jsonl import CaseSet, case_line
from jmedethic_plugin.corpus.selection import select_cases
from jmedethic_plugin.errors import DataError, DataErrors


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_every_case_of_the_corpus_comes_back(corpus, tmp_path):
    path = write(tmp_path / "a.jsonl", [case_line(c, "corpus") for c in reversed(corpus.cases.values())])

    found = CaseSet([path], corpus.guidelines)

    assert list(found) == list(corpus.cases)
    assert len(found) == len(corpus.cases)
    assert all(found[i] == case for i, case in list(corpus.cases.items())[::37])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"guideline": "Z01"}, "a.jsonl:2: guideline"),
        ({"guideline": "B99"}, "a.jsonl:2: guideline: found 'B99'; expected a guideline of the corpus"),
        ({"id": "temporal_override-0"}, "a.jsonl:2: id"),
        ({"id": "sanitized_reproduction-5"}, "a.jsonl:2"),
        ({"id": "benign_soft-5"}, "a.jsonl:2"),
        ({"turns": ["one", "two"]}, "exactly three user turns"),
        ({"turnz": []}, "unknown key 'turnz'; expected a field of the format. Did you mean 'turns'?"),
        ({"kind": "benign"}, "a.jsonl:2"),
        ({"language": "fr"}, "a.jsonl:2: language"),
        ({"schema": "other@1"}, "a.jsonl:2: schema"),
    ],
)
def test_mistake_is_told_with_its_line(corpus, tmp_path, change, told):
    good = case_line(corpus.cases["ja-B11-temporal_override-1"], "x")
    bad = json.dumps(json.loads(case_line(corpus.cases["en-B11-temporal_override-1"], "x")) | change)

    with pytest.raises(DataError) as caught:
        CaseSet([write(tmp_path / "a.jsonl", [good, bad])], corpus.guidelines)
    assert told in str(caught.value)


def test_several_mistakes_are_told_together_and_not_without_end(corpus, tmp_path):
    good = case_line(corpus.cases["ja-B11-temporal_override-1"], "x")
    with pytest.raises(DataErrors) as caught:
        CaseSet([write(tmp_path / "a.jsonl", ["{", good, "[]", "\ud800".encode("utf-8", "replace").decode(), good])], corpus.guidelines)
    assert "a.jsonl:1: found no JSON" in str(caught.value)
    assert "a.jsonl:3" in str(caught.value)
    assert "the id 'ja-B11-temporal_override-1' a second time" in str(caught.value)
    with pytest.raises(DataErrors, match=r"2\d mistakes"):
        CaseSet([write(tmp_path / "b.jsonl", ["{"] * 1000)], corpus.guidelines)


def test_bytes_that_are_not_utf8(corpus, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": "\x89\x9e"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:1"):
        CaseSet([path], corpus.guidelines)


def test_file_that_changes_during_a_run_is_noticed(corpus, tmp_path):
    lines = [case_line(c, "x") for c in list(corpus.cases.values())[:3]]
    path = write(tmp_path / "a.jsonl", lines)
    found = CaseSet([path], corpus.guidelines)
    write(path, [line.replace('"source":"x"', '"source":"y"') for line in lines])

    with pytest.raises(DataError, match="changed since it was indexed"):
        found[next(iter(found))]


def heads(corpus, n):
    """Heads of a large set: n scenes, spread unevenly."""
    from jmedethic_plugin.corpus.jsonl import CaseHead

    cases = list(corpus.cases.values())
    made = []
    for k in range(n):
        c = cases[(k * k) % len(cases)]
        made.append(CaseHead(f"{c.id.rsplit('-', 1)[0]}-{k + 1}", c.language, c.kind, c.category, c.guideline_id, c.group, c.emergency, "d", 0, 0))
    return made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(n_parts=st.integers(1, 12), languages=st.sampled_from([["ja"], ["en"], ["ja", "en"]]))
def test_parts_are_a_partition_and_keep_scenes_together(corpus, n_parts, languages):
    from jmedethic_plugin.errors import ConfigError

    parts = []
    for part in range(1, n_parts + 1):
        try:
            parts.append(select_cases(corpus.cases.values(), corpus.guidelines, languages=languages, shard=(part, n_parts)))
        except ConfigError:
            parts.append([])
    whole = select_cases(corpus.cases.values(), corpus.guidelines, languages=languages)

    assert sorted(i for part in parts for i in part) == sorted(whole)
    if len(languages) == 2:
        for part in parts:
            assert {i[3:] for i in part if i.startswith("ja")} == {i[3:] for i in part if i.startswith("en")}


def test_sample_of_a_large_set_is_spread_over_groups_and_guidelines(corpus):
    from collections import Counter

    large = heads(corpus, 4000)
    drawn = select_cases(large, corpus.guidelines, languages=["ja", "en"], sample=335)

    by_id = {h.id: h for h in large}
    groups = Counter(by_id[i].group for i in drawn)
    assert len({i.split("-", 1)[1] for i in drawn}) == 335
    assert max(groups.values()) - min(groups.values()) <= 40
    assert len({by_id[i].guideline_id for i in drawn}) == 67
