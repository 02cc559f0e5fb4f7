"""p-values of several tests at once, adjusted: to be compared with the level as they are (method.md B-40)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate


def bonferroni(ps: Sequence[float]) -> tuple[float, ...]:
    """Each times their number: what the paper does; `holm` is never weaker.

    Raises
    ------
    ValueError
        A value outside [0, 1] or NaN, here and below.
    """
    return tuple(min(1.0, len(ps) * p) for p in _checked(ps))


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """Adjusted by Holm's step-down method: the chance of any false rejection stays at the level.

    References
    ----------
    Holm (1979), Scand. J. Stat. 6, 65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    order = sorted(range(len(_checked(ps))), key=lambda i: ps[i])
    steps = accumulate((min(1.0, (len(ps) - rank) * ps[i]) for rank, i in enumerate(order)), max)
    adjusted = dict(zip(order, steps, strict=True))
    return tuple(adjusted[i] for i in range(len(ps)))


def benjamini_hochberg(ps: Sequence[float]) -> tuple[float, ...]:
    """Adjusted so that the expected share of false ones among the rejected stays at the level: for screening only.

    References
    ----------
    Benjamini and Hochberg (1995), J. R. Stat. Soc. B 57, 289-300; computed by ``scipy.stats.false_discovery_control``.
    """
    if not _checked(ps):
        return ()
    from scipy.stats import false_discovery_control

    return tuple(float(p) for p in false_discovery_control(ps))


def _checked(ps: Sequence[float]) -> Sequence[float]:
    if wrong := [p for p in ps if not 0 <= p <= 1]:
        raise ValueError(f"p-values must lie in [0, 1], got {wrong[0]}")
    return ps
