import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.stats import clusters as module
from jmedethic_plugin.stats.clusters import cluster_codes, effective_n, resamples, sum_by_cluster
from jmedethic_plugin.stats.intervals import clustered_bound


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from("abcdef")), min_size=1, max_size=60))
def test_never_more_than_there_are_nor_fewer_than_clusters_need(rows):
    values, clusters = zip(*rows, strict=True)
    found = effective_n(values, clusters)

    assert 0 < found <= len(values)
    assert found == effective_n(*zip(*reversed(rows), strict=True))
    assert found == pytest.approx(effective_n([1 - v for v in values], clusters))


def test_equal_outcomes_within_guidelines_leave_as_many_as_guidelines():
    assert effective_n([0, 0, 0, 1, 1, 1], "aaabbb") == pytest.approx(2)


def test_unequal_sizes_by_hand():
    # Sizes 2 and 4, hits 2 and 1: within (4 - 1) x 1 / 4 = 3/4 over 4; between 2 x 1/4 + 4 x 1/16 = 3/4 over 1; size for the ICC
    # 6 - 20/6 = 8/3, weighted size 20/6.
    within, between = 3 / 16, 3 / 4
    icc = (between - within) / (between + (8 / 3 - 1) * within)

    assert effective_n([1, 1, 1, 0, 0, 0], "aabbbb") == pytest.approx(6 / (1 + (20 / 6 - 1) * icc))


@pytest.mark.parametrize(
    ("values", "clusters", "expected"),
    [
        ([0] * 469, [str(i // 7) for i in range(469)], 234.5),  # no failure: the planning value
        ([0, 1, 0, 1], "aaaa", 4 / (1 + 3 / 6)),
        ([0, 0, 0], "aab", 3 / (1 + (5 / 3 - 1) / 6)),  # weighted size 5/3
        ([1, 1, 0], "abc", 3),
        ([1, 0, 1, 0], "aabb", 4 / (1 + 5 / 6 / 7)),  # ICC 0 of two, 1/6 of five
    ],
)
def test_where_the_values_do_not_tell(values, clusters, expected):
    assert effective_n(values, list(clusters)) == pytest.approx(expected)


def test_another_failure_never_promises_more():
    guidelines = [str(i // 7) for i in range(469)]
    found = [effective_n([float(i % 7 == 0 and i // 7 < k) for i in range(469)], guidelines) for k in range(20)]

    assert found == sorted(found)
    bounds = [clustered_bound([float(i % 7 == 0 and i // 7 < k) for i in range(469)], guidelines, "upper") for k in range(20)]
    assert bounds == sorted(bounds)


def test_recovers_a_planted_design_effect():
    rng, found = np.random.default_rng(4), []
    for _ in range(200):
        rates = rng.beta(0.3 * 9, 0.7 * 9, 67)  # ICC .1
        found.append(469 / effective_n((rng.random(469) < np.repeat(rates, 7)).astype(float), [str(i // 7) for i in range(469)]))

    assert np.mean(found) == pytest.approx(1.6, abs=0.05)


@pytest.mark.parametrize(("values", "clusters"), [([], []), ([0.5], ["a"]), ([1, 0], ["a"]), ([[1, 0]], ["a"]), ([float("nan")], ["a"])])
def test_refuses_what_is_not_an_outcome_per_observation(values, clusters):
    with pytest.raises(ValueError, match="0 or 1"):
        effective_n(values, clusters)


def test_sums_over_clusters_keep_the_columns():
    codes, n_clusters = cluster_codes(["b", "a", "b"])

    assert sum_by_cluster(np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]]), codes, n_clusters).tolist() == [[2, 20], [5, 50]]
    assert sum_by_cluster(np.array([1.0, 2.0, 4.0]), codes, n_clusters).tolist() == [2, 5]


def test_resamples_draw_as_many_clusters_as_there_are_whatever_the_block(monkeypatch):
    def drawn():
        return list(resamples(4, n_resamples=2000, rng=np.random.default_rng(3)))

    (whole,) = drawn()
    monkeypatch.setattr(module, "_BLOCK_CELLS", 2800)
    blocks = drawn()

    assert [len(block) for block in blocks] == [700, 700, 600]
    assert np.array_equal(np.concatenate(blocks), whole)
    assert set(whole.sum(axis=1)) == {4}
    assert whole.mean(axis=0) == pytest.approx(np.ones(4), abs=0.08)  # four standard errors: variance 3/4 over 2,000
    assert whole.var(axis=0) == pytest.approx(np.full(4, 0.75), abs=0.1)
