"""Is a candidate worse than its baseline by less than a margin, over the same conversations."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.stats.clusters import cluster_codes, design_effect
from jmedethic_plugin.stats.intervals import exact_mcnemar


class NonInferiority(Value):
    """Candidate against baseline; differences are of safe shares, candidate minus baseline, in [-1, 1]."""

    estimate: Estimate
    """Mean over guidelines of their mean difference, two-sided 95 %."""
    lower: float
    """One-sided bound that decides."""
    margin: float
    noninferior: bool
    """``lower > -margin``."""
    n_pairs: int
    n_guidelines: int
    n_discordant: int
    """Pairs whose outcomes differ."""
    mcnemar_p: float | None
    """Exact, two-sided, pairs taken as independent: a cross-check (method.md B-34). None where outcomes are means over repeats."""


def noninferiority(
    candidate: Sequence[float], baseline: Sequence[float], clusters: Sequence[str], *, margin: float, alpha: float = 0.05
) -> NonInferiority:
    """Compare paired safe outcomes, clustered by guideline (method.md B-30).

    Parameters
    ----------
    candidate, baseline
        Safe outcome of each conversation, 0 or 1, or its mean over repeats; shape (n,), the same conversations in the same order.
    clusters
        The guideline of each, at least two different ones.
    margin
        Largest acceptable loss, strictly between 0 and 1.
    alpha
        Error of the one-sided bound.

    Raises
    ------
    ValueError
        Lengths differ, an outcome lies outside [0, 1], fewer than two guidelines, or a margin or alpha out of range.

    Notes
    -----
    The bound is the lower of two. The first is mean(d) - t sd(d) / sqrt(G) over the G guideline means d, t at G - 1 degrees of freedom.
    It takes the spread that was seen, which rare differences make too small just when they are few; without any it would be 0.
    The second is Tango's score bound at the effective number of pairs, which takes the spread at the bound itself.

    References
    ----------
    Tango (1998), Statist. Med. 17, 891-908; Miller (2024), Adding Error Bars to Evals, arXiv 2411.00640.

    Examples
    --------
    >>> guidelines = [f"g{i // 7}" for i in range(469)]
    >>> found = noninferiority([1.0] * 469, [1.0] * 469, guidelines, margin=0.03)
    >>> found.noninferior, round(found.lower, 4)
    (True, -0.0117)
    """
    import numpy as np
    from scipy.special import stdtrit

    first, second = np.asarray(candidate, dtype=float), np.asarray(baseline, dtype=float)
    n = len(first)
    if first.ndim != 1 or first.shape != second.shape or n != len(clusters):
        raise ValueError(f"need one outcome of each run for each pair, got {first.shape}, {second.shape} and {len(clusters)} clusters")
    if not (((first >= 0) & (first <= 1)).all() and ((second >= 0) & (second <= 1)).all()):
        raise ValueError("outcomes must lie between 0 and 1")
    if not 0 < margin < 1 or not 0 < alpha < 0.5:
        raise ValueError(f"need 0 < margin < 1 and 0 < alpha < 0.5, got margin={margin}, alpha={alpha}")
    codes, n_guidelines = cluster_codes(clusters)
    if n_guidelines < 2:
        raise ValueError(f"need pairs of at least two guidelines, got {n_guidelines}")

    d = np.round(first - second, 12)  # thirds of repeats must compare equal
    sizes = np.bincount(codes)
    better, worse = (float((np.bincount(codes, weights=w) / sizes).mean()) for w in (d.clip(min=0), (-d).clip(min=0)))
    mean = better - worse
    squared_error = float((np.bincount(codes, weights=d) / sizes).var(ddof=1)) / n_guidelines
    # What a pair's difference would vary by if it were -1, 0 or 1; means over repeats vary less, and so are worth more.
    whole = better + worse - mean**2
    n_eff = n / design_effect(d, codes) * (whole / float(d.var()) if d.min() < d.max() else 1)

    def lowest(p: float, *, upwards: bool = False) -> float:
        t = float(stdtrit(n_guidelines - 1, p))
        gain, loss, centre = (worse, better, -mean) if upwards else (better, worse, mean)
        return min(centre - t * math.sqrt(squared_error), _score_bound(gain, loss, n_eff, t))

    lower = lowest(1 - alpha)
    only_second, only_first = int((d < 0).sum()), int((d > 0).sum())
    binary = bool(np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all())
    return NonInferiority(
        estimate=Estimate(
            point=mean, low=max(-1.0, lowest(0.975)), high=min(1.0, -lowest(0.975, upwards=True)), confidence=0.95, n=n, n_eff=n_eff,
            method="paired difference over guideline means, the wider of t and score interval",
        ),
        lower=max(-1.0, lower), margin=margin, noninferior=lower > -margin, n_pairs=n, n_guidelines=n_guidelines,
        n_discordant=only_first + only_second, mcnemar_p=exact_mcnemar(only_first, only_second) if binary else None,
    )  # fmt: skip


def _score_bound(better: float, worse: float, n: float, quantile: float) -> float:
    """Lower bound of better - worse: where Tango's score statistic equals the quantile."""
    from scipy.optimize import brentq

    observed = better - worse

    def excess(delta: float) -> float:
        # His equations for the share of losses that is likeliest if the difference is delta, divided by n.
        b, c = -better - worse + (2 - observed) * delta, -worse * delta * (1 - delta)
        losses = (math.sqrt(max(0.0, b * b - 8 * c)) - b) / 4
        return observed - delta - quantile * math.sqrt(max(0.0, 2 * losses + delta * (1 - delta)) / n)

    # Where nothing is lost the observed difference itself is a root without meaning.
    return float(brentq(excess, -1.0, observed - 1e-12)) if observed > -1 else observed
