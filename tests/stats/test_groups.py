import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jmedethic_plugin.stats.groups import compare_groups, compare_pairs

# paper.md section 7, averages over turns
COMMERCIAL = [9.36, 9.06, 8.85, 8.86, 8.00, 6.97, 5.68, 5.63]
MEDICAL = [5.53, 5.42, 5.20, 4.86, 4.53, 4.49]
means = st.lists(st.integers(100, 1000).map(lambda p: p / 100), min_size=2, max_size=6)


@settings(max_examples=60)
@given(means, means)
def test_groups_equal_scipy(a, b):
    found, turned = compare_groups(a, b), compare_groups(b, a)
    if np.ptp(a) == np.ptp(b) == 0:
        assert (found.t, found.p, found.hedges_g) == (None, None, None)
        assert found.difference.low == found.difference.high
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy's, of a group without spread
        expected = stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval()

    assert (found.t, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert (found.difference.low, found.difference.high) == pytest.approx((interval.low, interval.high))
    assert (turned.p, turned.p_permutation) == pytest.approx((found.p, found.p_permutation))
    assert turned.difference.point == pytest.approx(-found.difference.point)


@settings(max_examples=40)
@given(means, means)
def test_hedges_g_equals_pingouin(a, b):
    pingouin = pytest.importorskip("pingouin", reason="only compares with it; not installed by requirements/run.lock")

    if np.ptp(a) or np.ptp(b):
        assert compare_groups(a, b).hedges_g == pytest.approx(pingouin.compute_effsize(a, b, eftype="hedges"))


@settings(max_examples=20)
@given(means, means)
def test_permutation_of_groups_equals_scipy(a, b):
    found = compare_groups(a, b).p_permutation
    expected = stats.permutation_test(
        (a, b), lambda x, y, axis: abs(x.mean(axis) - y.mean(axis)), vectorized=True, n_resamples=np.inf, alternative="greater"
    )

    assert found == pytest.approx(expected.pvalue)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(100, 1000), st.integers(100, 1000)), min_size=2, max_size=7))
def test_pairs_equal_scipy(rows):
    a, b = ([p / 100 for p in side] for side in zip(*rows, strict=True))
    found = compare_pairs(a, b)
    d = np.round(np.subtract(a, b), 9)
    signed = stats.permutation_test(
        (d,), lambda x, axis: abs(x.mean(axis)), permutation_type="samples", vectorized=True, n_resamples=np.inf, alternative="greater"
    )

    assert found.p_permutation == pytest.approx(signed.pvalue)
    if np.ptp(d) == 0:
        assert (found.t, found.p, found.difference.low) == (None, None, found.difference.point)
        return
    expected = stats.ttest_1samp(d, 0)
    interval = expected.confidence_interval()
    assert (found.t, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert (found.difference.low, found.difference.high) == pytest.approx((interval.low, interval.high))


def test_the_papers_groups():
    found = compare_groups(COMMERCIAL, MEDICAL)

    assert (found.n_a, found.n_b, found.difference.n) == (8, 6, 14)
    assert found.difference.point == pytest.approx(7.80 - 5.005, abs=0.005)
    assert found.difference.low > 1
    # Of 3,003 labellings only this one separates them; six others, unequal as the groups are, differ by more the other way.
    assert found.p_permutation == pytest.approx(7 / 3003)


def test_the_papers_two_pairs_prove_little():
    found = compare_pairs([4.50, 4.85], [5.60, 6.40])  # -1.10 and -1.55

    assert found.difference.point == pytest.approx(-1.325)
    assert found.p_permutation == 0.5  # two of four labellings, the least two pairs can give
    assert found.difference.high > 0
    assert found.hedges_g is None


def test_hedges_g_of_pairs_by_hand():
    # Means 4 and 2, variances 4 and 3; J with two degrees of freedom is 1 - 3 / 7.
    assert compare_pairs([2, 4, 6], [1, 1, 4]).hedges_g == pytest.approx(2 / math.sqrt(3.5) * 4 / 7)


def test_many_models_have_no_permutations():
    assert compare_groups(range(11), range(8)).p_permutation is not None  # 75,582
    assert compare_groups(range(11), range(9)).p_permutation is None  # 167,960
    assert compare_pairs(range(16), [0] * 16).p_permutation == 2 / 2**15  # the first pair does not differ
    assert compare_pairs(range(17), [0] * 17).p_permutation is None


@pytest.mark.parametrize(("a", "b"), [([1], [1, 2]), ([1, 2], [1]), ([1, math.nan], [1, 2])])
def test_one_model_is_no_group(a, b):
    with pytest.raises(ValueError, match=r"at least 2 finite"):
        compare_groups(a, b)


@pytest.mark.parametrize("compare", [compare_groups, compare_pairs])
@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_confidence_is_checked(compare, confidence):
    with pytest.raises(ValueError, match="confidence"):
        compare([1, 2], [2, 4], confidence=confidence)


def test_pairs_must_be_pairs():
    with pytest.raises(ValueError, match="got 3 first and 2 second"):
        compare_pairs([1, 2, 3], [1, 2])


def null_groups(rng, n_runs, n_items, model_sd=0.3):
    """Points of two times five models that differ among themselves but not by group: shape (n_runs, 2, 5, n_items)."""
    return 7 + rng.normal(0, model_sd, (n_runs, 2, 5, 1)) + rng.normal(0, 2, (n_runs, 2, 5, n_items))


def test_models_as_the_unit_keep_the_level():
    found = [compare_groups(*run.mean(axis=2)) for run in null_groups(np.random.default_rng(29), 1500, 100)]

    assert 0.03 <= np.mean([f.p < 0.05 for f in found]) <= 0.06
    assert 0.03 <= np.mean([f.p_permutation < 0.05 for f in found]) <= 0.06
    assert 0.94 <= np.mean([f.difference.low <= 0 <= f.difference.high for f in found]) <= 0.97


def test_pooled_conversations_do_not():
    """The counter-example that forbids pooling (method.md B-22): the same null, conversations of all models thrown together."""
    runs = null_groups(np.random.default_rng(30), 200, 469)
    rejected = [stats.mannwhitneyu(a.ravel(), b.ravel(), method="asymptotic").pvalue < 0.05 for a, b in runs]

    assert np.mean(rejected) > 0.30
