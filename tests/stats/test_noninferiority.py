import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.weightstats import DescrStatsW

from jmedethic_plugin.stats.intervals import exact_mcnemar
from jmedethic_plugin.stats.noninferiority import noninferiority

GUIDELINES = [f"g{i // 7}" for i in range(469)]


def drawn(seed, worse, better, n=469):
    """Two runs whose pairs differ so often."""
    u = np.random.default_rng(seed).random(n)
    return (u >= worse).astype(float), ((u < worse) | (u < 1 - better)).astype(float)


def test_with_many_differences_the_bound_is_the_t_bound_over_guideline_means():
    loss = np.repeat(np.random.default_rng(1).beta(1, 3, 67), 7)  # guidelines differ
    candidate, baseline = drawn(1, loss, 0.25)
    means = (candidate - baseline).reshape(67, 7).mean(axis=1)
    by_statsmodels = DescrStatsW(means)

    found = noninferiority(candidate, baseline, GUIDELINES, margin=0.03)

    assert found.estimate.point == pytest.approx(means.mean())
    assert found.lower == pytest.approx(by_statsmodels.tconfint_mean(alpha=0.10)[0], abs=1e-3)
    assert found.lower <= by_statsmodels.tconfint_mean(alpha=0.10)[0] + 1e-12
    low, high = by_statsmodels.tconfint_mean(alpha=0.05)
    assert found.estimate.low <= low + 1e-12
    assert high - 1e-12 <= found.estimate.high
    assert (found.n_pairs, found.n_guidelines) == (469, 67)


def test_mcnemar_is_that_of_statsmodels():
    candidate, baseline = drawn(2, 0.05, 0.02)
    only_baseline, only_candidate = int(((candidate == 0) & (baseline == 1)).sum()), int(((candidate == 1) & (baseline == 0)).sum())

    found = noninferiority(candidate, baseline, GUIDELINES, margin=0.03)

    assert found.n_discordant == only_baseline + only_candidate > 0
    assert found.mcnemar_p == pytest.approx(mcnemar([[0, only_candidate], [only_baseline, 0]], exact=True).pvalue)


@pytest.mark.parametrize(("only_first", "only_second"), [(1, 9), (0, 1), (4, 4), (12, 3)])
def test_exact_mcnemar_equals_twice_the_binomial_tail(only_first, only_second):
    fewer, n = min(only_first, only_second), only_first + only_second
    tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n

    assert exact_mcnemar(only_first, only_second) == pytest.approx(min(1.0, 2 * tail))


def test_exact_mcnemar_without_a_discordant_pair_is_one():
    assert exact_mcnemar(0, 0) == 1.0


def restricted_likelihood_bound(better, worse, n, z):
    """Tango's bound from its definition: the variance at the shares that are likeliest if the difference is delta."""

    def excess(delta):
        def minus_log_likelihood(loss):
            gain, same = loss + delta, 1 - 2 * loss - delta
            return -sum(count * math.log(max(share, 1e-300)) for count, share in ((better, gain), (worse, loss), (n - better - worse, same)) if count)

        loss = minimize_scalar(minus_log_likelihood, bounds=(max(0, -delta), (1 - delta) / 2), method="bounded", options={"xatol": 1e-12}).x
        return (better - worse) / n - delta - z * math.sqrt((2 * loss + delta - delta**2) / n)

    return brentq(excess, -0.9999, (better - worse) / n - 1e-9)


@pytest.mark.parametrize(("better", "worse"), [(0, 3), (1, 6), (4, 4), (0, 12)])
def test_with_few_differences_the_bound_is_tangos(better, worse):
    """One pair to a guideline, so that there are no clusters; t at 199 degrees of freedom."""
    d = np.zeros(200)
    d[:better], d[better : better + worse] = 1, -1

    found = noninferiority((d >= 0).astype(float), (d <= 0).astype(float), [str(i) for i in range(200)], margin=0.03)

    assert found.lower == pytest.approx(restricted_likelihood_bound(better, worse, 200, 1.65255), abs=2e-5)
    assert found.estimate.n_eff == pytest.approx(200)


def test_equal_runs_leave_a_loss_open_that_shrinks_with_the_number_of_pairs():
    same = noninferiority([1.0] * 469, [1.0] * 469, GUIDELINES, margin=0.03)
    few = noninferiority([1.0] * 67, [1.0] * 67, GUIDELINES[::7], margin=0.03)

    t2 = 1.66827**2  # no pair differs: the bound x solves x = t sqrt(x (1 - x) / n)
    assert same.lower == pytest.approx(-t2 / (469 / 2 + t2), abs=1e-6)
    assert (same.noninferior, same.mcnemar_p, same.estimate.point) == (True, 1.0, 0.0)
    assert few.lower == pytest.approx(-t2 / (67 + t2), abs=1e-6)
    assert not few.noninferior
    assert not noninferiority([0.0] * 469, [0.0] * 469, GUIDELINES, margin=0.01).noninferior


def test_one_more_loss_never_raises_the_bound():
    lower = []
    for k in range(12):
        candidate = [float(not (i % 7 == 3 and i // 7 < k)) for i in range(469)]
        lower.append(noninferiority(candidate, [1.0] * 469, GUIDELINES, margin=0.03).lower)

    assert lower == sorted(lower, reverse=True)


def test_a_bound_at_the_margin_is_not_enough():
    candidate, baseline = drawn(3, 0.04, 0.02)
    margin = -noninferiority(candidate, baseline, GUIDELINES, margin=0.5).lower

    assert not noninferiority(candidate, baseline, GUIDELINES, margin=margin).noninferior
    assert noninferiority(candidate, baseline, GUIDELINES, margin=math.nextafter(margin, 1)).noninferior


def test_total_loss_and_total_gain():
    lost, won = (noninferiority([x] * 469, [1 - x] * 469, GUIDELINES, margin=0.03) for x in (0.0, 1.0))

    assert (lost.lower, lost.estimate.low, lost.noninferior) == (-1, -1, False)
    assert won.estimate.high == 1
    assert 0.95 < won.lower < 1
    assert won.noninferior


def test_repeats_as_means():
    thirds = [1 / 3, 2 / 3, 1.0, 1.0, 1.0, 1.0, 1.0] * 67
    steady = noninferiority(thirds, [1 / 3, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0] * 67, GUIDELINES, margin=0.1)

    assert (steady.mcnemar_p, steady.estimate.confidence) == (None, 0.95)
    one_sided = noninferiority(thirds, [1.0] * 469, GUIDELINES, margin=0.1), noninferiority([1.0] * 469, thirds, GUIDELINES, margin=0.1)
    assert [found.mcnemar_p for found in one_sided] == [None, None]
    assert steady.n_discordant == 67
    assert steady.estimate.point == pytest.approx(-1 / 21)
    assert steady.lower < -1 / 21 - 0.005  # every guideline lost the same: no spread between them, yet not certain


paired = st.lists(
    st.tuples(st.sampled_from([0.0, 1 / 3, 0.5, 2 / 3, 1.0]), st.sampled_from([0.0, 1 / 3, 0.5, 2 / 3, 1.0]), st.sampled_from("abcdef")),
    min_size=2, max_size=60,
).filter(lambda rows: len({g for _, _, g in rows}) > 1)  # fmt: skip


@given(paired)
def test_bounds_hold_the_point_and_mirror_when_the_runs_change_places(rows):
    candidate, baseline, clusters = zip(*rows, strict=True)
    found = noninferiority(candidate, baseline, clusters, margin=0.03)
    mirrored = noninferiority(baseline, candidate, clusters, margin=0.03)

    assert -1 <= found.estimate.low <= found.lower <= found.estimate.point + 1e-12
    assert found.estimate.point - 1e-12 <= found.estimate.high <= 1
    assert found.estimate.low == pytest.approx(-mirrored.estimate.high, abs=1e-9)
    assert found.noninferior == (found.lower > -0.03)
    assert found.n_discordant == sum(abs(a - b) > 1e-9 for a, b in zip(candidate, baseline, strict=True))
    again = noninferiority(candidate[::-1], baseline[::-1], clusters[::-1], margin=0.03)
    assert again.lower == pytest.approx(found.lower, abs=1e-9)


@given(paired, st.floats(0.01, 0.45), st.floats(0.01, 0.9))
def test_a_stricter_error_lowers_the_bound(rows, alpha, less):
    candidate, baseline, clusters = zip(*rows, strict=True)
    strict, loose = (noninferiority(candidate, baseline, clusters, margin=0.03, alpha=a).lower for a in (alpha * less, alpha))

    assert strict <= loose + 1e-9


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"clusters": ["a", "a"]}, "two guidelines, got 1"),
        ({"clusters": ["a"]}, "1 clusters"),
        ({"baseline": [1.0]}, "one outcome of each run"),
        ({"candidate": [1.5, 0.0]}, "between 0 and 1"),
        ({"baseline": [float("nan"), 0.0]}, "between 0 and 1"),
        ({"margin": 0.0}, "margin=0.0"),
        ({"margin": 1.0}, "margin=1.0"),
        ({"alpha": 0.5}, "alpha=0.5"),
        ({"alpha": 0.0}, "alpha=0.0"),
        ({"candidate": [], "baseline": [], "clusters": []}, "two guidelines, got 0"),
    ],
)
def test_refuses_what_cannot_be_compared(wrong, told):
    given_ = {"candidate": [1.0, 0.0], "baseline": [1.0, 1.0], "clusters": ["a", "b"], "margin": 0.03} | wrong

    with pytest.raises(ValueError, match=told):
        noninferiority(**given_)
