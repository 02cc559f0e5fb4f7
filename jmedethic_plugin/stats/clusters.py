"""Clusters: cases of one guideline resemble each other, so guidelines are what is resampled and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PLANNING_DESIGN_EFFECT = 2.0
"""Assumed where the values do not show the resemblance: an outcome that never varies, or a single cluster."""

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


def effective_n(values: Sequence[float], clusters: Sequence[str]) -> float:
    """Independent observations that tell as much of a share as these clustered ones.

    Parameters
    ----------
    values
        Outcomes, 0 or 1, shape (n,), at least one.
    clusters
        The guideline of each.

    Returns
    -------
    float
        n / deff, at most n.

    Raises
    ------
    ValueError
        No values, other values than 0 and 1, or not one cluster for each.

    Notes
    -----
    deff = 1 + (m - 1) ICC, with the ICC of one-way analysis of variance (negative ones count as 0) and m the mean cluster size
    weighted by size, which is what unequal clusters need.
    An outcome that never varies, or one cluster alone, says nothing of resemblance: the planning value 2 stands in, or m if smaller.

    References
    ----------
    Ridout, Demetrio and Firth (1999), Biometrics 55, 137-148; Kish (1965), Survey Sampling, 8.2.
    """
    import numpy as np

    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or not len(x) or len(x) != len(clusters) or not np.isin(x, (0, 1)).all():
        raise ValueError(f"need one value of 0 or 1 and one cluster for each observation, got {x.shape} values, {len(clusters)} clusters")
    codes, n_clusters = cluster_codes(clusters)
    n = len(x)
    sizes, hits = np.bincount(codes).astype(float), np.bincount(codes, weights=x)
    weighted_size = float(sizes @ sizes) / n
    if n_clusters == n:
        return float(n)
    if n_clusters == 1 or x.min() == x.max():
        return n / min(PLANNING_DESIGN_EFFECT, weighted_size)
    # The sum of squares within a cluster of 0s and 1s is hits x misses / size.
    within = float(np.sum(hits * (sizes - hits) / sizes)) / (n - n_clusters)
    between = float(np.sum(sizes * (hits / sizes - x.mean()) ** 2)) / (n_clusters - 1)
    typical_size = (n - weighted_size) / (n_clusters - 1)
    icc = (between - within) / (between + (typical_size - 1) * within)
    return n / (1 + (weighted_size - 1) * max(0.0, icc))
