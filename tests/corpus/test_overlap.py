from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.corpus.overlap import grams, pairs_above, pairs_between

TEXTS = st.dictionaries(st.text("abcde", min_size=1, max_size=3), st.text("あいうえ 。", max_size=30), max_size=6)


def overlap(a, b):
    return len(grams(a) & grams(b)) / max(1, min(len(grams(a)), len(grams(b))))


@given(TEXTS, st.sampled_from([0.0, 0.3, 0.6]))
def test_pairs_equal_the_sets_compared_one_by_one(texts, bound):
    expected = {(a, b): overlap(texts[a], texts[b]) for a, b in combinations(texts, 2)}

    found = {(p.first, p.second): p.overlap for p in pairs_above(texts, bound)}

    assert found == pytest.approx({pair: share for pair, share in expected.items() if share > bound})


@given(TEXTS, TEXTS)
def test_pairs_between_two_sets(texts, others):
    expected = {(a, b): share for a in texts for b in others if (share := overlap(texts[a], others[b])) > 0}

    assert {(p.first, p.second): p.overlap for p in pairs_between(texts, others, 0.0)} == pytest.approx(expected)


def test_more_rows_than_a_block(monkeypatch):
    monkeypatch.setattr("jmedethic_plugin.corpus.overlap._BLOCK", 2)
    texts = {str(i): f"同じ文章が続いています{i % 3}番目" for i in range(7)}

    assert {(p.first, p.second) for p in pairs_above(texts, 0.99)} == {(a, b) for a, b in combinations("0123456", 2) if (int(b) - int(a)) % 3 == 0}


def test_width_case_space_and_punctuation_do_not_matter():
    assert grams("ABC、 def!") == grams("abcdef")


def test_short_text_is_one_gram_and_no_text_none():
    assert grams("はい") == {"はい"}
    assert grams("。、") == frozenset()
