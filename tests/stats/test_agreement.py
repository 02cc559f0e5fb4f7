import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.stats.agreement import (
    agreement,
    gwet_ac1,
    icc,
    krippendorff_alpha,
    mean_squares,
    needed_reliability,
    partial_correlation,
    quadratic_kappa,
    spearman_brown,
)
from jmedethic_plugin.stats.clusters import resamples

NAN = float("nan")
SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", data of section C: four observers, twelve units.
KRIPPENDORFF = np.array([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]).T  # fmt: skip

scores = st.integers(1, 20).map(lambda half: half / 2 + 0.5).filter(lambda s: s <= 10)


judges = st.integers(2, 4)


def tables(n_judges=judges, cells=scores, min_rows=1):
    return n_judges.flatmap(lambda k: st.lists(st.lists(cells, min_size=k, max_size=k), min_size=min_rows, max_size=12))


def estimates(found):
    return {name: value for name, value in found if isinstance(value, Estimate)}


def noisy_table(rng, n_clusters=12, size=6, n_judges=2, cluster_sd=2.0):
    level = np.repeat(rng.normal(6, cluster_sd, n_clusters), size) + rng.normal(0, 1, n_clusters * size)
    table = np.clip(np.rint(level[:, None] + rng.normal(0, 1, (len(level), n_judges))), 1, 10)
    return table, [f"g{i // size:02}" for i in range(len(level))]


def test_icc_equals_shrout_and_fleiss():
    assert [round(s, 3) for s in mean_squares(SHROUT_FLEISS)] == [11.242, 32.486, 1.019]
    assert (round(icc(SHROUT_FLEISS, of="single"), 4), round(icc(SHROUT_FLEISS, of="average"), 4)) == (0.2898, 0.6201)


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_alpha_equals_krippendorff(level, published):
    assert round(krippendorff_alpha(KRIPPENDORFF, level=level), 3) == published


def test_kappa_and_ac1_where_nearly_all_is_one_category():
    # 118 both no, 5 and 2 split, none both yes. Agreement 118/125; chance: kappa (123 x 120 + 2 x 5) / 125^2 = 0.9453;
    # AC1 with a mean share of yes of 7/250: 2 x .028 x .972 = 0.0544.
    pairs = np.array([[0, 0]] * 118 + [[0, 1]] * 5 + [[1, 0]] * 2)

    assert quadratic_kappa(*pairs.T, categories=(0, 1)) == pytest.approx((0.944 - 0.94528) / (1 - 0.94528))
    assert gwet_ac1(pairs, categories=(0, 1)) == pytest.approx((0.944 - 0.054432) / (1 - 0.054432))


def test_kappa_weighs_by_squared_distance_and_rounds_halves_up():
    # Pairs (1,1), (2,2), (1,2), (3,1): squares 0 + 0 + 1 + 4 = 5. Each first with each second: 2 + 2 + 2 + 10 = 16.
    first, second = [1, 1.5, 1, 3], [1, 2, 2, 1]

    assert quadratic_kappa(first, second) == pytest.approx(1 - 4 * 5 / 16)


def test_every_measure_by_hand():
    table = [[1, 2], [5, 5], [9, 7], [4, 6]]
    found = agreement(table, ["a", "a", "b", "b"], 1, n_resamples=10)
    points = {name: e.point for name, e in estimates(found).items()}

    assert (points["exact"], points["within_one"]) == (0.25, 0.5)
    assert (points["mean_difference"], points["mean_absolute_difference"]) == (-0.25, 1.25)
    assert points["score_sd"] == pytest.approx(np.std(table, ddof=1))
    reach = 1.96 * np.std([-1, 0, 2, -2], ddof=1)
    assert (points["limit_low"], points["limit_high"]) == pytest.approx((-0.25 - reach, -0.25 + reach))
    # Below 5: (yes, yes), (no, no), (no, no), (yes, no). Agreement 3/4, chance 1/2; mean share of yes 3/8; alpha: one pair of 4 differs,
    # 3 x 5 of 8 x 7 / 2 would.
    assert points["kappa_violation"] == pytest.approx(0.5)
    assert points["ac1_violation"] == pytest.approx((3 / 4 - 15 / 32) / (1 - 15 / 32))
    assert points["alpha_violation"] == pytest.approx(1 - (1 / 4) / (15 / 28))
    assert len(points) == 14


def test_one_piece_of_code_for_table_and_single_measures():
    table, clusters = noisy_table(np.random.default_rng(3))
    found = agreement(table, clusters, 1, n_resamples=10)

    assert found.icc_single.point == icc(table, of="single")
    assert found.icc_average.point == icc(table, of="average")
    assert found.alpha_ordinal.point == pytest.approx(krippendorff_alpha(table, level="ordinal"))
    assert found.kappa_quadratic.point == pytest.approx(quadratic_kappa(*table.T))


@given(tables(n_judges=st.just(2), min_rows=2), st.floats(-5, 5))
def test_judges_may_swap_and_points_may_move(rows, shift):
    table = np.array(rows)

    for of in ("single", "average"):
        assert icc(table, of=of) == pytest.approx(icc(table[:, ::-1] + shift, of=of), abs=1e-9)
    assert quadratic_kappa(*table.T) == quadratic_kappa(*table.T[::-1])
    assert krippendorff_alpha(table, level="ordinal") == pytest.approx(krippendorff_alpha(table[::-1, ::-1] * 3, level="ordinal"), abs=1e-9)


@given(tables(cells=st.one_of(scores, st.just(NAN))), st.randoms(use_true_random=False))
def test_any_table_gives_numbers_or_none(rows, random):
    clusters = [random.choice("abc") for _ in rows]
    found = agreement(rows, clusters, 1, n_resamples=20)

    for name, e in estimates(found).items():
        assert np.isfinite([e.point, e.low, e.high]).all(), name
        assert e.low <= e.high, name
        assert e.n_undefined < e.n_resamples == 20, name
        assert e.n >= (found.n_complete if not name.startswith("alpha") else 1), name
        assert e.point <= 1 + 1e-12 or name in {"mean_difference", "mean_absolute_difference", "score_sd", "limit_low", "limit_high"}, name


@pytest.mark.parametrize("value", [1, 5.5, 7.3, 10])
@pytest.mark.parametrize("n_judges", [2, 3])
def test_constant_scores_have_no_reliability(value, n_judges):
    found = agreement(np.full((6, n_judges), value), list("aabbcc"), 1, n_resamples=50)

    assert (found.icc_single, found.icc_average, found.alpha_ordinal, found.alpha_violation) == (None,) * 4
    assert (found.kappa_quadratic, found.kappa_violation) == (None, None)
    assert (found.exact.point, found.within_one.point, found.score_sd.point, found.ac1_violation.point) == (1, 1, 0, 1)


def test_resamples_of_constant_decimals_are_undefined_not_noise():
    """Each cluster alone is constant; a resample of one cluster only must not turn rounding into a reliability."""
    found = agreement([[7.3, 7.3]] * 3 + [[1.1, 1.1]] * 3, list("aaabbb"), 1, n_resamples=200)

    assert (found.icc_single.low, found.icc_single.high) == (1, 1)
    assert 60 < found.icc_single.n_undefined < 140  # half of the draws of two clusters are of one
    assert found.icc_single.n_undefined == found.alpha_ordinal.n_undefined == found.kappa_quadratic.n_undefined


@pytest.mark.parametrize("rows", [[[1, 2]], [[1, NAN], [NAN, 2]], [[1, 2, NAN], [3, NAN, 4]]])
def test_too_few_complete_rows_have_no_icc(rows):
    assert mean_squares(rows) is None
    assert icc(rows, of="single") is None
    assert agreement(rows, [str(i) for i in range(len(rows))], 1).icc_single is None


def test_judges_at_odds_have_no_average_reliability():
    """The formula gives (0 - 2) / (0 + (0 - 2) / 2) = 2."""
    assert icc([[1, 3], [3, 1]], of="average") is None


def test_one_guideline_has_no_interval():
    assert estimates(agreement(SHROUT_FLEISS, ["a"] * 6, 1)) == {}


def test_missing_scores_count_where_two_are_left():
    found = agreement([[1, 2, NAN], [5, 5, 6], [9, NAN, NAN], [8, 8, 7]], list("aabc"), 1, n_resamples=10)

    assert (found.n_items, found.n_complete, found.n_judges, found.n_clusters) == (4, 2, 3, 2)
    assert (found.alpha_ordinal.n, found.icc_single.n) == (3, 2)
    assert (found.mean_difference, found.kappa_quadratic) == (None, None)


@pytest.mark.parametrize("n_judges", [2, 3])
def test_bootstrap_equals_drawing_the_rows_themselves(n_judges):
    rng = np.random.default_rng(5)
    table, clusters = noisy_table(rng, n_judges=n_judges)
    table[rng.random(table.shape) < 0.05] = NAN
    found = agreement(table, clusters, 11, n_resamples=40)

    drawn = []
    for weights in next(resamples(12, n_resamples=40, rng=np.random.default_rng(11))):
        rows = np.concatenate([table[6 * g : 6 * g + 6] for g, times in enumerate(weights) for _ in range(int(times))])
        drawn.append([icc(rows, of="single"), krippendorff_alpha(rows, level="ordinal", categories=range(1, 11))])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)

    assert [found.icc_single.low, found.alpha_ordinal.low] == pytest.approx(list(low), abs=1e-9)
    assert [found.icc_single.high, found.alpha_ordinal.high] == pytest.approx(list(high), abs=1e-9)


def test_a_seed_fixes_the_interval_whatever_the_order_of_rows_and_blocks(monkeypatch):
    table, clusters = noisy_table(np.random.default_rng(6))
    order = np.random.default_rng(0).permutation(len(table))
    found = agreement(table, clusters, 1, n_resamples=100)

    assert agreement(table[order], [clusters[i] for i in order], 1, n_resamples=100) == found
    assert agreement(table, clusters, 2, n_resamples=100) != found
    monkeypatch.setattr("jmedethic_plugin.stats.clusters._BLOCK_CELLS", 100)
    assert agreement(table, clusters, 1, n_resamples=100) == found


def test_clusters_widen_the_interval_of_what_they_share():
    rng = np.random.default_rng(8)
    table, clusters = noisy_table(rng, n_clusters=30, cluster_sd=0)
    table[:, 0] = np.clip(table[:, 0] + np.repeat(rng.integers(-2, 3, 30), 6), 1, 10)
    by_guideline = agreement(table, clusters, 1).mean_difference
    by_item = agreement(table, [str(i) for i in range(len(table))], 1).mean_difference

    assert by_guideline.high - by_guideline.low > 1.5 * (by_item.high - by_item.low)


def test_the_interval_covers_the_icc_it_was_drawn_from():
    """Variances 1 between guidelines, 1 between items, 1 of error: ICC 2/3. 300 runs of 40 guidelines."""
    rng, hits = np.random.default_rng(9), 0
    for seed in range(300):
        level = np.repeat(rng.normal(0, 1, 40), 5) + rng.normal(0, 1, 200)
        table = np.clip(5.5 + 0.8 * (level[:, None] + rng.normal(0, 1, (200, 2))), 1, 10)
        e = agreement(table, [f"{i // 5:02}" for i in range(200)], seed, n_resamples=200).icc_single
        hits += e.low <= 2 / 3 <= e.high

    assert 0.91 <= hits / 300 <= 0.985


@pytest.mark.parametrize(
    ("table", "clusters", "message"),
    [
        ([[1], [2]], ["a", "b"], "at least two judges"),
        ([1, 2], ["a", "b"], "at least two judges"),
        ([[1, 2]], ["a", "b"], "got 2 for 1"),
        ([[1, 11]], ["a"], "11 lies outside the categories 1 to 10"),
        ([[1, np.inf]], ["a"], "infinite"),
    ],
)
def test_refuses_what_is_no_table_of_scores(table, clusters, message):
    with pytest.raises(ValueError, match=message):
        agreement(table, clusters, 1)


@pytest.mark.parametrize("wrong", [{"n_resamples": 0}, {"confidence": 0.0}, {"confidence": 1.0}])
def test_refuses_no_resamples_and_impossible_confidence(wrong):
    with pytest.raises(ValueError, match="need n_resamples >= 1 and 0 < confidence < 1"):
        agreement([[1, 2], [3, 4]], ["a", "b"], 1, **wrong)


def test_spearman_brown_forward_and_back():
    # Method's own figures: a two-judge mean of .75, .80, .90 needs .60, .667, .818.
    assert [round(needed_reliability(r, 2), 3) for r in (0.75, 0.8, 0.9)] == [0.6, 0.667, 0.818]
    assert spearman_brown(needed_reliability(0.8, 3), 3) == pytest.approx(0.8)
    assert spearman_brown(-1, 2) is None
    with pytest.raises(ValueError, match=r"reliability=1\.2"):
        spearman_brown(1.2, 2)
    assert needed_reliability(0.8, 1) == pytest.approx(0.8)
    assert needed_reliability(0.8, 0.5) == pytest.approx(spearman_brown(0.8, 2))
    with pytest.raises(ValueError, match="k"):
        spearman_brown(0.5, 0)
    with pytest.raises(ValueError, match="k > 0, got 0"):
        needed_reliability(0.5, 0)


@given(st.lists(st.tuples(scores, scores, st.integers(1, 4)), min_size=4, max_size=30))
def test_partial_correlation_equals_the_formula(rows):
    first, second, given_ = np.array(rows).T
    found = partial_correlation(first, second, given_, kind="pearson")
    if found is None or min(map(np.ptp, (first, second, given_))) == 0:
        return
    (_, ab, ag), (_, _, bg), _ = np.corrcoef([first, second, given_])

    assert found == pytest.approx((ab - ag * bg) / np.sqrt((1 - ag**2) * (1 - bg**2)), abs=1e-6)


def test_partial_correlation_sees_through_the_label_and_knows_its_limits():
    label = np.repeat([1, 5, 9], 4)
    wiggle, other = np.tile([-1, 1, -1, 1], 3) / 4, np.tile([-1, -1, 1, 1], 3) / 4

    assert partial_correlation(label + wiggle, label + other, label, kind="pearson") == pytest.approx(0, abs=1e-12)
    assert partial_correlation(label + wiggle, label + wiggle, label) == pytest.approx(1)
    assert partial_correlation(label, label + wiggle, label) is None
    assert partial_correlation([1] * 5, [1, 2, 3, 4, 5], [1, 2, 1, 2, 1]) is None
    assert partial_correlation([1, 2, 3, NAN], [1, 2, 3, 4], [1, 2, 2, 1]) is None


def test_rounding_brings_no_correlation_beyond_one():
    """A line's correlation comes out as 1.0000000000000002 for a quarter of these."""
    for seed in range(30):
        x = np.random.default_rng(seed).normal(size=8)
        found = [partial_correlation(x, slope * x, np.ones(8), kind="pearson") for slope in (3, -3)]
        assert found == pytest.approx([1, -1])
        assert (max(found) <= 1, min(found) >= -1) == (True, True)


def test_intervals_rest_on_two_thousand_replicates_unless_told():
    assert agreement(*noisy_table(np.random.default_rng(1)), 1).icc_single.n_resamples == 2000
