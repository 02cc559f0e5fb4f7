import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.stats.intervals import wilson_interval
from jmedethic_plugin.stats.order import quartiles


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), Statist. Med. 17, 857-872, Table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_equals_the_published_table(hits, n, low, high):
    estimate = wilson_interval(hits, n)

    assert (round(estimate.low, 4), round(estimate.high, 4)) == (low, high)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_its_point_and_mirrors(counts):
    hits, n = counts
    estimate, mirrored = wilson_interval(hits, n), wilson_interval(n - hits, n)

    assert 0 <= estimate.low <= estimate.point <= estimate.high <= 1
    assert estimate.low == pytest.approx(1 - mirrored.high, abs=1e-12)


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(hits, n):
    with pytest.raises(ValueError, match=f"n_hits={hits}, n_total={n}"):
        wilson_interval(hits, n)


@given(st.lists(st.floats(1, 10), min_size=1, max_size=50))
def test_quartiles_equal_numpy_whatever_the_order(values):
    q = quartiles(values)

    assert (q.q1, q.median, q.q3) == tuple(np.percentile(sorted(values, reverse=True), [25, 50, 75]))
    assert q.n == len(values)


def test_quartiles_need_a_value():
    with pytest.raises(ValueError, match="none"):
        quartiles([])
