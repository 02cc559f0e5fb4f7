"""Sizes of differences between two samples, and the test the paper uses for them (method.md B-20, B-23)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from jmedethic_plugin.core.base import Value
from jmedethic_plugin.stats.samples import differences, sample, variance

CohensD = Literal["pooled", "av", "z"]


def cohens_d(first: Sequence[float], second: Sequence[float], which: CohensD) -> float | None:
    """Difference of means, first minus second, in standard deviations; None where these are 0.

    Parameters
    ----------
    first, second
        At least two values each; of the same conversations for ``z``.
    which
        ``pooled``: of both samples together, weighted by n - 1. ``av``: the root of the mean of the two variances. ``z``: of the
        differences, which grows with the correlation of the pairs and can't be compared with the others.

    Raises
    ------
    ValueError
        Too few values, one that is not finite, or unequal lengths for ``z``.

    References
    ----------
    Cohen (1988), Statistical Power Analysis; Cumming (2012), Understanding the New Statistics (d_av); Lakens (2013), Front. Psychol. 4, 863.
    """
    a, b = sample(first, at_least=2), sample(second, at_least=2)
    shift = float(a.mean() - b.mean())
    if which == "pooled":
        spread = ((len(a) - 1) * variance(a) + (len(b) - 1) * variance(b)) / (len(a) + len(b) - 2)
    elif which == "av":
        spread = (variance(a) + variance(b)) / 2
    else:
        spread = variance(differences(first, second, at_least=2))
    return shift / math.sqrt(spread) if spread else None


def cliffs_delta(first: Sequence[float], second: Sequence[float]) -> float:
    """Chance that a value of the first exceeds one of the second, minus the chance of the reverse: -1 to 1, 2U / (n1 n2) - 1.

    References
    ----------
    Cliff (1993), Psychol. Bull. 114, 494-509.
    """
    from scipy.stats import rankdata

    a, b = sample(first, at_least=1), sample(second, at_least=1)
    ranks = rankdata([*a, *b])
    u = float(ranks[: len(a)].sum()) - len(a) * (len(a) + 1) / 2
    return 2 * u / (len(a) * len(b)) - 1


class MannWhitney(Value):
    """Mann and Whitney's test of two independent samples, two-sided."""

    u: float
    """Pairs in which the first is higher, ties as a half: 0 to n_first x n_second."""
    p: float
    n_first: int
    n_second: int


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> MannWhitney:
    """The paper's comparison of two turns: normal approximation with tie and continuity correction.

    Notes
    -----
    For independent samples. Turns of one conversation are not, and it then rejects far too seldom (method.md B-21); conversations of
    several models are not either, and it then rejects far too often (B-22).
    """
    from scipy.stats import mannwhitneyu

    a, b = sample(first, at_least=1), sample(second, at_least=1)
    found = mannwhitneyu(a, b, method="asymptotic")
    return MannWhitney(u=float(found.statistic), p=float(found.pvalue), n_first=len(a), n_second=len(b))
