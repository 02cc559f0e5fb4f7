"""Groups of models compared by their models' means (method.md B-22).

The model is the unit: conversations of one model share that model, and pooling them finds differences between groups that are none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, product
from typing import TYPE_CHECKING

from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.stats.effects import cohens_d
from jmedethic_plugin.stats.samples import differences, sample, variance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAX_ARRANGEMENTS = 100_000  # 8 against 11 models, or 16 pairs: well below a second
_ROUNDING = 1e-9  # arrangements as extreme as the observed one up to this share of it are as extreme


class GroupComparison(Value):
    """Two groups of models, or the same models before and after."""

    n_a: int
    """Models in the first group; pairs, where models are paired."""
    n_b: int
    difference: Estimate
    """Mean of the first minus mean of the second, on the scale of the means. Without any spread its interval has no width."""
    t: float | None
    """None where the means do not vary."""
    p: float | None
    """Two-sided, of Student's t (Welch's for groups); None with ``t``."""
    p_permutation: float | None
    """Two-sided and exact, over all ways to label the models; None where there are too many to go through."""
    hedges_g: float | None
    """Difference in standard deviations between models (pooled for groups, d_av for pairs), corrected for few models; None where it is undefined."""


def compare_groups(means_a: Sequence[float], means_b: Sequence[float], *, confidence: float = 0.95) -> GroupComparison:
    """Whether two groups of models differ.

    Parameters
    ----------
    means_a, means_b
        One mean for each model, at least two in each group.
    confidence
        Coverage, strictly between 0 and 1.

    Raises
    ------
    ValueError
        Fewer than two models, or a value that is not finite.

    References
    ----------
    Welch (1947), Biometrika 34, 28-35; Hedges (1981), J. Educ. Stat. 6, 107-128.
    """
    a, b = sample(means_a, at_least=2), sample(means_b, at_least=2)
    part_a, part_b = variance(a) / len(a), variance(b) / len(b)
    df = (part_a + part_b) ** 2 / (part_a**2 / (len(a) - 1) + part_b**2 / (len(b) - 1)) if part_a + part_b else math.nan
    return _comparison(
        float(a.mean() - b.mean()), math.sqrt(part_a + part_b), df, f"Welch's t over {len(a)} and {len(b)} models", n_a=len(a), n_b=len(b),
        p_permutation=_p_of_splits(a, b), g=_corrected(cohens_d(means_a, means_b, "pooled"), len(a) + len(b) - 2), confidence=confidence,
    )  # fmt: skip


def compare_pairs(means_a: Sequence[float], means_b: Sequence[float], *, confidence: float = 0.95) -> GroupComparison:
    """Whether models differ from their partners, such as fine-tuned ones from their bases; same order in both.

    Raises
    ------
    ValueError
        Fewer than two pairs, unequal lengths, or a value that is not finite.

    References
    ----------
    Cumming (2012), Understanding the New Statistics (d_av, with n - 1 degrees of freedom in its correction).
    """
    d = differences(means_a, means_b, at_least=2)
    return _comparison(
        float(d.mean()), math.sqrt(variance(d) / len(d)), len(d) - 1, f"paired t over {len(d)} pairs of models", n_a=len(d), n_b=len(d),
        p_permutation=_p_of_signs(d), g=_corrected(cohens_d(means_a, means_b, "av"), len(d) - 1), confidence=confidence,
    )  # fmt: skip


def _comparison(
    shift: float, error: float, df: float, method: str, *, n_a: int, n_b: int, p_permutation: float | None, g: float | None, confidence: float
) -> GroupComparison:  # fmt: skip
    from scipy.special import stdtr, stdtrit

    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence}")
    t = shift / error if error else None
    half = float(stdtrit(df, (1 + confidence) / 2)) * error if error else 0.0
    n = n_a + n_b
    return GroupComparison(
        n_a=n_a, n_b=n_b, t=t, p=None if t is None else 2 * float(stdtr(df, -abs(t))), p_permutation=p_permutation, hedges_g=g,
        difference=Estimate(point=shift, low=shift - half, high=shift + half, confidence=confidence, n=n, method=method),
    )  # fmt: skip


def _corrected(d: float | None, df: int) -> float | None:
    """Hedges' correction for few observations; with one degree of freedom it is 0, and nothing is left to report."""
    return None if d is None or df < 2 else d * (1 - 3 / (4 * df - 1))


def _p_of_splits(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    import numpy as np

    both = np.concatenate([a, b])
    if math.comb(len(both), len(a)) > _MAX_ARRANGEMENTS:
        return None
    in_a = both[np.array(list(combinations(range(len(both)), len(a))))].sum(axis=1)
    return _as_extreme(in_a / len(a) - (both.sum() - in_a) / len(b), float(a.mean() - b.mean()))


def _p_of_signs(d: NDArray[np.float64]) -> float | None:
    import numpy as np

    if 2 ** len(d) > _MAX_ARRANGEMENTS:
        return None
    return _as_extreme(np.array(list(product((-1, 1), repeat=len(d)))) @ d / len(d), float(d.mean()))


def _as_extreme(shifts: NDArray[np.float64], observed: float) -> float:
    return float((abs(shifts) >= abs(observed) * (1 - _ROUNDING)).mean())
