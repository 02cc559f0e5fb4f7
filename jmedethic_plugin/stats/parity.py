"""What only the paper's own analyses need: bootstrap of a difference of groups, double normalisation, correlation of two judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.stats.clusters import resamples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

N_RESAMPLES = 1000  # as in the paper's Appendix E
_ROUNDING = 1e-9  # points: what normalising leaves of equal scores


def bootstrap_difference(first: Sequence[float], second: Sequence[float], *, seed: int, confidence: float = 0.95) -> Estimate:
    """Difference of two means, first minus second, with a percentile interval: both groups are resampled apart.

    Raises
    ------
    ValueError
        A group is empty.

    References
    ----------
    Efron and Tibshirani (1993), An Introduction to the Bootstrap, 8.3 and 13.3.
    """
    import numpy as np

    if not first or not second:
        raise ValueError(f"need values in both groups, got {len(first)} and {len(second)}")
    rng = np.random.default_rng(seed)
    means = [
        np.concatenate([w @ np.asarray(x, dtype=float) / len(x) for w in resamples(len(x), n_resamples=N_RESAMPLES, rng=rng)])
        for x in (first, second)
    ]
    low, high = np.quantile(means[0] - means[1], [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(
        point=float(np.mean(first) - np.mean(second)), low=float(low), high=float(high), confidence=confidence,
        n=len(first) + len(second), method=f"percentile bootstrap, {N_RESAMPLES} resamples of each group",
    )  # fmt: skip


def doubly_normalised(scores: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Scores less their model's mean and their question's mean: shape (n_models, n_questions), models in rows.

    The grand mean stays subtracted twice, a constant that no difference notices.
    """
    import numpy as np

    x = np.asarray(scores, dtype=float)
    return np.asarray(x - x.mean(axis=1, keepdims=True) - x.mean(axis=0, keepdims=True))


class TTest(Value):
    """Student's t-test of two independent samples, equal variances assumed, two-sided."""

    difference: float
    """Mean of the first minus mean of the second."""
    t: float
    df: int
    p: float


def t_test(first: Sequence[float], second: Sequence[float]) -> TTest | None:
    """None where nothing varies beyond rounding, or a sample has fewer than two values."""
    import numpy as np
    from scipy.stats import ttest_ind

    if min(len(first), len(second)) < 2 or max(np.ptp(first), np.ptp(second)) < _ROUNDING:
        return None
    found = ttest_ind(first, second)
    return TTest(
        difference=float(np.mean(first) - np.mean(second)), t=float(found.statistic), df=len(first) + len(second) - 2, p=float(found.pvalue)
    )


class Correlation(Value):
    """How two judges' points go together."""

    n: int
    pearson: float
    spearman: float
    icc_single: float | None
    """ICC(2,1): absolute agreement of one judge."""


def correlation(pairs: Sequence[tuple[float, float]]) -> Correlation | None:
    """None for fewer than three pairs or where a judge's points never vary."""
    import numpy as np
    from scipy.stats import pearsonr, spearmanr

    from jmedethic_plugin.stats.measures import icc_single, mean_squares, moments, shifted

    x = np.asarray(pairs, dtype=float).reshape(-1, 2)
    if len(x) < 3 or (np.ptp(x, axis=0) == 0).any():
        return None
    icc = float(icc_single(mean_squares(moments(shifted(x)).sum(axis=0), 2)))
    return Correlation(
        n=len(x), pearson=float(pearsonr(x[:, 0], x[:, 1]).statistic), spearman=float(spearmanr(x[:, 0], x[:, 1]).statistic),
        icc_single=None if np.isnan(icc) else icc,
    )  # fmt: skip
