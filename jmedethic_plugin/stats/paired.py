"""Two or three turns of the same conversations, two models on the same cases: paired tests and shifts (method.md B-10, B-21).

The tests take conversations for independent and are descriptive; the estimates' intervals go by guideline, and decisions rest on them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.stats.clusters import cluster_codes, resamples
from jmedethic_plugin.stats.samples import differences as paired_differences
from jmedethic_plugin.stats.samples import sample, variance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_EXACT_UP_TO = 13  # SciPy's bound for ties; it goes through the 8,192 signs one by one, which takes seconds.
_UNITS = 10**9  # Differences as whole numbers of these parts of a point: sums of two are then exact, and ties are ties.


class PairedTest(Value):
    """Wilcoxon's signed-rank test, two-sided, zeros by Pratt."""

    n: int
    """Pairs, those without a difference included."""
    n_zeros: int
    """Pairs without a difference."""
    statistic: float
    """The smaller of the two sums of ranks, W+ and W-; zeros are ranked and then left out."""
    p: float
    """1 where no pair differs."""
    rank_biserial: float | None
    """(W+ - W-) / (W+ + W-) of the pairs that differ, -1 to 1, positive where the first is higher; None where no pair differs."""


def wilcoxon_pratt(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Whether the first of each pair differs from the second.

    Parameters
    ----------
    first, second
        Points of the same conversations, shape (n,).

    Raises
    ------
    ValueError
        No pairs, unequal lengths, or a value that is not finite.

    Notes
    -----
    Pratt's handling of zeros keeps the test's size where many pairs are equal. The p is exact up to 50 pairs without ties or zeros and up
    to 13 with, else normal with tie and continuity correction.

    References
    ----------
    Pratt (1959), J. Amer. Stat. Assoc. 54, 655-667; Kerby (2014), Compr. Psychol. 3, 11.IT.3.1; computed by ``scipy.stats.wilcoxon``.
    """
    import numpy as np
    from scipy.stats import rankdata, wilcoxon

    d = paired_differences(first, second, at_least=1)
    changed = d[d != 0]
    if not len(changed):
        return PairedTest(n=len(d), n_zeros=len(d), statistic=0.0, p=1.0, rank_biserial=None)
    if len(d) <= _EXACT_UP_TO:
        of_all = rankdata(np.abs(d))
        statistic = float(min(of_all[d > 0].sum(), of_all[d < 0].sum()))
        p = _exact_p(of_all[d != 0], statistic)
    else:
        found = wilcoxon(d, zero_method="pratt")
        statistic, p = float(found.statistic), float(found.pvalue)
    ranks = rankdata(np.abs(changed))
    return PairedTest(
        n=len(d), n_zeros=len(d) - len(changed), statistic=statistic, p=p,
        rank_biserial=float(ranks @ np.sign(changed) / ranks.sum()),
    )  # fmt: skip


def _exact_p(ranks: NDArray[np.float64], statistic: float) -> float:
    import numpy as np

    ways = np.ones(1)
    for rank in np.rint(2 * ranks).astype(int):  # mean ranks of ties are halves
        ways = np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))
    return min(1.0, 2 * float(ways[: round(2 * statistic) + 1].sum() / ways.sum()))


class TrendTest(Value):
    """Page's test that points fall from turn to turn."""

    n: int
    """Conversations with points for all three turns."""
    statistic: float
    """L: the sum over turns of predicted rank times sum of ranks; 12 n without a trend, 14 n where every conversation falls strictly."""
    p: float
    """One-sided: small where points fall. Conservative where turns tie."""
    p_tie_corrected: float
    """The same from the normal approximation with the variance that ties leave; 1 where all turns of each conversation tie."""


def page_trend(rows: Sequence[Sequence[float]]) -> TrendTest:
    """Whether points fall over the three turns of a conversation.

    Parameters
    ----------
    rows
        Points, shape (n_conversations, 3), turn 1 first; at least two conversations.

    Raises
    ------
    ValueError
        Not such a table, or a value that is not finite.

    Notes
    -----
    Ranks are within a conversation, ties get their mean. The tables and the normal approximation behind ``p`` take every row for one
    without ties, which a safe target is not (10, 10, 10): the true variance of L is then smaller. The corrected p uses the permutation
    variance of each row, SS(predicted) SS(ranks) / 2; without ties it is the normal approximation to ``p``.

    References
    ----------
    Page (1963), J. Amer. Stat. Assoc. 58, 216-230; computed by ``scipy.stats.page_trend_test``.
    """
    import numpy as np
    from scipy.stats import norm, page_trend_test, rankdata

    x = np.asarray(rows, dtype=float)
    if x.ndim != 2 or x.shape[1] != 3 or len(x) < 2 or not np.isfinite(x).all():
        raise ValueError(f"need finite points of three turns for at least two conversations, got shape {x.shape}")
    found = page_trend_test(x, predicted_ranks=[3, 2, 1])
    left = float(((rankdata(x, axis=1) - 2) ** 2).sum())
    corrected = float(norm.sf((found.statistic - 12 * len(x)) / math.sqrt(left))) if left else 1.0
    return TrendTest(n=len(x), statistic=float(found.statistic), p=float(found.pvalue), p_tie_corrected=corrected)


def mean_difference(differences: Sequence[float], clusters: Sequence[str], *, confidence: float = 0.95) -> Estimate:
    """Mean of the guidelines' means with Student's interval over guidelines (method.md B-10).

    Parameters
    ----------
    differences
        Of each pair, shape (n,), in points or shares.
    clusters
        The guideline of each; at least two different ones.
    confidence
        Coverage, strictly between 0 and 1.

    Returns
    -------
    Estimate
        Guidelines count equally, whatever their number of pairs; df = guidelines - 1.

    Raises
    ------
    ValueError
        A value that is not finite, not one cluster for each, or fewer than two clusters: one says nothing of how they differ.

    References
    ----------
    Miller (2024), Adding Error Bars to Evals, arXiv:2411.00640.
    """
    import numpy as np
    from scipy.special import stdtrit

    d, codes, n_clusters = _clustered(differences, clusters, confidence)
    means = np.bincount(codes, weights=d) / np.bincount(codes)
    point = float(means.mean())
    half = float(stdtrit(n_clusters - 1, (1 + confidence) / 2)) * math.sqrt(variance(means) / n_clusters)
    return Estimate(
        point=point, low=point - half, high=point + half, confidence=confidence, n=len(d), method=f"t over {n_clusters} guideline means"
    )


def hodges_lehmann(
    differences: Sequence[float], clusters: Sequence[str], *, seed: int = 0, n_resamples: int = 2000, confidence: float = 0.95
) -> Estimate:
    """Typical shift: the median of the means of all pairs of differences, each with itself included.

    Parameters
    ----------
    differences
        Of each pair, shape (n,), in points; taken to 9 decimals.
    clusters
        The guideline of each; at least two different ones.
    seed
        Of the resampling.
    n_resamples
        At least 1.
    confidence
        Coverage, strictly between 0 and 1.

    Returns
    -------
    Estimate
        Pairs count equally. The interval is the percentile interval of a bootstrap over whole guidelines.

    Raises
    ------
    ValueError
        As `mean_difference`.

    Notes
    -----
    Every resample's estimate is exact, without forming its n(n + 1)/2 means. A resample is a count of each distinct difference, and the
    number of its means up to v is a sum over these of count times cumulated count, so that its median is found by bisection over whole
    numbers: R m log(range) steps for R resamples and m distinct differences, of which points in halves have 37.
    On so coarse a scale the estimate moves in quarters, and the interval covers too much rather than too little: 98.5-100 % of simulated
    runs of 469 pairs in 67 guidelines with points in halves, 96.8 % in tenths, 95.0-96.3 % in hundredths.

    References
    ----------
    Hodges and Lehmann (1963), Ann. Math. Stat. 34, 598-611.
    """
    import numpy as np

    d, codes, n_clusters = _clustered(differences, clusters, confidence)
    if n_resamples < 1:
        raise ValueError(f"need n_resamples >= 1, got {n_resamples}")
    values, where = np.unique(np.rint(d * _UNITS).astype(np.int64), return_inverse=True)
    step = max(1, int(np.gcd.reduce(values)))  # points in halves: half a point, so that few bisections are left
    values //= step
    counts = np.zeros((n_clusters, len(values)))
    np.add.at(counts, (codes, where.reshape(-1)), 1)
    point = float(_walsh_medians(values, counts.sum(axis=0, keepdims=True))[0]) * step / _UNITS
    drawn = resamples(n_clusters, n_resamples=n_resamples, rng=np.random.default_rng(seed))
    replicates = np.concatenate([_walsh_medians(values, weights @ counts) for weights in drawn]) * step / _UNITS
    low, high = np.quantile(replicates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(
        point=point, low=float(low), high=float(high), confidence=confidence, n=len(d),
        method=f"Hodges-Lehmann, percentile bootstrap over {n_clusters} guidelines",
    )  # fmt: skip


def _walsh_medians(values: NDArray[np.int64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Medians of the pairwise means of samples that hold each of the ascending values so often: shape (n, n_values) to (n,)."""
    size = counts.sum(axis=1)
    n_means = size * (size + 1) / 2
    lower, upper = (_walsh_sums(values, counts, place) for place in ((n_means + 1) // 2, n_means // 2 + 1))
    return (lower + upper) / 4


def _walsh_sums(values: NDArray[np.int64], counts: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.int64]:
    """The smallest sum of two that at least so many pairs of each sample do not exceed."""
    import numpy as np

    up_to = np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))
    low, high = np.full(len(counts), 2 * values[0]), np.full(len(counts), 2 * values[-1])
    while (low < high).any():
        middle = (low + high) // 2
        # Samples that ask for the same sum share the search.
        asked, which = np.unique(middle, return_inverse=True)
        partners = np.searchsorted(values, asked[:, None] - values, side="right")[which]
        with_itself = np.searchsorted(2 * values, middle, side="right")
        # Unordered pairs: half of the ordered ones, with each value's pairing with itself counted once.
        ordered = np.einsum("rm,rm->r", counts, np.take_along_axis(up_to, partners, axis=1))
        enough = (ordered + up_to[np.arange(len(counts)), with_itself]) / 2 >= places
        low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
    return low


def _clustered(
    values: Sequence[float], clusters: Sequence[str], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.intp], int]:  # fmt: skip
    x = sample(values, at_least=2)
    codes, n_clusters = cluster_codes(clusters)
    if len(codes) != len(x) or n_clusters < 2:
        raise ValueError(f"need a cluster for each of {len(x)} values and two clusters or more, got {len(codes)} of {n_clusters} clusters")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence}")
    return x, codes, n_clusters
