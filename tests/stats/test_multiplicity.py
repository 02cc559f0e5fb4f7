import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.stats.multiplicity import benjamini_hochberg, bonferroni, holm

ADJUST = {"bonferroni": bonferroni, "holm": holm, "fdr_bh": benjamini_hochberg}
ps_lists = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0])), min_size=1, max_size=20)


@pytest.mark.parametrize("method", ADJUST)
@given(ps=ps_lists)
def test_adjusted_ps_equal_statsmodels(method, ps):
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="only compares with it; not installed by requirements/run.lock")

    assert ADJUST[method](ps) == pytest.approx(tuple(multitest.multipletests(ps, method=method)[1]))


def test_holm_by_hand():
    # Ascending: 4 x .005, 3 x .01 = .03, 2 x .03 = .06, 1 x .04 lifted to the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_benjamini_hochberg_finds_what_its_paper_found():
    # Benjamini and Hochberg (1995), section 4.1: of 15 p-values it rejects four at .05 and Bonferroni three.
    ps = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]

    assert sum(p <= 0.05 for p in benjamini_hochberg(ps)) == 4
    assert sum(p <= 0.05 for p in bonferroni(ps)) == 3


@given(ps_lists)
def test_adjusting_keeps_the_order_and_holm_is_never_weaker_than_bonferroni(ps):
    for adjust in ADJUST.values():
        ascending = adjust(sorted(ps))
        assert list(ascending) == sorted(ascending)
        assert sorted(adjust(ps[::-1])) == pytest.approx(list(ascending))
    assert all(p <= h <= b for p, h, b in zip(ps, holm(ps), bonferroni(ps), strict=True))


@pytest.mark.parametrize("adjust", ADJUST.values())
def test_no_ps_and_one_p_stay_as_they_are(adjust):
    assert adjust([]) == ()
    assert adjust([0.2]) == (0.2,)


@pytest.mark.parametrize("adjust", ADJUST.values())
@pytest.mark.parametrize("wrong", [math.nan, -0.1, 1.1])
def test_values_that_are_no_p_are_refused(adjust, wrong):
    with pytest.raises(ValueError, match=rf"got {wrong}"):
        adjust([0.5, wrong])
