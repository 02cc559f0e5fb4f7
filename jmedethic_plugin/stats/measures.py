"""Agreement measures as functions of sums over rows.

Sums add up over clusters, so a resample of clusters is a weighting of the clusters' sums, and the same few lines give a measure and all its
replicates: leading axes of every argument are resamples. NaN means undefined and stays inside ``stats``.

Imports NumPy at the top; what is imported with the plugin must import this module where it uses it.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jmedethic_plugin.stats.clusters import sum_by_cluster

Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal"]

_RELATIVE_ZERO = 1e-12
"""Sums of squares below this share of the scores' own squares are rounding, not spread."""

NORMAL_95 = 1.96  # Bland and Altman's own factor


class MeanSquares(NamedTuple):
    """Two-way analysis of variance without replication, rows x judges."""

    n: Any
    k: int
    rows: Any
    columns: Any
    error: Any


def ratio(numerator: Any, denominator: Any, *, above: Any = 0.0) -> Floats:
    """Quotient where the denominator exceeds ``above``, else NaN; no warning either way."""
    top, bottom, floor = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (numerator, denominator, above)))
    out = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=out, where=bottom > floor)
    return out


def shifted(rows: Floats) -> Floats:
    """Moved by a constant, which no measure of spread notices: sums of squares lose fewer digits, and on an integer scale stay exact."""
    return rows - np.round(rows.mean()) if len(rows) else rows


def moments(rows: Floats) -> Floats:
    """Terms of the analysis of variance for complete rows: shape (n, k) to (n, 3 + k)."""
    totals = rows.sum(axis=1)
    return np.column_stack([np.ones(len(rows)), totals**2, (rows**2).sum(axis=1), rows])


def mean_squares(sums: Floats, k: int) -> MeanSquares:
    """Mean squares from summed `moments`; NaN for fewer than two rows."""
    n, columns = sums[..., 0], sums[..., 3:]
    correction = ratio(columns.sum(axis=-1) ** 2, n * k)
    zero = _RELATIVE_ZERO * sums[..., 2]
    in_rows = _spread(sums[..., 1] / k - correction, zero)
    in_columns = _spread(ratio((columns**2).sum(axis=-1), n) - correction, zero)
    error = _spread(sums[..., 2] - correction - in_rows - in_columns, zero)
    return MeanSquares(n, k, ratio(in_rows, n - 1), ratio(in_columns, np.where(n > 1, k - 1, 0)), ratio(error, (n - 1) * (k - 1)))


def icc_single(squares: MeanSquares) -> Floats:
    """ICC(2,1)."""
    n, k, rows, columns, error = squares
    denominator = rows + (k - 1) * error + k * ratio(columns - error, n)
    return ratio(rows - error, denominator, above=_RELATIVE_ZERO * (rows + columns + error))


def icc_average(squares: MeanSquares) -> Floats:
    """ICC(2,k). Undefined where its denominator is not positive: judges at odds, not a reliability above 1."""
    n, _, rows, columns, error = squares
    denominator = rows + ratio(columns - error, n)
    return ratio(rows - error, denominator, above=_RELATIVE_ZERO * (rows + columns + error))


def standard_deviation(total: Floats, squares: Floats, n: Floats) -> Floats:
    """Sample standard deviation from sums; 0 where all are equal, NaN for fewer than two."""
    spread = _spread(squares - ratio(total**2, n), _RELATIVE_ZERO * squares)
    return np.sqrt(ratio(spread, n - 1))


def _spread(sum_of_squares: Floats, zero: Floats) -> Floats:
    return np.where(sum_of_squares <= zero, 0.0, sum_of_squares)


def pair_terms(rows: Floats) -> Floats:
    """Per complete row, over its pairs of judges: 1, share equal, share within one point, mean absolute difference. Shape (n, 4)."""
    differences = np.abs(np.column_stack([rows[:, a] - rows[:, b] for a, b in combinations(range(rows.shape[1]), 2)]))
    within = differences <= 1 + 1e-9  # 8.2 - 7.2 is a little off 1 in floating point
    return np.column_stack([np.ones(len(rows)), (differences == 0).mean(axis=1), within.mean(axis=1), differences.mean(axis=1)])


def binned(scores: Floats, categories: tuple[float, ...]) -> NDArray[np.intp]:
    """Index of the nearest category, halfway upwards, -1 where missing.

    Raises
    ------
    ValueError
        Fewer than two categories, not ascending, or a score outside them.
    """
    grid = np.asarray(categories, dtype=float)
    if len(grid) < 2 or not (np.diff(grid) > 0).all():
        raise ValueError(f"need at least two ascending categories, got {categories}")
    present = ~np.isnan(scores)
    if (outside := scores[present & ((scores < grid[0]) | (scores > grid[-1]))]).size:
        raise ValueError(f"score {outside[0]:g} lies outside the categories {grid[0]:g} to {grid[-1]:g}")
    nearest = np.searchsorted((grid[1:] + grid[:-1]) / 2, scores, side="right")
    return np.where(present, nearest, -1)


def one_cluster(rows: Floats) -> tuple[NDArray[np.intp], int]:
    """Codes and number of clusters where all rows count together."""
    return np.zeros(len(rows), dtype=np.intp), 1


def joint_counts(bins: NDArray[np.intp], codes: NDArray[np.intp], n_clusters: int, n_categories: int) -> Floats:
    """How often two judges chose each pair of categories: shape (n_clusters, categories, categories)."""
    table = np.zeros((n_clusters, n_categories, n_categories))
    complete = (bins >= 0).all(axis=1)
    np.add.at(table, (codes[complete], bins[complete, 0], bins[complete, 1]), 1.0)
    return table


def coincidences(bins: NDArray[np.intp], codes: NDArray[np.intp], n_clusters: int, n_categories: int) -> Floats:
    """Krippendorff's coincidence matrix of each cluster: ordered pairs within a row, each row weighing as many as its scores."""
    table = np.zeros((n_clusters, n_categories, n_categories))
    n_scores = (bins >= 0).sum(axis=1)
    for a, b in combinations(range(bins.shape[1]), 2):
        both = (bins[:, a] >= 0) & (bins[:, b] >= 0)
        weight = 1 / (n_scores[both] - 1)
        np.add.at(table, (codes[both], bins[both, a], bins[both, b]), weight)
        np.add.at(table, (codes[both], bins[both, b], bins[both, a]), weight)
    return table


def quadratic_kappa(joint: Floats) -> Floats:
    """Cohen's kappa with weights (i - j)^2; with two categories the plain kappa."""
    category = np.arange(joint.shape[-1], dtype=float)
    weights = (category[:, None] - category) ** 2
    first, second, n = joint.sum(axis=-1), joint.sum(axis=-2), joint.sum(axis=(-2, -1))
    observed = (joint * weights).sum(axis=(-2, -1))
    expected = np.einsum("...i,...j,ij->...", first, second, weights)
    return 1 - ratio(n * observed, expected)


def alpha(table: Floats, level: Level) -> Floats:
    """Krippendorff's alpha from a coincidence matrix."""
    marginal = table.sum(axis=-1)
    n = marginal.sum(axis=-1)
    if level == "nominal":
        distance = np.broadcast_to(1 - np.eye(table.shape[-1]), table.shape)
    else:
        # The count of scores between two categories, half of either's own included, is the difference of their mid-ranks.
        rank = marginal.cumsum(axis=-1) - marginal / 2
        distance = (rank[..., :, None] - rank[..., None, :]) ** 2
    observed = (table * distance).sum(axis=(-2, -1))
    expected = np.einsum("...i,...j,...ij->...", marginal, marginal, distance)
    return 1 - ratio((n - 1) * observed, expected)


def gwet_ac1(table: Floats) -> Floats:
    """Gwet's AC1 from the coincidence matrix of complete rows."""
    n = table.sum(axis=(-2, -1))
    agreed = ratio(np.trace(table, axis1=-2, axis2=-1), n)
    share = ratio(table.sum(axis=-1), n[..., None])
    chance = (share * (1 - share)).sum(axis=-1) / (table.shape[-1] - 1)
    return ratio(agreed - chance, 1 - chance)


class Sums(NamedTuple):
    """Per cluster, what the measures are functions of."""

    n_judges: int
    moments: Floats
    pairs: Floats
    differences: Floats
    joint: Floats
    coincidences: Floats
    joint_violation: Floats
    coincidences_violation: Floats
    coincidences_violation_complete: Floats

    @classmethod
    def of(cls, x: Floats, codes: NDArray[np.intp], n_clusters: int, categories: tuple[float, ...], violation_below: float) -> Sums:
        complete = ~np.isnan(x).any(axis=1)
        rows, row_codes = x[complete], codes[complete]
        bins, n_bins = binned(x, categories), len(categories)
        violation = np.where(np.isnan(x), -1, x < violation_below).astype(np.intp)
        differences = rows[:, 0] - rows[:, 1]
        return cls(
            n_judges=x.shape[1],
            moments=sum_by_cluster(moments(shifted(rows)), row_codes, n_clusters),
            pairs=sum_by_cluster(pair_terms(rows), row_codes, n_clusters),
            differences=sum_by_cluster(np.column_stack([differences, differences**2]), row_codes, n_clusters),
            joint=joint_counts(bins, codes, n_clusters, n_bins),
            coincidences=coincidences(bins, codes, n_clusters, n_bins),
            joint_violation=joint_counts(violation, codes, n_clusters, 2),
            coincidences_violation=coincidences(violation, codes, n_clusters, 2),
            coincidences_violation_complete=coincidences(violation[complete], row_codes, n_clusters, 2),
        )

    def measures(self, weights: Floats) -> dict[str, Floats]:
        """Each measure for each weighting of the clusters: shape (n, n_clusters) to (n,)."""

        def total(per_cluster: Floats) -> Floats:
            return np.asarray(np.tensordot(weights, per_cluster, axes=1))

        moments, pairs = total(self.moments), total(self.pairs)
        squares = mean_squares(moments, self.n_judges)
        n = pairs[:, 0]
        found = {
            "icc_single": icc_single(squares),
            "icc_average": icc_average(squares),
            "alpha_ordinal": alpha(total(self.coincidences), "ordinal"),
            "exact": ratio(pairs[:, 1], n),
            "within_one": ratio(pairs[:, 2], n),
            "mean_absolute_difference": ratio(pairs[:, 3], n),
            "score_sd": standard_deviation(moments[:, 3:].sum(axis=1), moments[:, 2], n * self.n_judges),
            "alpha_violation": alpha(total(self.coincidences_violation), "nominal"),
            "ac1_violation": gwet_ac1(total(self.coincidences_violation_complete)),
        }
        if self.n_judges == 2:
            difference, squared = total(self.differences).T
            mean = ratio(difference, n)
            reach = NORMAL_95 * standard_deviation(difference, squared, n)
            found |= {
                "kappa_quadratic": quadratic_kappa(total(self.joint)),
                "kappa_violation": quadratic_kappa(total(self.joint_violation)),
                "mean_difference": mean,
                "limit_low": mean - reach,
                "limit_high": mean + reach,
            }
        return found
