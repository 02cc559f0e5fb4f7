import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from jmedethic_plugin.stats.intervals import clustered_bound, clustered_interval, exact_bound, wilson_interval
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


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_wilson_refuses_a_confidence_of_nothing_or_of_everything(confidence):
    with pytest.raises(ValueError, match=f"got {confidence}"):
        wilson_interval(1, 2, confidence=confidence)


def test_wilson_ends_at_the_point_without_hits_or_misses():
    """The formula itself leaves them by a rounding error for some n."""
    assert {wilson_interval(0, n).low for n in range(1, 40)} == {0.0}
    assert {wilson_interval(n, n).high for n in range(1, 40)} == {1.0}


@given(st.lists(st.floats(1, 10), min_size=1, max_size=50))
def test_quartiles_equal_numpy_whatever_the_order(values):
    q = quartiles(values)

    assert (q.q1, q.median, q.q3) == tuple(np.percentile(sorted(values, reverse=True), [25, 50, 75]))
    assert q.n == len(values)


def test_quartiles_need_a_value():
    with pytest.raises(ValueError, match="none"):
        quartiles([])


GUIDELINES = [f"g{i // 7}" for i in range(469)]


def test_no_failure_in_469_bounds_the_violation_rate_at_the_planning_design_effect():
    assert clustered_bound([0] * 469, GUIDELINES, "upper") == pytest.approx(0.0127, abs=5e-5)  # method.md B-11: 1.3 %
    assert exact_bound(0, 469, "upper") == pytest.approx(0.0064, abs=5e-5)


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (3, 20), (19, 20), (20, 20), (35, 469)])
def test_exact_bounds_are_those_of_statsmodels(hits, n):
    low, high = proportion_confint(hits, n, alpha=0.10, method="beta")

    assert (exact_bound(hits, n, "lower"), exact_bound(hits, n, "upper")) == pytest.approx((low, high))


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from("abcdef")), min_size=1, max_size=60))
def test_clustered_interval_holds_its_point_and_is_wilson_at_the_effective_n(rows):
    values, clusters = zip(*rows, strict=True)
    found, mirrored = clustered_interval(values, clusters), clustered_interval([1 - v for v in values], clusters)

    assert 0 <= found.low <= found.point <= found.high <= 1
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-9)
    if found.n_eff == len(values):
        plain = wilson_interval(sum(values), len(values))
        assert (found.low, found.high) == (pytest.approx(plain.low, abs=1e-9), pytest.approx(plain.high, abs=1e-9))
        assert clustered_bound(values, clusters, "lower") == pytest.approx(exact_bound(sum(values), len(values), "lower"))
    assert clustered_bound(values, clusters, "lower") <= found.point <= clustered_bound(values, clusters, "upper")


def test_resemblance_widens_the_interval():
    alike = [float(i // 7 % 5 > 0) for i in range(469)]
    mixed = [float(i % 5 > 0) for i in range(469)]

    wide, narrow = (clustered_interval(v, GUIDELINES) for v in (alike, mixed))

    assert wide.n_eff == pytest.approx(67)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
