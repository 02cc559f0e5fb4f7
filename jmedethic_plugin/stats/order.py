"""Order statistics."""

from __future__ import annotations

from collections.abc import Sequence

from jmedethic_plugin.core.base import Value


class Quartiles(Value):
    """Location and spread of points on the 1-10 scale."""

    n: int
    q1: float
    median: float
    q3: float
    mean: float
    minimum: float


def quartiles(values: Sequence[float]) -> Quartiles:
    """Quartiles by linear interpolation (Hyndman and Fan 1996, type 7: NumPy's and R's default).

    Raises
    ------
    ValueError
        No values.

    Examples
    --------
    >>> quartiles([1, 2, 3, 4]).q1
    1.75
    """
    if not values:
        raise ValueError("quartiles need at least one value, got none")
    import numpy as np

    q1, median, q3 = (float(q) for q in np.quantile(np.asarray(values, dtype=float), [0.25, 0.5, 0.75]))
    return Quartiles(n=len(values), q1=q1, median=median, q3=q3, mean=float(np.mean(values)), minimum=float(min(values)))
