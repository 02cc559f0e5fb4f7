import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jmedethic_plugin.stats.paired import hodges_lehmann, mean_difference, page_trend, wilcoxon_pratt

halves = st.integers(2, 20).map(lambda p: p / 2)
pairs = st.lists(st.tuples(halves, halves), min_size=1, max_size=60)
triples = st.lists(st.tuples(halves, halves, halves), min_size=2, max_size=40)


def walsh_median(d):
    i, j = np.triu_indices(len(d))
    return float(np.median((np.asarray(d)[i] + np.asarray(d)[j]) / 2))


@settings(max_examples=30)
@given(pairs)
def test_wilcoxon_equals_scipy_and_turns_with_its_samples(rows):
    first, second = zip(*rows, strict=True)
    d = np.subtract(first, second)
    found, turned = wilcoxon_pratt(first, second), wilcoxon_pratt(second, first)

    assert (found.n, found.n_zeros) == (len(rows), np.count_nonzero(d == 0))
    if found.n_zeros == found.n:
        assert (found.p, found.statistic, found.rank_biserial) == (1.0, 0.0, None)
        return
    expected = stats.wilcoxon(d, zero_method="pratt")
    assert (found.statistic, found.p) == (expected.statistic, pytest.approx(expected.pvalue, rel=1e-9))
    assert (turned.statistic, turned.p) == (found.statistic, pytest.approx(found.p))
    assert turned.rank_biserial == pytest.approx(-found.rank_biserial)


@settings(max_examples=40)
@given(pairs)
def test_rank_biserial_equals_pingouin(rows):
    pingouin = pytest.importorskip("pingouin", reason="only compares with it; not installed by requirements/run.lock")
    first, second = (np.array(side) for side in zip(*rows, strict=True))
    if (first == second).all():
        return

    assert wilcoxon_pratt(first, second).rank_biserial == pytest.approx(pingouin.wilcoxon(first, second, method="asymptotic")["RBC"].item())


def test_differences_equal_on_paper_are_ties():
    first, second = [7.3, 5.1, 9.2, 2.2], [6.3, 4.1, 8.2, 2.0]  # 7.3 - 6.3 > 1 > 9.2 - 8.2 in floats

    assert wilcoxon_pratt(first, second) == wilcoxon_pratt([1, 1, 1, 0.2], [0, 0, 0, 0])


def test_rank_biserial_by_hand():
    # Differences 3, -1, 2, 0: ranks of those that differ 3, 1, 2; W+ = 5, W- = 1, with Pratt's zero below them 7 and 2.
    found = wilcoxon_pratt([4, 1, 3, 5], [1, 2, 1, 5])

    assert (found.statistic, found.n_zeros, found.rank_biserial) == (2.0, 1, pytest.approx(4 / 6))


@pytest.mark.parametrize(("first", "second"), [([], []), ([1, 2], [1]), ([1, math.nan], [1, 2]), ([1, math.inf], [1, 2])])
def test_wilcoxon_refuses_what_is_no_pair(first, second):
    with pytest.raises(ValueError, match="need"):
        wilcoxon_pratt(first, second)


@settings(max_examples=60)
@given(triples)
def test_page_equals_scipy_and_ignores_scale_and_order(rows):
    found = page_trend(rows)
    expected = stats.page_trend_test(rows, predicted_ranks=[3, 2, 1])

    assert (found.n, found.statistic, found.p) == (len(rows), expected.statistic, expected.pvalue)
    assert page_trend([[3 * x + 1 for x in row] for row in reversed(rows)]) == found


def test_falling_points_are_what_page_predicts():
    falling, rising = [[9, 6, 3]] * 10, [[3, 6, 9]] * 10

    assert (page_trend(falling).statistic, page_trend(rising).statistic) == (140, 100)
    assert page_trend(falling).p < 1e-6
    assert page_trend(rising).p > 0.999
    assert page_trend(rising).p_tie_corrected > 0.999


def test_page_corrected_for_ties_is_the_normal_approximation_without_and_stronger_with_them():
    rng = np.random.default_rng(5)
    distinct = [list(rng.permutation(3)) for _ in range(100)]
    tied = [[10, 10, 10]] * 80 + [[10, 8, 4]] * 12 + [[4, 8, 10]] * 8

    asymptotic = stats.page_trend_test(distinct, predicted_ranks=[3, 2, 1], method="asymptotic").pvalue
    assert page_trend(distinct).p_tie_corrected == pytest.approx(asymptotic)
    # Only the 20 conversations that move count: L is 2 (12 - 8) above its mean, the sum of squares of their ranks 20 x 2.
    assert page_trend(tied).p_tie_corrected == pytest.approx(stats.norm.sf(8 / math.sqrt(40)))
    assert page_trend(tied).p > 2 * page_trend(tied).p_tie_corrected


def test_tie_corrected_page_holds_its_level_where_turns_tie():
    rng = np.random.default_rng(11)
    tables = rng.choice([10, 10, 10, 9], size=(1000, 60, 3))
    found = [page_trend(table) for table in tables]

    assert 0.03 <= np.mean([f.p_tie_corrected < 0.05 for f in found]) <= 0.065
    assert np.mean([f.p < 0.05 for f in found]) < 0.03  # what scipy's rejects of a true null instead of 5 %


def test_page_without_any_movement_shows_no_trend():
    assert page_trend([[10, 10, 10]] * 50).p_tie_corrected == 1.0


@pytest.mark.parametrize("rows", [[], [[1, 2, 3]], [[1, 2], [1, 2]], [[1, 2, math.nan], [1, 2, 3]]])
def test_page_refuses_other_tables(rows):
    with pytest.raises(ValueError, match="three turns for at least two"):
        page_trend(rows)


clustered = st.lists(st.tuples(st.integers(-18, 18).map(lambda d: d / 2), st.sampled_from("abcde")), min_size=2, max_size=40).filter(
    lambda rows: len({c for _, c in rows}) > 1
)


@settings(max_examples=60)
@given(clustered, st.integers(0, 3))
def test_hodges_lehmann_is_the_median_of_walsh_averages_of_data_and_resamples(rows, seed):
    d, clusters = (np.array(side) for side in zip(*rows, strict=True))
    names = np.unique(clusters)
    draws = np.random.default_rng(seed).multinomial(len(names), [1 / len(names)] * len(names), size=20)

    found = hodges_lehmann(d, clusters, seed=seed, n_resamples=20)

    replicates = [walsh_median(np.concatenate([np.tile(d[clusters == c], n) for c, n in zip(names, draw, strict=True)])) for draw in draws]
    assert found.point == pytest.approx(walsh_median(d))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(replicates, [0.025, 0.975])))
    assert found.n == len(rows)


@settings(max_examples=30)
@given(clustered, st.integers(-5, 5))
def test_hodges_lehmann_and_mean_follow_shift_and_sign(rows, shift):
    d, clusters = zip(*rows, strict=True)
    shifted, mirrored = [x + shift for x in d], [-x for x in d]

    for estimate in (lambda x: hodges_lehmann(x, clusters, n_resamples=50), lambda x: mean_difference(x, clusters)):
        plain, moved, turned = estimate(d), estimate(shifted), estimate(mirrored)
        assert (moved.point, moved.low, moved.high) == pytest.approx((plain.point + shift, plain.low + shift, plain.high + shift))
        assert (turned.point, turned.low, turned.high) == pytest.approx((-plain.point, -plain.high, -plain.low))


def test_order_of_rows_does_not_matter():
    d, clusters = [1.0, -0.5, 2.0, 3.5, 0.0], list("abacb")

    assert hodges_lehmann(d[::-1], clusters[::-1]) == hodges_lehmann(d, clusters)
    assert mean_difference(d[::-1], clusters[::-1]) == mean_difference(d, clusters)


def test_hodges_lehmann_of_a_release_run_takes_no_time():
    rng = np.random.default_rng(3)
    d, clusters = np.round(rng.normal(1, 2, 1407), 1), [f"g{i % 67}" for i in range(1407)]

    start = time.process_time()
    found = hodges_lehmann(d, clusters)

    assert time.process_time() - start < 2  # 0.15 s
    assert found.point == pytest.approx(walsh_median(d))
    assert found.low < found.point < found.high


def test_mean_difference_is_the_t_interval_of_guideline_means():
    rng = np.random.default_rng(8)
    d, clusters = rng.normal(0.5, 1, 60), [f"g{i % 7}" for i in range(60)]  # four guidelines of 9, three of 8
    means = [np.mean(d[i::7]) for i in range(7)]
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.9)

    found = mean_difference(d, clusters, confidence=0.9)

    assert (found.point, found.low, found.high) == pytest.approx((np.mean(means), expected.low, expected.high))
    assert (found.n, found.method) == (60, "t over 7 guideline means")


def test_mean_difference_without_spread_has_no_width():
    found = mean_difference([0.1] * 9, list("abcabcabc"))

    assert found.low == found.point == found.high


@pytest.mark.parametrize("estimate", [mean_difference, hodges_lehmann])
@pytest.mark.parametrize(
    ("d", "clusters", "options"),
    [
        ([1, 2], ["a", "a"], {}),
        ([1, 2], ["a"], {}),
        ([1, math.nan], ["a", "b"], {}),
        ([1, 2], ["a", "b"], {"confidence": 1.0}),
        ([1, 2], ["a", "b"], {"confidence": 0.0}),
    ],
)
def test_intervals_of_differences_refuse_what_has_none(estimate, d, clusters, options):
    with pytest.raises(ValueError, match=r"need|confidence"):
        estimate(d, clusters, **options)


def test_hodges_lehmann_needs_a_resample():
    with pytest.raises(ValueError, match="got 0"):
        hodges_lehmann([1, 2], ["a", "b"], n_resamples=0)


@pytest.mark.parametrize("estimate", [mean_difference, lambda d, clusters: hodges_lehmann(d, clusters, n_resamples=150)])
def test_cluster_intervals_cover_where_a_naive_one_fails(estimate):
    """Coverage of 95 % intervals of a shift of 0 with a guideline effect as large as the noise."""
    rng = np.random.default_rng(17)
    clusters = [f"g{i // 7}" for i in range(469)]
    covered, naive = [], []
    for _ in range(200):
        d = np.round(np.repeat(rng.normal(0, 1, 67), 7) + rng.normal(0, 1, 469), 1)
        found = estimate(d, clusters)
        covered.append(found.low <= 0 <= found.high)
        naive.append(abs(d.mean()) <= 1.96 * d.std(ddof=1) / math.sqrt(469))

    assert 0.92 <= np.mean(covered) <= 0.97
    assert np.mean(naive) < 0.85
