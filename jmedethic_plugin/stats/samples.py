"""What a sample must be before anything is computed from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DECIMALS = 9  # 7.3 - 6.3 and 5.1 - 4.1 are one tie on paper and two floats; points and rates have far fewer decimals


def sample(values: Sequence[float], *, at_least: int) -> NDArray[np.float64]:
    """The values as an array of shape (n,).

    Raises
    ------
    ValueError
        Not a flat sequence of finite numbers, or fewer than ``at_least``.
    """
    import numpy as np

    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or len(x) < at_least or not np.isfinite(x).all():
        raise ValueError(
            f"need at least {at_least} finite numbers, got shape {x.shape} with {np.count_nonzero(~np.isfinite(x))} not finite"
        )
    return x


def differences(first: Sequence[float], second: Sequence[float], *, at_least: int) -> NDArray[np.float64]:
    """First minus second of each pair, free of rounding noise; otherwise as `sample`."""
    import numpy as np

    a, b = sample(first, at_least=at_least), sample(second, at_least=at_least)
    if len(a) != len(b):
        raise ValueError(f"need pairs, got {len(a)} first and {len(b)} second values")
    return np.round(a - b, _DECIMALS)


def variance(x: NDArray[np.float64]) -> float:
    """Of a sample of two values or more, with n - 1; exactly 0 for equal ones, whose mean may be off by a rounding."""
    import numpy as np

    return 0.0 if np.ptp(x) == 0 else float(np.var(x, ddof=1))
