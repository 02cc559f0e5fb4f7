from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.stats.intervals import clustered_interval
from jmedethic_plugin.stats.paired import mean_difference
from jmedethic_plugin.stats.repeats import flip_share, pass_hat_k, repeat_table, worst_of_k

outcome_tables = st.lists(
    st.tuples(st.lists(st.sampled_from([True, False, None]), max_size=5), st.sampled_from("abc")), min_size=1, max_size=15
).map(lambda rows: tuple(zip(*rows, strict=True)))


@given(outcome_tables, st.integers(1, 4))
def test_pass_hat_k_is_the_share_of_safe_choices_of_k(table, k):
    outcomes, clusters = table
    chances = {}
    for row, cluster in zip(outcomes, clusters, strict=True):
        if choices := list(combinations([o for o in row if o is not None], k)):
            chances.setdefault(cluster, []).append(sum(map(all, choices)) / len(choices))
    values = [v for of_cluster in chances.values() for v in of_cluster]

    found = pass_hat_k(outcomes, clusters, k)

    if set(values) <= {0.0, 1.0}:
        assert (found is None) == (not values)
        assert not values or found.point == pytest.approx(np.mean(values))
    elif len(chances) == 1:
        assert found is None
    else:
        assert found.point == pytest.approx(np.mean([np.mean(v) for v in chances.values()]))
        assert 0 <= found.low <= found.point <= found.high <= 1
    assert found is None or found.n == len(values)


def test_a_table_by_hand():
    outcomes = [
        [True, True, True],
        [True, False, True],
        [True, True, None],  # not scored, does not flip
        [False, None, None],  # not scored, violated all the same
        [None, None, None],
        [False, False, False],
    ]
    table = repeat_table(outcomes, list("aabbcc"), 3)

    assert (table.n_conversations, table.n_scored, table.n_unscored, table.n_missing) == (6, 3, 3, 6)
    assert (table.pass_hat_k.point, table.pass_hat_k.n) == (pytest.approx(1 / 3), 3)
    assert (table.worst_of_k.point, table.worst_of_k.n) == (3 / 4, 4)
    assert (table.flip_share.point, table.flip_share.n) == (1 / 4, 4)
    assert (table.pass_1.point, table.pass_1.n) == (pytest.approx((5 / 6 + 1 / 2 + 0) / 3), 5)


def test_intervals_go_by_guideline():
    outcomes = [[True] * 3, [True, True, False]] * 6
    clusters = [f"g{i // 3}" for i in range(12)]

    assert pass_hat_k(outcomes, clusters, 3) == clustered_interval([1, 0] * 6, clusters)
    assert pass_hat_k(outcomes, clusters, 1) == mean_difference([1, 2 / 3] * 6, clusters)
    assert worst_of_k(outcomes, clusters, 3) == flip_share(outcomes, clusters) == clustered_interval([0, 1] * 6, clusters)


def test_two_guidelines_have_an_interval_of_a_share_and_one_has_none():
    outcomes = [[True, True], [True, False]]

    assert pass_hat_k(outcomes, ["a", "b"], 1) is not None
    assert pass_hat_k(outcomes, ["a", "a"], 1) is None


def test_a_t_interval_of_shares_ends_at_0_and_1():
    found = pass_hat_k([[True, True], [True, True], [True, False]], list("abc"), 1)

    assert (found.point, found.high) == (pytest.approx(5 / 6), 1.0)
    assert pass_hat_k([[False, False], [False, False], [True, False]], list("abc"), 1).low == 0.0


def test_two_safe_of_two_do_not_pass_three():
    outcomes = [[True, True, None]] * 4

    assert pass_hat_k(outcomes, list("aabb"), 3) is None
    assert worst_of_k(outcomes, list("aabb"), 3) is None
    assert repeat_table(outcomes, list("aabb"), 3).n_unscored == 4


@given(st.lists(st.tuples(st.lists(st.booleans(), min_size=3, max_size=3), st.sampled_from("abc")), min_size=1, max_size=15))
def test_complete_repeats_pass_all_or_have_a_worst(rows):
    outcomes, clusters = zip(*rows, strict=True)
    table = repeat_table(outcomes, clusters, 3)

    assert table.pass_hat_k.point + table.worst_of_k.point == pytest.approx(1)
    assert table.flip_share.point <= table.worst_of_k.point


@given(outcome_tables, st.data())
def test_a_lost_repeat_never_lowers_the_count_of_conversations_seen_violated_by_others(table, data):
    """Of a conversation with two violations, losing one hides nothing."""
    outcomes, clusters = [[False, False, *row] for row in table[0]], table[1]
    lost = data.draw(st.integers(0, len(outcomes) - 1))
    before = worst_of_k(outcomes, clusters, 4)

    outcomes[lost] = [None, *outcomes[lost][1:]]

    assert worst_of_k(outcomes, clusters, 4) == before


def test_one_safe_run_hides_what_ten_show():
    # method.md B-41: p = 1 % gives 9.6 % in ten runs.
    rng = np.random.default_rng(2)
    outcomes, clusters = (rng.random((4000, 10)) >= 0.01).tolist(), [f"g{i % 50}" for i in range(4000)]

    assert pass_hat_k(outcomes, clusters, 1).point == pytest.approx(0.99, abs=0.002)
    assert worst_of_k(outcomes, clusters, 10).point == pytest.approx(0.096, abs=0.012)


@pytest.mark.parametrize("measure", [pass_hat_k, worst_of_k, repeat_table])
def test_k_and_clusters_are_checked(measure):
    with pytest.raises(ValueError, match="got k=0"):
        measure([[True]], ["a"], 0)
    with pytest.raises(ValueError, match="2 for 1"):
        measure([[True]], ["a", "b"], 1)
