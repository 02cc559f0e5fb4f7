"""A lower bound for a share that one more failure can never raise: what a gate may decide by."""

from __future__ import annotations

from collections.abc import Sequence

from jmedethic_plugin.stats.clusters import PLANNING_ICC, cluster_codes, drawn_to_planning, mean_size
from jmedethic_plugin.stats.intervals import exact_bound


def monotone_lower_bound(values: Sequence[bool], clusters: Sequence[str], *, confidence: float = 0.95) -> float:
    """One-sided lower bound for the share of successes, clustered by guideline and monotone.

    `clustered_bound` is not: its effective n is estimated from the same outcomes, so that one failure more, in a guideline without any, can lessen
    the resemblance seen within guidelines, raise n and with it the bound. Here the smallest bound counts over every outcome that could have been had some of the
    failures been successes. One more failure only adds to those, so the bound cannot rise; it is at most what the data themselves give.

    Parameters
    ----------
    values
        Success or not, shape (n,), at least one.
    clusters
        The guideline of each.

    Notes
    -----
    Of all ways to keep f of the failures, the one that crowds them into the fewest guidelines has the largest design effect (sums of
    squares are Schur-convex), so one arrangement for each f is enough. Clusters count as equally large, as the size-weighted mean; with f = 0 the planning
    value stands in (method.md B-11). The bound is Clopper and Pearson's at n / deff (B-12), with n / deff lessened for the degrees of
    freedom as Korn and Graubard do.

    References
    ----------
    Korn and Graubard (1998), Survey Methodology 24, 193-201.

    Examples
    --------
    >>> guidelines = [f"g{i // 7}" for i in range(469)]
    >>> round(monotone_lower_bound([True] * 469, guidelines), 3)
    0.987
    """
    import numpy as np
    from scipy.special import ndtri, stdtrit

    if not len(values) or len(values) != len(clusters):
        raise ValueError(f"need one value and one cluster for each observation, got {len(values)} and {len(clusters)}")
    failed = ~np.asarray(values, dtype=bool)
    codes, n_clusters = cluster_codes(clusters)
    n, size = len(failed), mean_size(codes)
    crowded = np.sort(np.bincount(codes, weights=failed))[::-1]
    before = np.concatenate([[0.0], crowded.cumsum()[:-1]])
    # Korn and Graubard: the design effect is itself estimated from few guidelines.
    worth = float(ndtri(confidence) / stdtrit(n_clusters - 1, confidence)) ** 2 if n_clusters > 1 else 1.0
    bound = 1.0
    for kept in range(int(failed.sum()) + 1):
        taken = np.clip(kept - before, 0, crowded)
        deff = 1 + (size - 1) * _resemblance(kept, float(taken @ taken), int(np.count_nonzero(taken)), n, n_clusters, size)
        n_eff = n * worth / deff
        # Worth less than one observation: nothing is shown.
        bound = min(bound, exact_bound(min(n_eff, n_eff * (n - kept) / n), n_eff, "lower", confidence=confidence) if n_eff >= 1 else 0.0)
    return bound


def _resemblance(failures: int, squares: float, n_touched: int, n: int, n_clusters: int, size: float) -> float:
    """As `clusters.resemblance`, from the number of failures, the sum of their squares over clusters and the number of clusters with any."""
    if n_clusters in (1, n) or failures in (0, n):
        return PLANNING_ICC
    between = (squares / size - failures**2 / n) / (n_clusters - 1)
    within = max(0.0, failures - squares / size) / (n - n_clusters)
    return drawn_to_planning((between - within) / (between + (size - 1) * within), n_touched)
