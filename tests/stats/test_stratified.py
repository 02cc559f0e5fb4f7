from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from jmedethic_plugin.stats.stratified import stratified_exact

ROWS = st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("ab")), min_size=1, max_size=8).filter(
    lambda rows: any(member for _, member, _ in rows)
)


def by_enumeration(rows):
    """Two-sided p over every way to choose the group's members within each stratum."""
    draws = []
    for stratum in {s for _, _, s in rows}:
        hits = [hit for hit, _, s in rows if s == stratum]
        size = sum(member for _, member, s in rows if s == stratum)
        draws.append([sum(chosen) for chosen in combinations(hits, size)])
    totals = [sum(parts) for parts in product(*draws)]
    observed = totals.count(sum(hit and member for hit, member, _ in rows))
    return sum(1 for t in totals if totals.count(t) <= observed) / len(totals)


@given(ROWS)
def test_p_equals_enumeration(rows):
    found = stratified_exact(*zip(*rows, strict=True))

    assert found.p == pytest.approx(by_enumeration(rows), abs=1e-9)


@given(st.tuples(*[st.integers(0, 12)] * 4).filter(lambda t: t[0] + t[1] > 0))
def test_one_stratum_is_fishers_test(cells):
    a, b, c, d = cells
    hits = [True] * a + [False] * b + [True] * c + [False] * d

    found = stratified_exact(hits, [True] * (a + b) + [False] * (c + d), ["s"] * len(hits))

    assert found.p == pytest.approx(fisher_exact([[a, b], [c, d]]).pvalue, abs=1e-9)
    assert (found.n_hits, found.n, found.expected) == (a, a + b, pytest.approx((a + b) * (a + c) / len(hits)))


def test_what_a_stratum_shares_does_not_count_against_the_group():
    """All of stratum 1 are hits and none of stratum 2; the group has most of stratum 1."""
    hits = [True] * 10 + [False] * 10
    group = [True] * 9 + [False] + [True] + [False] * 9

    assert stratified_exact(hits, group, ["1"] * 10 + ["2"] * 10).p == 1
    assert stratified_exact(hits, group, ["all"] * 20).p < 0.01


def test_large_strata_are_computed_without_overflow():
    hits = [i % 3 == 0 for i in range(30_000)]
    group = [i % 7 == 0 for i in range(30_000)]

    found = stratified_exact(hits, group, [str(i % 2) for i in range(30_000)])

    assert found.expected == pytest.approx(30_000 / 21, rel=0.01)
    assert found.p > 0.5


def test_empty_group_is_refused():
    with pytest.raises(ValueError, match="got none"):
        stratified_exact([True], [False], ["s"])
