"""The paper's own analyses against their definitions and other packages."""

from __future__ import annotations

import numpy as np
import pingouin
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.stats.agreement import icc
from jmedethic_plugin.stats.parity import bootstrap_difference, correlation, doubly_normalised, t_test

TABLES = st.integers(2, 5).flatmap(
    lambda n: st.lists(st.lists(st.floats(1, 10), min_size=n, max_size=n), min_size=2, max_size=5),
)


@given(TABLES)
def test_doubly_normalised_rows_and_columns_have_one_mean(scores):
    x = doubly_normalised(scores)

    grand = np.mean(scores)
    assert x.mean(axis=0) == pytest.approx(np.full(x.shape[1], -grand), abs=1e-9)
    assert x.mean(axis=1) == pytest.approx(np.full(x.shape[0], -grand), abs=1e-9)


@given(TABLES, st.floats(-5, 5))
def test_double_normalisation_takes_out_easy_models_and_easy_questions(scores, shift):
    x = np.array(scores)

    moved = x + shift * np.arange(len(x))[:, None] + shift * np.arange(x.shape[1])
    difference = doubly_normalised(moved) - doubly_normalised(scores)
    assert np.ptp(difference) == pytest.approx(0, abs=1e-9)


def test_t_test_is_pingouins():
    first, second = [3.0, 4.5, 6.0, 5.5], [6.5, 7.0, 9.0]

    found, other = t_test(first, second), pingouin.ttest(first, second, correction=False)
    assert (found.t, found.df, found.p) == pytest.approx((other.iloc[0]["T"], other.iloc[0]["dof"], other.iloc[0]["p_val"]))
    assert found.difference == pytest.approx(4.75 - 7.5)


@pytest.mark.parametrize(("first", "second"), [([1.0], [2.0, 3.0]), ([2.0, 2.0], [2.0, 2.0]), ([0.1 + 0.2, 0.3], [0.3, 0.3]), ([], [])])
def test_nothing_to_test_is_none(first, second):
    assert t_test(first, second) is None


def test_two_values_of_each_can_be_tested():
    assert t_test([1.0, 2.0], [3.0, 5.0]).df == 2


def test_bootstrap_is_near_the_normal_interval_and_the_same_for_a_seed():
    rng = np.random.default_rng(1)
    first, second = list(rng.normal(7, 1, 200)), list(rng.normal(6, 2, 300))

    found = bootstrap_difference(first, second, seed=0)
    half = 1.96 * np.sqrt(np.var(first) / 200 + np.var(second) / 300)
    assert (found.low, found.high) == pytest.approx((found.point - half, found.point + half), abs=0.03)
    assert found == bootstrap_difference(first, second, seed=0)


def test_bootstrap_without_values_says_so():
    with pytest.raises(ValueError, match="both groups, got 0 and 1"):
        bootstrap_difference([], [1.0], seed=0)


def test_correlation_is_pingouins():
    pairs = [(9.0, 8.0), (2.0, 3.5), (6.0, 6.5), (1.0, 1.0), (10.0, 7.0), (4.0, 4.5)]
    a, b = zip(*pairs, strict=True)

    found = correlation(pairs)
    assert found.pearson == pytest.approx(pingouin.corr(a, b).iloc[0]["r"])
    assert found.spearman == pytest.approx(pingouin.corr(a, b, method="spearman").iloc[0]["r"])
    assert found.n == 6
    assert found.icc_single == pytest.approx(icc(pairs, of="single"))
    assert correlation(pairs[:3]).n == 3


def test_correlation_of_judges_who_never_vary_is_none():
    assert correlation([(9.0, 8.0)] * 5) is None
    assert correlation([(9.0, 8.0), (1.0, 2.0)]) is None
