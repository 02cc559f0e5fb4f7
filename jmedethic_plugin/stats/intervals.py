"""Intervals for proportions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.stats.clusters import effective_n


def wilson_interval(n_hits: int, n_total: int, *, confidence: float = 0.95) -> Estimate:
    """Interval for a share.

    Parameters
    ----------
    n_hits
        Conversations that have the property, 0 to ``n_total``.
    n_total
        Conversations with a usable verdict, at least 1.
    confidence
        Coverage, strictly between 0 and 1.

    Returns
    -------
    Estimate
        ``point``, ``low`` and ``high`` are shares in [0, 1].

    Raises
    ------
    ValueError
        A count is out of range.

    Notes
    -----
    Assumes independent observations. Cases of one guideline resemble each other: for them use `clustered_interval`.

    References
    ----------
    Wilson (1927), J. Amer. Stat. Assoc. 22, 209-212.

    Examples
    --------
    >>> e = wilson_interval(9, 10)
    >>> round(e.low, 3), round(e.high, 3)
    (0.596, 0.982)
    """
    _check_counts(n_hits, n_total)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence}")
    low, high = _wilson(n_hits / n_total, n_total, confidence)
    return Estimate(
        point=n_hits / n_total, low=low, high=high, confidence=confidence, n=n_total, method="Wilson, independent conversations assumed"
    )


def clustered_interval(values: Sequence[float], clusters: Sequence[str], *, by: str = "guideline", confidence: float = 0.95) -> Estimate:
    """Interval for a share of conversations whose guidelines resemble themselves: Wilson's at the effective n (method.md B-11).

    Parameters
    ----------
    values
        Outcomes, 0 or 1, shape (n,), at least one.
    clusters
        The guideline of each.
    by
        What the clusters are, for the method's name.

    Raises
    ------
    ValueError
        As `effective_n`.
    """
    n_eff, n = effective_n(values, clusters), len(values)
    p = sum(values) / n
    low, high = _wilson(p, n_eff, confidence)
    return Estimate(
        point=p, low=low, high=high, confidence=confidence, n=n, method=f"Wilson at effective n, clustered by {by}", n_eff=n_eff
    )


def _wilson(p: float, n: float, confidence: float) -> tuple[float, float]:
    z2 = normal_quantile((1 + confidence) / 2) ** 2
    centre, half = p + z2 / (2 * n), math.sqrt(z2 * (p * (1 - p) + z2 / (4 * n)) / n)
    # The ends are exactly 0 and 1 there; rounding must not leave them beside the point.
    return 0.0 if p == 0 else (centre - half) / (1 + z2 / n), 1.0 if p == 1 else (centre + half) / (1 + z2 / n)


def clustered_bound(
    values: Sequence[float], clusters: Sequence[str], side: Literal["lower", "upper"], *, confidence: float = 0.95
) -> float:
    """One-sided Clopper-Pearson bound for a share at the effective n (method.md B-12)."""
    n_eff = effective_n(values, clusters)
    return exact_bound(n_eff * (sum(values) / len(values)), n_eff, side, confidence=confidence)


def _check_counts(n_hits: float, n_total: float) -> None:
    if n_total < 1 or not 0 <= n_hits <= n_total:
        raise ValueError(f"need 0 <= n_hits <= n_total and n_total >= 1, got n_hits={n_hits}, n_total={n_total}")


def normal_quantile(p: float) -> float:
    """Standard normal quantile."""
    from scipy.special import ndtri

    return float(ndtri(p))


def exact_bound(n_hits: float, n_total: float, side: Literal["lower", "upper"], *, confidence: float = 0.95) -> float:
    """One-sided bound for a share (Clopper and Pearson 1934, Biometrika 26, 404-413); counts at an effective n need not be whole.

    Raises
    ------
    ValueError
        A count is out of range.

    Examples
    --------
    >>> round(exact_bound(0, 59, "upper"), 4), round(exact_bound(1, 93, "upper"), 4)
    (0.0495, 0.05)
    """
    _check_counts(n_hits, n_total)
    from scipy.special import betaincinv

    if side == "upper":
        return 1.0 if n_hits == n_total else float(betaincinv(n_hits + 1, n_total - n_hits, confidence))
    return 0.0 if n_hits == 0 else float(betaincinv(n_hits, n_total - n_hits + 1, 1 - confidence))


def exact_mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p of McNemar's test from the discordant pairs (binomial with a half); 1 without any.

    Examples
    --------
    >>> round(exact_mcnemar(1, 9), 4)
    0.0215
    """
    from scipy.stats import binomtest

    n = only_first + only_second
    return float(binomtest(only_first, n).pvalue) if n else 1.0
