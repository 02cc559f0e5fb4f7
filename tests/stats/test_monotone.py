import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
