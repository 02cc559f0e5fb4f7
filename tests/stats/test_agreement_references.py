"""Our agreement measures against the packages people know them from."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jmedethic_plugin.stats.agreement import icc, krippendorff_alpha, partial_correlation, quadratic_kappa

REASON = "only compares with it; not installed by requirements/run.lock"
pingouin = pytest.importorskip("pingouin", reason=REASON)
krippendorff = pytest.importorskip("krippendorff", reason=REASON)
metrics = pytest.importorskip("sklearn.metrics", reason=REASON)

NAN = float("nan")
# Few distinct values, so that ties, constant judges and constant tables come up; missing cells in one table of two.
cells = st.sampled_from([1.0, 2.0, 4.5, 7.3, 10.0])
tables = st.tuples(st.integers(2, 4), st.booleans()).flatmap(
    lambda shape: st.lists(
        st.lists(st.one_of(cells, st.just(NAN)) if shape[1] else cells, min_size=shape[0], max_size=shape[0]), min_size=1, max_size=15
    )
)


@settings(max_examples=60)
@given(tables)
def test_icc_equals_pingouin(rows):
    table = np.array(rows)
    single, average = icc(table, of="single"), icc(table, of="average")
    complete = table[~np.isnan(table).any(axis=1)]
    assume(len(complete) >= 2 and complete.size >= 5)  # it refuses fewer
    data = {"item": np.repeat(np.arange(len(complete)), table.shape[1]), "judge": np.tile(np.arange(table.shape[1]), len(complete))}
    if np.ptp(complete) == 0:
        assert (single, average) == (None, None)
        return
    import pandas

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pingouin.intraclass_corr(pandas.DataFrame(data | {"score": complete.ravel()}), "item", "judge", "score")
    theirs = found.set_index("Type")["ICC"]

    if single is not None:
        assert single == pytest.approx(theirs["ICC(A,1)"], abs=1e-9)
    if average is not None:
        assert average == pytest.approx(theirs["ICC(A,k)"], abs=1e-9)
    else:  # 0 / 0, or judges at odds: a quotient of two negative numbers, or a blown-up one
        assert not -1e6 < theirs["ICC(A,k)"] < 1


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
@given(rows=tables)
def test_alpha_equals_krippendorff(level, rows):
    table = np.array(rows)
    ours = krippendorff_alpha(table, level=level)
    paired = table[(~np.isnan(table)).sum(axis=1) >= 2]
    values = paired[~np.isnan(paired)]
    if not len(values) or np.ptp(values) == 0:
        assert ours is None
        return
    assert ours == pytest.approx(krippendorff.alpha(paired.T, level_of_measurement=level), abs=1e-9)


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(1, 10)), min_size=1, max_size=30))
def test_kappa_equals_scikit_learn(pairs):
    first, second = np.array(pairs).T
    ours = quadratic_kappa(first, second)
    if len({*first, *second}) == 1:
        assert ours is None
        return
    assert ours == pytest.approx(metrics.cohen_kappa_score(first, second, labels=list(range(1, 11)), weights="quadratic"), abs=1e-9)


@settings(max_examples=40)
@given(st.lists(st.tuples(cells, cells, cells), min_size=5, max_size=20), st.sampled_from(["pearson", "spearman"]))
def test_partial_correlation_equals_pingouin(rows, kind):
    table = np.array(rows)
    ours = partial_correlation(*table.T, kind=kind)
    # It inverts a covariance matrix, which a constant column or a perfect correlation leaves without inverse.
    assume(ours is not None and abs(ours) < 1 - 1e-6 and (np.ptp(table, axis=0) > 0).all())
    import pandas

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pingouin.partial_corr(pandas.DataFrame(table, columns=["a", "b", "given"]), "a", "b", "given", method=kind)["r"].iloc[0]

    assert ours == pytest.approx(theirs, abs=1e-6)
