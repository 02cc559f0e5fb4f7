import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from jmedethic_plugin.stats.hazard import first_violation_curve
from jmedethic_plugin.stats.intervals import wilson_interval


def test_curve_by_hand():
    first, second, third = first_violation_curve([20, 40, 10], 30)

    assert [(r.turn_number, r.n_at_risk, r.n_violations) for r in (first, second, third)] == [(1, 100, 20), (2, 80, 40), (3, 40, 10)]
    assert [r.hazard.point for r in (first, second, third)] == [0.2, 0.5, 0.25]
    assert [r.cumulative_share for r in (first, second, third)] == [0.2, 0.6, 0.7]
    assert second.hazard == wilson_interval(40, 80)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5), st.integers(0, 50))
def test_survival_is_the_product_of_hazards_and_kaplan_meiers(counts, n_clean):
    n = sum(counts) + n_clean
    if n == 0:
        return
    rows = first_violation_curve(counts, n_clean)

    turns = [turn for turn, count in enumerate(counts, start=1) for _ in range(count)]
    curve = stats.ecdf(stats.CensoredData(uncensored=turns, right=[len(counts)] * n_clean)).sf
    hazards = [row.hazard.point if row.hazard else 0 for row in rows]
    for turn, row in enumerate(rows, start=1):
        assert row.survival == pytest.approx(math.prod(1 - h for h in hazards[:turn]))
        assert row.survival == pytest.approx(curve.evaluate(turn).item())
        assert row.cumulative_share == sum(counts[:turn]) / n
    assert rows[-1].survival == n_clean / n


def test_no_hazard_where_none_is_left():
    last = first_violation_curve([3, 0], 0)[1]

    assert (last.n_at_risk, last.hazard, last.survival) == (0, None, 0.0)


@pytest.mark.parametrize(("counts", "n_clean"), [([], 0), ([0, 0, 0], 0), ([2, -1, 0], 5), ([2, 1, 0], -1)])
def test_impossible_counts_are_refused(counts, n_clean):
    with pytest.raises(ValueError, match="at least 0 and one conversation"):
        first_violation_curve(counts, n_clean)
