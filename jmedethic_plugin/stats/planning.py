"""What a number of conversations can show, before they are played: closed forms with the planning assumptions as arguments.

Shares and margins are in [0, 1]; ``design_effect`` is by how much resemblance within guidelines widens variances (`clusters`).
"""

from __future__ import annotations

import math
from bisect import bisect_left

from jmedethic_plugin.stats.intervals import exact_bound, normal_quantile

MILLER_BETWEEN = 1 / 9
"""Variance over conversations of the difference between two models' means, in Miller's example: scores spread evenly over 0 to 1."""
MILLER_WITHIN = 1 / 6
"""Variance over repeats of one conversation, in the same example; a repeat's whole variance is 1/4."""


def pairs_needed(margin: float, discordant: float, *, design_effect: float = 1, alpha: float = 0.05, power: float = 0.8) -> int:
    """Pairs that show a candidate no worse by the margin, where nothing has changed (method.md B-31).

    Parameters
    ----------
    margin
        Largest acceptable loss, above 0.
    discordant
        Share of pairs whose outcomes differ, in both directions alike.
    alpha
        Error of the one-sided bound.

    Notes
    -----
    By the normal approximation, with the design effect known. `noninferiority` estimates it and is stricter where few pairs differ: of 469
    pairs with .05 discordant and no resemblance, for 3 points, it lets 85 % of equal candidates through where this promises 90 %.

    Examples
    --------
    >>> pairs_needed(0.03, 0.05), pairs_needed(0.03, 0.05, design_effect=2)
    (344, 687)
    """
    return math.ceil(_reach(alpha, power) ** 2 * discordant * design_effect / margin**2)


def achievable_margin(n_pairs: int, discordant: float, *, design_effect: float = 1, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest margin so many pairs can show, where nothing has changed: the inverse of `pairs_needed`."""
    return _reach(alpha, power) * math.sqrt(discordant * design_effect / n_pairs)


def conversations_needed(
    difference: float, *, repeats: int = 1, between: float = MILLER_BETWEEN, within: float = MILLER_WITHIN, alpha: float = 0.05,
    power: float = 0.8,
) -> int:  # fmt: skip
    """Conversations that show a difference between two models played on all of them, two-sided (method.md B-45).

    Parameters
    ----------
    between
        Variance over conversations of the difference of the two models' means.
    within
        Variance over repeats of one conversation and model.

    References
    ----------
    Miller (2024), Adding Error Bars to Evals, arXiv 2411.00640, section 5.

    Examples
    --------
    >>> conversations_needed(0.05), conversations_needed(0.05, repeats=3)
    (1396, 698)
    """
    return math.ceil(_reach(alpha / 2, power) ** 2 * (between + 2 * within / repeats) / difference**2)


def detectable_difference(
    n: int, rate: float, *, repeats: int = 1, design_effect: float = 1, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Difference in a rate between two runs of the same conversations that is found with this power, two-sided.

    Parameters
    ----------
    n
        Conversations, each played ``repeats`` times.
    rate
        Near what rate: an outcome there has variance rate x (1 - rate), divided between and within conversations as in Miller's example.
    """
    share = 4 * rate * (1 - rate)
    return _reach(alpha / 2, power) * math.sqrt(share * (MILLER_BETWEEN + 2 * MILLER_WITHIN / repeats) * design_effect / n)


def allowed_failures(n: int, bound: float, *, design_effect: float = 1, confidence: float = 0.95) -> int | None:
    """Failures among n outcomes that still leave the lower bound of the pass rate at ``bound`` or above (method.md B-12).

    None where even no failure does. With ``1 - bound``, the over-refusals that leave their upper bound at ``bound`` or below.

    Examples
    --------
    >>> [allowed_failures(469, bound) for bound in (0.90, 0.95, 0.98)], allowed_failures(67, 0.98)
    ([35, 15, 4], None)
    """
    n_eff = n / design_effect

    def exceeds(failures: int) -> bool:
        return exact_bound(n_eff * ((n - failures) / n), n_eff, "lower", confidence=confidence) < bound

    return None if exceeds(0) else bisect_left(range(n + 1), x=True, key=exceeds) - 1


def power_of_gate(true_rate: float, n: int, bound: float, *, design_effect: float = 1, confidence: float = 0.95) -> float:
    """Probability that n outcomes at this true pass rate meet the bound, the gate seeing the design effect as it is.

    Failures are beta-binomial with the variance the design effect implies; without one, binomial.
    """
    from scipy.stats import betabinom, binom

    most = allowed_failures(n, bound, design_effect=design_effect, confidence=confidence)
    if most is None or true_rate in (0, 1):
        return float(most is not None and (true_rate == 1 or most == n))
    if design_effect == 1:
        return float(binom.cdf(most, n, 1 - true_rate))
    spread = (n - 1) / (design_effect - 1) - 1
    return float(betabinom.cdf(most, n, (1 - true_rate) * spread, true_rate * spread))


def _reach(alpha: float, power: float) -> float:
    """Standard errors from no effect to one that is found with this power."""
    return normal_quantile(1 - alpha) + normal_quantile(power)
