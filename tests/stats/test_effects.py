import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jmedethic_plugin.stats.effects import cliffs_delta, cohens_d, mann_whitney
from jmedethic_plugin.stats.samples import variance

REASON = "only compares with it; not installed by requirements/run.lock"
halves = st.integers(2, 20).map(lambda p: p / 2)
samples = st.tuples(st.lists(halves, min_size=2, max_size=25), st.lists(halves, min_size=2, max_size=25))
paired = st.lists(st.tuples(halves, halves), min_size=2, max_size=25).map(lambda rows: tuple(zip(*rows, strict=True)))


@settings(max_examples=60)
@given(samples)
def test_pooled_d_equals_pingouin(pair):
    pingouin = pytest.importorskip("pingouin", reason=REASON)
    first, second = pair
    found = cohens_d(first, second, "pooled")

    if np.ptp(first) == np.ptp(second) == 0:
        assert found is None
    else:
        assert found == pytest.approx(pingouin.compute_effsize(first, second, eftype="cohen"))
        assert cohens_d(second, first, "pooled") == -found


@settings(max_examples=60)
@given(paired)
def test_d_av_and_d_z_equal_pingouin(pair):
    pingouin = pytest.importorskip("pingouin", reason=REASON)
    first, second = pair

    if np.ptp(first) or np.ptp(second):
        expected = pingouin.compute_effsize(first, second, paired=True, eftype="cohen")
        assert cohens_d(first, second, "av") == pytest.approx(expected)
    if np.ptp(np.subtract(first, second)):
        expected = pingouin.compute_effsize(first, second, paired=True, eftype="cohen_dz")
        assert cohens_d(first, second, "z") == pytest.approx(expected)
    else:
        assert cohens_d(first, second, "z") is None


def test_the_three_ds_by_hand():
    first, second = [2, 4, 6], [1, 1, 4]  # means 4 and 2, variances 4 and 3, differences 1, 3, 2 with variance 1

    assert cohens_d(first, second, "av") == pytest.approx(2 / math.sqrt(3.5))
    assert cohens_d(first, second, "z") == pytest.approx(2.0)
    assert cohens_d(first, [1, 1, 4, 2], "pooled") == pytest.approx(2 / math.sqrt((2 * 4 + 3 * 2) / 5))


def test_no_d_without_spread_though_means_of_equal_floats_round():
    assert cohens_d([5.1] * 3, [4.7] * 3, "pooled") is None
    assert cohens_d([5.1, 7.3, 9.2], [4.1, 6.3, 8.2], "z") is None


@settings(max_examples=80)
@given(samples)
def test_cliffs_delta_counts_pairs_and_mann_whitney_equals_scipy(pair):
    first, second = pair
    delta, found = cliffs_delta(first, second), mann_whitney(first, second)
    expected = stats.mannwhitneyu(first, second, method="asymptotic")

    assert delta == pytest.approx(np.sign(np.subtract.outer(first, second)).mean())
    assert (found.u, found.p, found.n_first, found.n_second) == (expected.statistic, expected.pvalue, len(first), len(second))
    assert delta == pytest.approx(2 * found.u / (len(first) * len(second)) - 1)
    turned = mann_whitney(second, first)
    assert (turned.p, turned.u) == (pytest.approx(found.p), len(first) * len(second) - found.u)
    assert cliffs_delta(second, first) == pytest.approx(-delta)


@given(samples)
def test_ranks_ignore_scale_and_order(pair):
    first, second = pair
    scaled = [[x**3 for x in reversed(side)] for side in pair]

    assert cliffs_delta(*scaled) == cliffs_delta(first, second)
    assert mann_whitney(*scaled) == mann_whitney(first, second)


def test_all_equal_values_show_nothing():
    assert mann_whitney([10.0] * 5, [10.0] * 4).p == 1.0
    assert cliffs_delta([10.0] * 5, [10.0] * 4) == 0.0


@pytest.mark.parametrize("function", [cliffs_delta, mann_whitney])
@pytest.mark.parametrize(("first", "second"), [([], [1]), ([1], []), ([math.nan], [1]), ([1], [math.inf])])
def test_comparisons_refuse_empty_and_missing_values(function, first, second):
    with pytest.raises(ValueError, match="finite numbers"):
        function(first, second)


@pytest.mark.parametrize("which", ["pooled", "av", "z"])
def test_d_needs_two_values(which):
    with pytest.raises(ValueError, match="at least 2"):
        cohens_d([1], [2], which)


@pytest.mark.parametrize(("first", "second"), [([1], [2, 3]), ([2, 3], [1])])
def test_d_needs_two_values_of_each(first, second):
    with pytest.raises(ValueError, match="at least 2"):
        cohens_d(first, second, "pooled")


def test_one_value_of_each_can_be_compared():
    assert cliffs_delta([1], [2]) == -1
    assert (mann_whitney([1], [2]).u, mann_whitney([2], [1]).u) == (0, 1)


def test_d_z_needs_pairs():
    with pytest.raises(ValueError, match="got 3 first and 2 second"):
        cohens_d([1, 2, 3], [1, 2], "z")


def test_mann_whitney_of_pairs_misses_a_shift_that_wilcoxon_finds():
    """Why turns are not compared with it (method.md B-21): correlation 0.6, 469 conversations, one shift."""
    from jmedethic_plugin.stats.paired import wilcoxon_pratt

    rng = np.random.default_rng(21)
    found = []
    for _ in range(200):
        common = rng.normal(0, math.sqrt(0.6), 469)
        first, second = (common + rng.normal(0, math.sqrt(0.4), 469) for _ in range(2))
        found.append([test(first + shift, second).p < 0.05 for shift in (0.0, 0.15) for test in (mann_whitney, wilcoxon_pratt)])
    mwu_null, wilcoxon_null, mwu_power, wilcoxon_power = np.mean(found, axis=0)

    assert mwu_null < 0.02 < wilcoxon_null < 0.085
    assert mwu_power + 0.15 < wilcoxon_power


@pytest.mark.parametrize("n", [2, 3, 6, 7])
def test_equal_values_vary_by_nothing_whatever_rounding_makes_of_their_mean(n):
    assert variance(np.full(n, 0.1)) == 0  # NumPy's own is 3e-34 for three of them
