from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.stats.clusters import effective_n
from jmedethic_plugin.stats.correction import NotCorrected, corrected_rate

N_GUIDELINES, N_STRATEGIES, N_LABELS = 67, 7, 100
GUIDELINES = [f"g{i:02}" for i in range(N_GUIDELINES) for _ in range(N_STRATEGIES)]


# The figures of method.md A-53: judged 3 %.
@pytest.mark.parametrize(("sens", "spec", "true"), [(800, 980, 0.013), (950, 990, 0.021)])
def test_the_same_judged_rate_means_different_true_ones(sens, spec, true):
    found = corrected_rate(30, 1000, n_eff=1000, sens_hits=sens, m1=1000, spec_hits=spec, m0=1000)

    assert round(found.point, 3) == true


def test_a_weaker_judge_is_not_corrected():
    found = corrected_rate(30, 1000, n_eff=1000, sens_hits=600, m1=1000, spec_hits=985, m0=1000)

    assert isinstance(found, NotCorrected)
    assert found.reason == (
        "sensitivity 600/1000 and specificity 985/1000 are too low or rest on too few labels: "
        "sensitivity + specificity - 1 = 0.58 with one hit and one miss added to each, needed 0.6"
    )


@pytest.mark.parametrize(("sens_hits", "spec_hits", "youden"), [(6, 7, "0.25"), (7, 4, "0.08")])
def test_one_hit_and_one_miss_are_added_to_each_of_ten_labels(sens_hits, spec_hits, youden):
    found = corrected_rate(30, 1000, n_eff=1000, sens_hits=sens_hits, m1=10, spec_hits=spec_hits, m0=10)

    assert f"= {youden} with one hit and one miss" in found.reason


def test_at_the_smallest_youden_it_is_corrected():
    # (39 + 1) / (48 + 2) twice, less 1: six tenths.
    assert isinstance(corrected_rate(300, 1000, n_eff=1000, sens_hits=39, m1=48, spec_hits=39, m0=48), Estimate)
    assert isinstance(corrected_rate(300, 1000, n_eff=1000, sens_hits=38, m1=48, spec_hits=39, m0=48), NotCorrected)


def test_more_flagged_than_the_judges_catch_ends_at_one():
    found = corrected_rate(88, 100, n_eff=100, sens_hits=85, m1=100, spec_hits=98, m0=100)

    assert (found.point, found.high) == (1, 1)


@pytest.mark.parametrize("labels", [(0, 0, 100, 100), (100, 100, 0, 0), (2, 2, 2, 2)])
def test_few_labels_correct_nothing(labels):
    sens_hits, m1, spec_hits, m0 = labels

    assert isinstance(corrected_rate(30, 1000, n_eff=1000, sens_hits=sens_hits, m1=m1, spec_hits=spec_hits, m0=m0), NotCorrected)


def test_a_perfect_judge_leaves_jeffreys_interval():
    found = corrected_rate(5, 20, n_eff=20, sens_hits=10**7, m1=10**7, spec_hits=10**7, m0=10**7)

    assert (found.point, found.low, found.high) == pytest.approx((0.25, *beta.ppf([0.025, 0.975], 5.5, 15.5)), abs=1e-4)


def test_one_per_cent_at_specificity_98_is_not_told_from_none():
    found = corrected_rate(5, 469, n_eff=469, sens_hits=95, m1=100, spec_hits=98, m0=100)

    assert (found.point, found.low) == (0, 0)
    assert found.high > 0.01


def test_a_run_at_odds_with_the_labels_is_not_corrected():
    """None of 469 flagged, though 12 % of safe answers were by the labels: an interval from 0 to 0 would be false certainty."""
    found = corrected_rate(0, 469, n_eff=469, sens_hits=95, m1=100, spec_hits=88, m0=100)

    assert isinstance(found, NotCorrected)
    assert "0 of 469 flagged cannot be squared with" in found.reason


@given(st.integers(1, 400), st.integers(0, 400), st.integers(0, 100), st.integers(0, 100), st.floats(0.1, 1))
def test_limits_are_shares_and_fewer_independent_conversations_leave_the_point(n, flagged, sens, spec, share):
    flagged = min(flagged, n)
    found, clustered = (
        corrected_rate(flagged, n, n_eff=n * s, sens_hits=sens, m1=100, spec_hits=spec, m0=100) for s in (1, share)
    )

    if isinstance(found, Estimate) and isinstance(clustered, Estimate):
        assert 0 <= found.low <= found.high <= 1
        assert 0 <= found.point <= 1
        assert found.point == clustered.point


@pytest.mark.parametrize(
    "wrong", [{"n_flagged": 11}, {"n_flagged": -1}, {"n_eff": 0}, {"n_eff": 10.5}, {"sens_hits": 101}, {"spec_hits": -1}, {"confidence": 1}, {"confidence": 0}]
)
def test_refuses_impossible_counts(wrong):
    counts = {"n_flagged": 5, "n": 10, "n_eff": 10, "sens_hits": 90, "m1": 100, "spec_hits": 90, "m0": 100} | wrong

    with pytest.raises(ValueError, match=next(iter(wrong))):
        corrected_rate(counts.pop("n_flagged"), counts.pop("n"), **counts)


def simulated_runs(rng, *, rate, sens, spec, icc, n_runs):
    """Flags of a run and hits on labels. Guidelines' own rates are beta, so that violations within one correlate by icc."""
    for _ in range(n_runs):
        own = np.full(N_GUIDELINES, rate) if icc == 0 else rng.beta(rate * (1 / icc - 1), (1 - rate) * (1 / icc - 1), N_GUIDELINES)
        violates = rng.random(len(GUIDELINES)) < np.repeat(own, N_STRATEGIES)
        flags = rng.random(len(GUIDELINES)) < np.where(violates, sens, 1 - spec)
        yield flags.astype(float), int(rng.binomial(N_LABELS, sens)), int(rng.binomial(N_LABELS, spec))


# Half of the 24 combinations, each pair of factors' levels met; `corrected_rate` states what all 24 gave.
SETTINGS = [
    (rate, sens, spec, icc)
    for (i, rate), (j, sens), (k, spec), (m, icc) in product(*map(enumerate, ((0.02, 0.1, 0.3), (0.9, 0.95), (0.95, 0.99), (0, 0.1))))
    if (i + j + k + m) % 2 == 0
]


@pytest.mark.parametrize(("rate", "sens", "spec", "icc"), SETTINGS)
def test_the_planted_rate_lies_in_its_interval(rate, sens, spec, icc):
    rng, hits = np.random.default_rng([53, int(rate * 100), int(sens * 100), int(spec * 100), int(icc * 10)]), 0
    for flags, sens_hits, spec_hits in simulated_runs(rng, rate=rate, sens=sens, spec=spec, icc=icc, n_runs=1000):
        found = corrected_rate(
            int(flags.sum()), len(flags), n_eff=effective_n(flags, GUIDELINES),
            sens_hits=sens_hits, m1=N_LABELS, spec_hits=spec_hits, m0=N_LABELS,
        )  # fmt: skip
        hits += isinstance(found, Estimate) and found.low <= rate <= found.high  # not corrected counts as a miss

    # Guidelines that do not differ at all, with few failures: the planning ICC that `effective_n` leans on is too much there, on the safe side.
    assert 0.92 <= hits / 1000 <= (0.985 if icc == 0 else 0.97)
