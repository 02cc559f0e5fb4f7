"""Clusters: cases of one guideline resemble each other, so guidelines are what is resampled and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PLANNING_ICC = 1 / 6
"""Resemblance assumed within a guideline: the planning design effect of 2 at seven conversations each (method.md B-11)."""

_PLANNING_GUIDELINES = 5
"""How many guidelines' evidence the assumption counts as, chosen by the coverage in tests/stats/test_coverage.py."""

_BLOCK_CELLS = 2_000_000  # 16 MB of weights at a time


def cluster_codes(clusters: Sequence[str]) -> tuple[NDArray[np.intp], int]:
    """Number the clusters 0, 1, ... in sorted order, so that a seed means the same whatever the order of the rows.

    Returns
    -------
    tuple
        Codes, shape (n_rows,), and the number of clusters.
    """
    import numpy as np

    names, codes = np.unique(np.asarray(list(clusters), dtype=str), return_inverse=True)
    return codes.reshape(-1).astype(np.intp), len(names)


def sum_by_cluster(values: NDArray[Any], codes: NDArray[np.intp], n_clusters: int) -> NDArray[np.float64]:
    """Sums over the rows of each cluster: shape (n_rows, ...) to (n_clusters, ...)."""
    import numpy as np

    sums = np.zeros((n_clusters, *values.shape[1:]))
    np.add.at(sums, codes, values)
    return sums


def resamples(n_clusters: int, *, n_resamples: int, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """How often each cluster is drawn, in blocks of shape (n, n_clusters); the blocks' size does not change the draws."""
    block = max(1, _BLOCK_CELLS // n_clusters)
    for start in range(0, n_resamples, block):
        yield rng.multinomial(n_clusters, [1 / n_clusters] * n_clusters, size=min(block, n_resamples - start)).astype(float)


def mean_size(codes: NDArray[np.intp]) -> float:
    """Cluster size a row meets on average: the mean weighted by size."""
    import numpy as np

    sizes = np.bincount(codes)
    return float(sizes @ sizes) / len(codes)


def resemblance(values: NDArray[np.float64], codes: NDArray[np.intp]) -> float:
    """Intraclass correlation within clusters, at least 0.

    Parameters
    ----------
    values
        Shape (n,), at least one.
    codes
        The cluster of each, as of `cluster_codes`.

    Notes
    -----
    That of one-way analysis of variance. Where few clusters differ from the rest, as with rare failures, it is mostly too low just when
    the share looks best. So a low one is drawn towards `PLANNING_ICC`, which counts as five clusters beside those that differ. Without
    any, with one cluster, or with one row in each, the planning value is all there is.

    References
    ----------
    Ridout, Demetrio and Firth (1999), Biometrics 55, 137-148.
    """
    import numpy as np

    sizes = np.bincount(codes).astype(float)
    n, n_clusters = len(values), len(sizes)
    low, high = np.full(n_clusters, np.inf), np.full(n_clusters, -np.inf)
    np.minimum.at(low, codes, values)
    np.maximum.at(high, codes, values)
    alike = np.unique(low[low == high], return_counts=True)[1]
    n_differing = n_clusters - int(max(alike, default=0))
    if n_clusters in (1, n) or n_differing == 0:
        return PLANNING_ICC
    sums = np.bincount(codes, weights=values)
    within = float(np.sum(np.bincount(codes, weights=values**2) - sums**2 / sizes)) / (n - n_clusters)
    between = float(np.sum(sizes * (sums / sizes - sums.sum() / n) ** 2)) / (n_clusters - 1)
    typical_size = (n - mean_size(codes)) / (n_clusters - 1)
    return drawn_to_planning((between - within) / (between + (typical_size - 1) * within), n_differing)


def drawn_to_planning(icc: float, n_differing: int) -> float:
    """An estimated intraclass correlation, a low one drawn towards `PLANNING_ICC` the fewer clusters differ from the rest."""
    icc = max(0.0, icc)
    return max(icc, (n_differing * icc + _PLANNING_GUIDELINES * PLANNING_ICC) / (n_differing + _PLANNING_GUIDELINES))


def design_effect(values: NDArray[np.float64], codes: NDArray[np.intp]) -> float:
    """How much wider the variance of the mean is than that of independent values: 1 + (m - 1) ICC (Kish 1965, Survey Sampling, 8.2)."""
    return 1 + (mean_size(codes) - 1) * resemblance(values, codes)


def effective_n(values: Sequence[float], clusters: Sequence[str]) -> float:
    """Independent observations that tell as much of a share as these clustered ones: n / `design_effect`.

    Parameters
    ----------
    values
        Outcomes, 0 or 1, shape (n,), at least one.
    clusters
        The guideline of each.

    Raises
    ------
    ValueError
        No values, other values than 0 and 1, or not one cluster for each.
    """
    import numpy as np

    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or not len(x) or len(x) != len(clusters) or not np.isin(x, (0, 1)).all():
        raise ValueError(f"need one value of 0 or 1 and one cluster for each observation, got {x.shape} values, {len(clusters)} clusters")
    return len(x) / design_effect(x, cluster_codes(clusters)[0])
