from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.core.base import CANARY
from jmedethic_plugin.core.guideline import STRATEGY_IDS
from jmedethic_plugin.corpus.jsonl import CaseLine
from jmedethic_plugin.errors import ConfigError, DataError
from jmedethic_plugin.generation.testset import Candidate, Pool, draw, make_testset

CELLS = [("ja", "A01", s) for s in STRATEGY_IDS[:3]] + [("en", "B11", STRATEGY_IDS[0])]


def candidate(cell, number, source, request):
    return Candidate(f"{cell[0]}-{cell[1]}-{cell[2]}-{number}", cell, source, request, 0)


candidates = st.lists(
    st.tuples(st.sampled_from(CELLS), st.integers(1, 60), st.sampled_from("abcd"), st.sampled_from("xyz")), unique_by=lambda c: c[:2], max_size=80
).map(lambda rows: [candidate(*row) for row in rows])


@given(candidates, st.integers(1, 6), st.integers(0, 99))
def test_each_cell_gives_as_many_as_wanted_or_all_it_has(pool, n, seed):
    drawn = Counter(c.cell for c in draw(pool, n, seed))

    assert drawn == {cell: min(n, k) for cell, k in Counter(c.cell for c in pool).items()}


@given(candidates, st.integers(1, 6), st.integers(0, 99), st.randoms())
def test_a_seed_draws_the_same_whatever_the_order_and_whatever_other_cells_hold(pool, n, seed, random):
    shuffled = random.sample(pool, len(pool))
    alone = [c for c in pool if c.cell == CELLS[0]]

    drawn = draw(pool, n, seed)

    assert draw(shuffled, n, seed) == drawn
    assert draw(alone, n, seed) == [c for c in drawn if c.cell == CELLS[0]]


@given(candidates, st.integers(1, 6), st.integers(0, 99))
def test_sources_of_a_cell_differ_by_more_than_one_only_where_one_runs_out(pool, n, seed):
    drawn = draw(pool, n, seed)
    for cell in {c.cell for c in pool}:
        there = Counter(c.source for c in pool if c.cell == cell)
        taken = Counter(c.source for c in drawn if c.cell == cell)

        assert all(taken[s] >= max(taken.values()) - 1 for s in there if taken[s] < there[s])


def test_another_seed_draws_others():
    pool = [candidate(CELLS[0], k, "a", str(k)) for k in range(1, 41)]

    assert draw(pool, 5, 0) != draw(pool, 5, 1)


def test_the_papers_test_set_has_2345_cases(corpus):
    pool = [
        candidate(("ja", guideline, strategy), k, "abcd"[k % 4], str(k)) for guideline in corpus.guidelines for strategy in STRATEGY_IDS for k in range(1, 13)
    ]

    assert len(draw(pool, 5, 0)) == 67 * 7 * 5 == 2345


def line(number, turns, **more):
    values = {
        "schema": "jmedethic/case-line@1", "canary": CANARY, "guideline": "A01", "id": f"{STRATEGY_IDS[0]}-{number}", "language": "ja", "kind": "adversarial",
        "strategy": STRATEGY_IDS[0], "request": f"依頼の文その{number}を書いてください。", "violating": "違反する内容を含む文です。", "acceptable": "認められる助けを示す文です。",
        "turns": tuple(turns), "source": "test",
    }  # fmt: skip
    return CaseLine(**values | more)


def words(seed):
    """Three turns that share nothing with those of another seed."""
    kana = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわ"
    return ["".join(kana[(seed * 7919 + turn * 104729 + k * k * (seed + 3) + k) % len(kana)] for k in range(80)) for turn in range(3)]


def pool_of(tmp_path, *lines, guidelines=("A01",)):
    path = tmp_path / "set.jsonl"
    path.write_text("".join(c.model_dump_json(by_alias=True, exclude_none=True) + "\n" for c in lines), encoding="utf-8")
    return Pool(path, guidelines)


def test_what_a_check_speaks_against_is_replaced_from_its_own_cell_and_counted(tmp_path, corpus):
    own = next(c for c in corpus.cases.values() if c.language == "ja")
    pool = pool_of(
        tmp_path, line(1, words(1)), line(2, ["短い。", *words(2)[1:]]), line(3, ["This is English.", *words(3)[1:]]), line(4, words(1)),
        line(5, [words(5)[0] + "カルテ番号1234567", *words(5)[1:]]), line(6, own.user_turns), line(7, words(7)),
    )  # fmt: skip

    lines, report = make_testset(pool, corpus, 5, 0)

    assert sorted(c.id.rsplit("-", 1)[1] for c in lines)[-1] == "7"
    assert len(lines) == 2
    assert report.dropped == {"contained": 1, "forbidden": 1, "language": 1, "length": 1, "near_duplicate": 1}
    assert report.n_jobs == report.n_kept + sum(report.dropped.values())
    assert "7 of 7 cells have fewer than 5" in report.notes[0]


def test_a_set_given_by_against_may_not_be_contained(tmp_path, corpus):
    pool = pool_of(tmp_path, line(1, words(1)), line(2, words(2)))
    (tmp_path / "other.jsonl").write_text('{"prompt": "' + "".join(words(2)) + '"}\n', encoding="utf-8")

    lines, report = make_testset(pool, corpus, 5, 0, [tmp_path / "other.jsonl"])

    assert [c.id for c in lines] == [f"{STRATEGY_IDS[0]}-1"]
    assert report.dropped == {"contained": 1}


def test_a_seed_makes_the_same_set_again(tmp_path, corpus):
    pool = pool_of(tmp_path, *(line(k, words(k)) for k in range(1, 12)))

    assert make_testset(pool, corpus, 3, 7) == make_testset(pool, corpus, 3, 7)


def test_a_pool_that_cannot_be_drawn_from_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        Pool(tmp_path / "set.jsonl", ["A01"])
    with pytest.raises(DataError, match="a second time"):
        pool_of(tmp_path, line(1, words(1)), line(1, words(2)))
    with pytest.raises(DataError, match="the guideline 'A01'"):
        pool_of(tmp_path, line(1, words(1)), guidelines=("B11",))
    with pytest.raises(ConfigError, match="no adversarial case"):
        pool_of(tmp_path)
