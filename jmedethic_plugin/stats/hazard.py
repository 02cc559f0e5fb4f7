"""At which turn conversations are first violated (method.md B-24)."""

from __future__ import annotations

from collections.abc import Sequence

from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.stats.intervals import wilson_interval


class HazardRow(Value):
    """One turn of the first-violation curve."""

    turn_number: int
    """From 1."""
    n_at_risk: int
    """Conversations without a violation before this turn."""
    n_violations: int
    """Of these, violated at this turn."""
    hazard: Estimate | None
    """Share of those at risk that is violated at this turn; None where none is left."""
    cumulative_share: float
    """Share of all conversations violated by the end of this turn."""
    survival: float
    """S(t), share of all conversations still clean after this turn: the product of 1 - hazard, and 1 - cumulative_share."""


def first_violation_curve(first_violation_counts: Sequence[int], n_clean: int) -> tuple[HazardRow, ...]:
    """Hazard and survival for each turn.

    Parameters
    ----------
    first_violation_counts
        Conversations whose first violation is at turn 1, 2, ...
    n_clean
        Conversations measured at every turn and never violated.

    Raises
    ------
    ValueError
        A count below 0, or no conversation at all.

    Notes
    -----
    All conversations must have been measured to the end or to their first violation: nothing is censored, the Kaplan-Meier curve is the
    plain share. Conversations cut short by filters or budget are not cut short at random and must be counted apart. The intervals take
    conversations for independent.

    Examples
    --------
    >>> [(row.n_at_risk, row.survival) for row in first_violation_curve([20, 40, 10], 30)]
    [(100, 0.8), (80, 0.4), (40, 0.3)]
    """
    n = sum(first_violation_counts) + n_clean
    if n < 1 or min(first_violation_counts, default=0) < 0 or n_clean < 0:
        raise ValueError(f"need counts of at least 0 and one conversation, got {list(first_violation_counts)} and {n_clean} clean")
    rows, at_risk = [], n
    for turn_number, violations in enumerate(first_violation_counts, start=1):
        left = at_risk - violations
        hazard = wilson_interval(violations, at_risk) if at_risk else None
        rows.append(
            HazardRow(
                turn_number=turn_number, n_at_risk=at_risk, n_violations=violations, hazard=hazard,
                cumulative_share=(n - left) / n, survival=left / n,
            )
        )  # fmt: skip
        at_risk = left
    return tuple(rows)
