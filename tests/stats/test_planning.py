import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from jmedethic_plugin.stats.intervals import exact_bound
from jmedethic_plugin.stats.planning import (
    achievable_margin,
    allowed_failures,
    conversations_needed,
    detectable_difference,
    pairs_needed,
    power_of_gate,
)


@pytest.mark.parametrize(
    ("discordant", "needed"),
    [(0.05, (773, 344, 124)), (0.10, (1546, 687, 248)), (0.20, (3092, 1374, 495))],  # method.md B-31
)
def test_pairs_needed_are_those_of_the_table(discordant, needed):
    assert tuple(pairs_needed(margin, discordant) for margin in (0.02, 0.03, 0.05)) == needed


@given(st.integers(1, 5000), st.floats(0.001, 1), st.floats(1, 8))
def test_the_achievable_margin_needs_no_more_pairs_than_there_are(n, discordant, design_effect):
    margin = achievable_margin(n, discordant, design_effect=design_effect)

    assert pairs_needed(margin * (1 + 1e-9), discordant, design_effect=design_effect) <= n
    assert pairs_needed(margin * 0.99, discordant, design_effect=design_effect) > n


def test_469_pairs_carry_three_points_at_the_stated_design_effect():
    assert pairs_needed(0.03, 0.05, design_effect=1.36) <= 469 < pairs_needed(0.03, 0.05, design_effect=1.37)  # method.md B-31


@pytest.mark.parametrize(("difference", "needed"), [(0.05, (1396, 698, 454)), (0.03, (3876, 1938, 1260))])  # method.md B-45
def test_conversations_needed_are_millers(difference, needed):
    assert tuple(conversations_needed(difference, repeats=k) for k in (1, 3, 10)) == needed


def test_the_detectable_difference_is_millers_at_a_half_and_smaller_near_the_ends():
    assert detectable_difference(698, 0.5, repeats=3) == pytest.approx(0.05, rel=1e-3)
    assert detectable_difference(1396, 0.5) == pytest.approx(0.05, rel=1e-3)
    assert detectable_difference(698, 0.9, repeats=3) == pytest.approx(0.05 * 0.6, rel=1e-3)  # sqrt(.9 x .1) against sqrt(.5 x .5)
    assert detectable_difference(698, 0.5, repeats=3, design_effect=4) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize(
    ("n", "bound", "failures"),
    [
        (469, 0.90, 35), (469, 0.95, 15), (469, 0.98, 4), (469, 0.99, 0), (67, 0.90, 2), (67, 0.95, 0), (67, 0.98, None),
        (1407, 0.95, 56), (1407, 0.98, 19), (1407, 0.99, 7),  # method.md B-12
        (201, 0.95, 4), (201, 0.90, 12), (335, 0.95, 9), (335, 0.90, 24),  # over-refusals, C-02
    ],
)  # fmt: skip
def test_allowed_failures_are_those_of_the_table(n, bound, failures):
    assert allowed_failures(n, bound) == failures


@given(st.integers(1, 300), st.floats(0.5, 0.99))
def test_one_failure_more_misses_the_bound_by_statsmodels(n, bound):
    most = allowed_failures(n, bound)
    lower = [proportion_confint(n - f, n, alpha=0.1, method="beta")[0] for f in range(n + 1)]

    assert most == (sum(low >= bound for low in lower) - 1 if lower[0] >= bound else None)


def test_a_bound_met_exactly_is_met():
    at = exact_bound(60, 64, "lower")

    assert (allowed_failures(64, at), allowed_failures(64, math.nextafter(at, 1))) == (4, 3)


def test_power_with_resemblance_by_hand():
    """Four outcomes at a half with design effect 2: rates are uniform, so that every number of failures is as likely."""
    most = allowed_failures(4, 0.05, design_effect=2)

    assert 0 < most < 4
    assert power_of_gate(0.5, 4, 0.05, design_effect=2) == pytest.approx((most + 1) / 5)


def test_resemblance_allows_fewer_failures():
    allowed = [allowed_failures(469, 0.95, design_effect=d) for d in (1, 1.5, 2, 3, 5)]

    assert allowed == sorted(allowed, reverse=True)
    assert allowed[2] < allowed[0]


@pytest.mark.parametrize("n", [1, 2, 3, 10, 469])
def test_a_bound_of_nothing_allows_every_failure(n):
    assert allowed_failures(n, 0.0) == n


def test_power_without_resemblance_is_binomial():
    assert power_of_gate(0.97, 469, 0.95) == pytest.approx(binom.cdf(15, 469, 0.03))


@pytest.mark.parametrize(("true_rate", "expected"), [(1, 1), (0, 0)])
def test_power_at_the_ends(true_rate, expected):
    assert power_of_gate(true_rate, 469, 0.95, design_effect=2) == expected
    assert power_of_gate(true_rate, 67, 0.98, design_effect=2) == 0


@pytest.mark.parametrize(("true_rate", "total", "design_effect"), [(0.93, 5, 2), (0.96, 5, 2), (0.98, 5, 2), (0.96, 2, 3)])
def test_power_is_that_of_guidelines_with_rates_of_their_own(true_rate, total, design_effect):
    """Failures of 67 guidelines of 7 whose rates are beta with ICC 1 / (total + 1), a design effect of 1 + 6 ICC."""
    rng = np.random.default_rng([3, round(true_rate * 100)])
    failures = rng.binomial(7, rng.beta((1 - true_rate) * total, true_rate * total, (20_000, 67))).sum(axis=1)

    simulated = np.mean(failures <= allowed_failures(469, 0.95, design_effect=design_effect))
    assert power_of_gate(true_rate, 469, 0.95, design_effect=design_effect) == pytest.approx(simulated, abs=0.02)
