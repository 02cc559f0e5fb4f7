import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, norm, t

from jmedethic_plugin.stats.intervals import clustered_bound
from jmedethic_plugin.stats.monotone import monotone_lower_bound

GUIDELINES = [f"g{i // 7}" for i in range(469)]
rows = st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh")), min_size=1, max_size=60)


@given(rows, st.data())
def test_one_more_failure_never_raises_it(found, data):
    values, clusters = map(list, zip(*found, strict=True))
    before = monotone_lower_bound(values, clusters)
    place = data.draw(st.integers(0, len(values) - 1))
    values[place] = False

    assert monotone_lower_bound(values, clusters) <= before


def test_the_plain_clustered_bound_can_rise_with_a_failure():
    """Why there is a second bound: five failures of one guideline, then a sixth in another one."""
    crowded = [0.0] * 5 + [1.0] * 464
    spread = [0.0] * 5 + [1.0] * 2 + [0.0] + [1.0] * 461

    assert clustered_bound(spread, GUIDELINES, "lower") > clustered_bound(crowded, GUIDELINES, "lower")
    assert monotone_lower_bound(spread, GUIDELINES) <= monotone_lower_bound(crowded, GUIDELINES)


def test_never_above_the_clustered_bound_with_equal_clusters():
    rng = np.random.default_rng(7)
    for rate in (0.5, 0.8, 0.93, 0.97, 1.0):
        for _ in range(20):
            p = rng.beta(rate * 4 + 1e-9, (1 - rate) * 4 + 1e-9, 67)
            values = (rng.random(469) < np.repeat(p, 7)).tolist()
            assert monotone_lower_bound(values, GUIDELINES) <= clustered_bound([float(v) for v in values], GUIDELINES, "lower") + 1e-12


@pytest.mark.parametrize(("failures", "expected"), [(0, 0.98694), (469, 0.0)])
def test_ends(failures, expected):
    values = [False] * failures + [True] * (469 - failures)

    assert monotone_lower_bound(values, GUIDELINES) == pytest.approx(expected, abs=1e-5)


def bound_over_every_outcome(failures, size):
    """The same by definition: the smallest bound over every number of failures each guideline could keep, guidelines equally large."""
    n_guidelines = len(failures)
    n = n_guidelines * size
    worth = (norm.ppf(0.95) / t.ppf(0.95, n_guidelines - 1)) ** 2
    bounds = []
    for kept in itertools.product(*(range(k + 1) for k in failures)):
        outcomes = np.array([[0.0] * k + [1.0] * (size - k) for k in kept])
        icc, n_failures, n_touched = 1 / 6, sum(kept), sum(k > 0 for k in kept)
        if 0 < n_failures < n:
            between = size * outcomes.mean(axis=1).var(ddof=1)
            within = outcomes.var(axis=1, ddof=1).mean()
            seen = max(0.0, (between - within) / (between + (size - 1) * within))
            icc = max(seen, (n_touched * seen + 5 / 6) / (n_touched + 5))
        n_eff = n * worth / (1 + (size - 1) * icc)
        hits = n_eff * (n - n_failures) / n
        bounds.append(0.0 if hits == 0 or n_eff < 1 else beta.ppf(0.05, hits, n_eff - hits + 1))
    return min(bounds)


@pytest.mark.parametrize(
    ("failures", "size"),
    [
        ((0, 0, 0, 0), 3), ((1, 0, 0, 0, 0, 0), 4), ((1, 1, 1, 1, 1, 0), 3), ((4, 0, 0, 0, 0, 0, 0), 4), ((3, 2, 2, 1, 0), 4),
        ((0, 1, 3, 0, 2, 0, 0, 0), 3), ((3, 3, 3), 3), ((2, 2, 2, 2, 2, 2, 2), 2), ((1, 2), 40),
    ],
)  # fmt: skip
def test_equals_the_smallest_bound_over_every_outcome(failures, size):
    values = [i >= k for k in failures for i in range(size)]
    clusters = [f"g{g}" for g in range(len(failures)) for _ in range(size)]

    assert monotone_lower_bound(values, clusters) == pytest.approx(bound_over_every_outcome(failures, size), abs=1e-12)


def test_one_guideline_alone_by_hand():
    # The planning ICC: a design effect of 1 + 9/6, so 4 observations; without a failure the bound is the fourth root.
    assert monotone_lower_bound([True] * 10, ["a"] * 10) == pytest.approx(0.05**0.25)
    assert monotone_lower_bound([True], ["a"]) == pytest.approx(0.05)  # worth exactly one observation


def test_failures_that_fill_a_large_guideline_resemble_each_other_wholly():
    # Ten failures in the guideline of ten, none in nine of one: nothing varies within, so ICC 1 and the mean size is the design effect.
    size = 109 / 19
    n_eff = 19 * (norm.ppf(0.95) / t.ppf(0.95, 9)) ** 2 / size
    hits = n_eff * 9 / 19

    found = monotone_lower_bound([False] * 10 + [True] * 9, ["a"] * 10 + list("bcdefghij"))

    assert found == pytest.approx(beta.ppf(0.05, hits, n_eff - hits + 1))


def test_covers_the_planted_rate_as_often_as_it_says():
    rng, misses, n_runs = np.random.default_rng(11), 0, 1000
    for _ in range(n_runs):
        logit = rng.normal(3.6, 1.5, 67)
        p = 1 / (1 + np.exp(-logit))
        values = (rng.random(469) < np.repeat(p, 7)).tolist()
        true = 0.9391  # mean of the logistic-normal above, by 3 million draws
        misses += monotone_lower_bound(values, GUIDELINES) > true

    assert misses / n_runs <= 0.07  # nominal .05; 1,000 runs leave 1.4 points to chance


@pytest.mark.parametrize(("values", "clusters"), [([], []), ([True], ["a", "b"])])
def test_refuses_rows_without_a_cluster(values, clusters):
    with pytest.raises(ValueError, match="one cluster"):
        monotone_lower_bound(values, clusters)
