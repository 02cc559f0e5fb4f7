"""How far judges agree. Scores are tables of shape (n_items, n_judges), NaN where a judge gave no usable score.

Agreement between judges is not validity: that comes only from labels by people.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.core.verdict import MAX_POINTS, MIN_POINTS, VIOLATION_BELOW
from jmedethic_plugin.stats.clusters import cluster_codes, resamples

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from jmedethic_plugin.stats.measures import Floats, Level, MeanSquares

POINTS: tuple[float, ...] = tuple(float(p) for p in range(int(MIN_POINTS), int(MAX_POINTS) + 1))
"""The categories of the rubric's scale: 1, 2, ... 10."""

_ROUNDING = 1e-12


class Bootstrapped(Estimate):
    """A measure with the percentile interval of a bootstrap over clusters."""

    n_resamples: int
    n_undefined: int
    """Resamples in which the measure is undefined; they are left out of the interval."""


class Agreement(Value):
    """Every measure of agreement; None where it is undefined (constant scores, too few rows or clusters).

    Alpha uses all rows with two scores or more, everything else only rows scored by all judges.
    """

    n_items: int
    n_complete: int
    """Rows scored by every judge."""
    n_judges: int
    n_clusters: int
    """Clusters with a row of two scores or more."""

    icc_single: Bootstrapped | None
    """ICC(2,1): reliability of one judge."""
    icc_average: Bootstrapped | None
    """ICC(2,k): reliability of the judges' mean."""
    alpha_ordinal: Bootstrapped | None
    """Krippendorff's alpha of the scores, rounded to the scale."""
    kappa_quadratic: Bootstrapped | None
    """Two judges only; scores rounded to the scale."""

    exact: Bootstrapped | None
    """Share of pairs with equal scores."""
    within_one: Bootstrapped | None
    """Share of pairs at most one point apart."""
    mean_absolute_difference: Bootstrapped | None
    score_sd: Bootstrapped | None
    """Standard deviation of all scores. Where it is small, a low ICC may mean a uniform target rather than poor judges."""

    mean_difference: Bootstrapped | None
    """First minus second judge; two judges only, as for the limits."""
    limit_low: Bootstrapped | None
    """Lower limit of agreement (Bland and Altman): mean difference minus 1.96 standard deviations of the differences."""
    limit_high: Bootstrapped | None

    alpha_violation: Bootstrapped | None
    """Nominal alpha of *violation or not*."""
    kappa_violation: Bootstrapped | None
    """Cohen's kappa of the same, two judges only."""
    ac1_violation: Bootstrapped | None
    """Gwet's AC1 of the same: steadier than kappa where violations are rare."""


def agreement(
    scores: ArrayLike, clusters: Sequence[str], seed: int, *, violation_below: float = VIOLATION_BELOW,
    categories: Sequence[float] = POINTS, n_resamples: int = 2000, confidence: float = 0.95,
) -> Agreement:  # fmt: skip
    """All measures of agreement with intervals by cluster bootstrap.

    Parameters
    ----------
    scores
        Shape (n_items, n_judges), NaN where missing; at least two judges.
    clusters
        The guideline of each item.
    seed
        Of the resampling.
    violation_below
        A score below it calls the reply a violation.
    categories
        The scale's points, ascending; kappa and alpha round scores to the nearest, halves upwards.
    n_resamples
        At least 1.
    confidence
        Coverage, strictly between 0 and 1.

    Raises
    ------
    ValueError
        Not such a table, an infinite score or one outside the scale, or not one cluster for each item.

    Notes
    -----
    Whole guidelines are drawn with replacement, as many as there are; an interval needs two. Its limits are quantiles of the replicates, so
    that a share that is 1 in every guideline has an interval of width 0, which says nothing of guidelines not seen.

    References
    ----------
    Shrout and Fleiss (1979), Psychol. Bull. 86, 420-428; Cohen (1968), Psychol. Bull. 70, 213-220; Krippendorff (2004), Content Analysis,
    ch. 11; Bland and Altman (1986), Lancet 327, 307-310; Gwet (2008), Br. J. Math. Stat. Psychol. 61, 29-48.
    """
    import numpy as np

    from jmedethic_plugin.stats.measures import Sums

    x = _table(scores)
    if len(clusters) != len(x):
        raise ValueError(f"need one cluster for each item, got {len(clusters)} for {len(x)}")
    if n_resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"need n_resamples >= 1 and 0 < confidence < 1, got {n_resamples} and {confidence}")
    n_scores = np.count_nonzero(~np.isnan(x), axis=1)
    paired, complete = n_scores >= 2, n_scores == x.shape[1]
    codes, n_clusters = cluster_codes([c for c, p in zip(clusters, paired, strict=True) if p])
    sums = Sums.of(x[paired], codes, n_clusters, tuple(categories), violation_below)
    n_complete = int(complete.sum())
    measures: dict[str, Any] = dict.fromkeys(Agreement.model_fields)
    if n_clusters > 1:
        points = sums.measures(np.ones((1, n_clusters)))
        blocks = [sums.measures(w) for w in resamples(n_clusters, n_resamples=n_resamples, rng=np.random.default_rng(seed))]
        n_with_complete = int(np.count_nonzero(sums.pairs[:, 0]))
        for name, point in points.items():
            n, n_units = (int(paired.sum()), n_clusters) if name.startswith("alpha") else (n_complete, n_with_complete)
            if n_units > 1:
                replicates = np.concatenate([block[name] for block in blocks])
                measures[name] = _bootstrapped(float(point[0]), replicates, n, n_units, confidence)
    return Agreement(**{**measures, "n_items": len(x), "n_complete": n_complete, "n_judges": x.shape[1], "n_clusters": n_clusters})


def _bootstrapped(point: float, replicates: Floats, n: int, n_clusters: int, confidence: float) -> Bootstrapped | None:
    import numpy as np

    defined = replicates[~np.isnan(replicates)]
    if np.isnan(point) or not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Bootstrapped(
        point=point, low=float(low), high=float(high), confidence=confidence, n=n, n_resamples=len(replicates),
        n_undefined=len(replicates) - len(defined), method=f"percentile bootstrap over {n_clusters} clusters",
    )  # fmt: skip


def mean_squares(scores: ArrayLike) -> tuple[float, float, float] | None:
    """Between rows, between judges and residual, of the rows scored by every judge; None for fewer than two.

    Examples
    --------
    >>> mean_squares([[1, 2], [3, 4], [5, 9]])
    (15.5, 6.0, 1.5)
    """
    squares = _squares(scores)
    return None if squares.n < 2 else (float(squares.rows), float(squares.columns), float(squares.error))


def icc(scores: ArrayLike, *, of: Literal["single", "average"]) -> float | None:
    """ICC(2,1) of a single judge or ICC(2,k) of the judges' average, from the rows scored by every judge.

    Parameters
    ----------
    scores
        Shape (n_items, n_judges).
    of
        Whose reliability.

    Returns
    -------
    float | None
        At most 1. None: fewer than two rows, constant scores, or (average) judges so much at odds that the formula's denominator is not
        positive.

    References
    ----------
    Shrout and Fleiss (1979), Psychol. Bull. 86, 420-428.
    """
    from jmedethic_plugin.stats import measures as m

    squares = _squares(scores)
    return _defined(m.icc_single(squares) if of == "single" else m.icc_average(squares))


def quadratic_kappa(first: ArrayLike, second: ArrayLike, *, categories: Sequence[float] = POINTS) -> float | None:
    """Cohen's kappa of two judges with quadratic weights; None where both use one same category, or without rows.

    Parameters
    ----------
    first, second
        Scores, shape (n_items,); rows with a missing score are left out, scores go to the nearest category, halves upwards.
    categories
        Ascending; weights go by their order.

    References
    ----------
    Cohen (1968), Psychol. Bull. 70, 213-220.
    """
    import numpy as np

    from jmedethic_plugin.stats import measures as m

    x = _table(np.column_stack([first, second]))
    return _defined(m.quadratic_kappa(m.joint_counts(m.binned(x, tuple(categories)), *m.one_cluster(x), len(categories))[0]))


def krippendorff_alpha(scores: ArrayLike, *, level: Level, categories: Sequence[float] | None = None) -> float | None:
    """Krippendorff's alpha; None where no two scores of paired rows differ.

    Parameters
    ----------
    scores
        Shape (n_items, n_judges); rows with fewer than two scores are left out.
    level
        ``ordinal`` for scores, ``nominal`` for labels.
    categories
        Ascending; scores go to the nearest. Default: the distinct scores themselves.

    References
    ----------
    Krippendorff (2004), Content Analysis, ch. 11.
    """
    import numpy as np

    from jmedethic_plugin.stats import measures as m

    x = _table(scores)
    grid = tuple(np.unique(x[~np.isnan(x)]).tolist()) if categories is None else tuple(categories)
    if categories is None and len(grid) < 2:
        return None
    return _defined(m.alpha(m.coincidences(m.binned(x, grid), *m.one_cluster(x), len(grid))[0], level))


def gwet_ac1(scores: ArrayLike, *, categories: Sequence[float]) -> float | None:
    """Gwet's AC1 of the rows scored by every judge; None without rows. Full agreement on one category is 1.

    Parameters
    ----------
    scores
        Shape (n_items, n_judges).
    categories
        All that could be chosen, ascending, chosen or not.

    References
    ----------
    Gwet (2008), Br. J. Math. Stat. Psychol. 61, 29-48.
    """
    from jmedethic_plugin.stats import measures as m

    rows = _complete(scores)
    return _defined(m.gwet_ac1(m.coincidences(m.binned(rows, tuple(categories)), *m.one_cluster(rows), len(categories))[0]))


def spearman_brown(reliability: float, k: float) -> float | None:
    """Reliability of the mean of ``k`` judges like one with this reliability; None where none can exist (below -1 / (k - 1)).

    Examples
    --------
    >>> round(spearman_brown(0.6, 2), 3)
    0.75
    """
    return _stepped(reliability, k)


def needed_reliability(reliability: float, k: float) -> float | None:
    """The reliability each of ``k`` judges needs for their mean to have this one: `spearman_brown` backwards.

    Examples
    --------
    >>> round(needed_reliability(0.9, 2), 3)
    0.818
    """
    if k <= 0:
        raise ValueError(f"need k > 0, got {k}")
    return _stepped(reliability, 1 / k)


def _stepped(reliability: float, k: float) -> float | None:
    if k <= 0 or reliability > 1:
        raise ValueError(f"need k > 0 and a reliability of at most 1, got k={k}, reliability={reliability}")
    denominator = 1 + (k - 1) * reliability
    return k * reliability / denominator if denominator > 0 else None


def partial_correlation(
    first: ArrayLike, second: ArrayLike, given: ArrayLike, *, kind: Literal["pearson", "spearman"] = "spearman"
) -> float | None:
    """Correlation of two variables with a third held fixed, as of score and length of the reply given the human label.

    Parameters
    ----------
    first, second, given
        Shape (n,); rows with NaN are left out.
    kind
        ``spearman``: of mid-ranks.

    Returns
    -------
    float | None
        In [-1, 1]. None: fewer than four rows, or one of the two is constant or a straight line of ``given``.
    """
    import numpy as np

    x = np.column_stack([np.asarray(v, dtype=float) for v in (first, second, given)])
    x = x[~np.isnan(x).any(axis=1)]
    if len(x) < 4:
        return None
    if kind == "spearman":
        from scipy.stats import rankdata

        x = rankdata(x, axis=0)
    x = x - x.mean(axis=0)
    a, b, g = x.T
    # A constant `given` explains nothing, and the plain correlation is left.
    if (weight := float(g @ g)) > 0:
        rest_a, rest_b = a - g * (a @ g) / weight, b - g * (b @ g) / weight
    else:
        rest_a, rest_b = a, b
    left_a, left_b = float(rest_a @ rest_a), float(rest_b @ rest_b)
    if left_a <= _ROUNDING * float(a @ a) or left_b <= _ROUNDING * float(b @ b):
        return None
    return max(-1.0, min(1.0, float(rest_a @ rest_b) / math.sqrt(left_a * left_b)))


def _table(scores: ArrayLike) -> Floats:
    import numpy as np

    x = np.asarray(scores, dtype=float)
    if x.ndim != 2 or x.shape[1] < 2:
        raise ValueError(f"need a table of items by at least two judges, got shape {x.shape}")
    if np.isinf(x).any():
        raise ValueError("scores must be finite or NaN, got an infinite one")
    return x


def _complete(scores: ArrayLike) -> Floats:
    import numpy as np

    x = _table(scores)
    return x[~np.isnan(x).any(axis=1)]


def _squares(scores: ArrayLike) -> MeanSquares:
    from jmedethic_plugin.stats import measures as m

    rows = _complete(scores)
    return m.mean_squares(m.moments(m.shifted(rows)).sum(axis=0), rows.shape[1])


def _defined(measure: Floats) -> float | None:
    value: float = measure.item()
    return None if math.isnan(value) else value
