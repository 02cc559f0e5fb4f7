"""One group against the rest, within strata: an exact test for screening."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from jmedethic_plugin.core.base import Value

_AS_LIKELY = 1 + 1e-7  # outcomes as likely as the observed one up to rounding: R's factor in fisher.test and mantelhaen.test


class StratifiedTest(Value):
    """Hits of a group beside what its strata alone would lead to expect."""

    n_hits: int
    n: int
    expected: float
    """Mean number of hits if the group were drawn at random within each stratum."""
    p: float
    """Two-sided: chance of an outcome no more likely than the observed one."""


def stratified_exact(hits: Sequence[bool], in_group: Sequence[bool], strata: Sequence[str]) -> StratifiedTest:
    """Whether a group has more or fewer hits than the rest of its strata.

    Parameters
    ----------
    hits, in_group, strata
        Outcome, membership and stratum of each conversation.

    Raises
    ------
    ValueError
        Unequal lengths, or an empty group.

    Notes
    -----
    Given the hits of each stratum, those of the group are a sum of independent hypergeometric counts, whose distribution is computed in
    full: nothing is drawn, nothing approximated. What the conversations of a stratum share (a guideline that is hard for the target, a
    strategy that works) is thereby held fixed. With one stratum it is Fisher's test.

    References
    ----------
    Zelen (1971), Biometrika 58, 129-137; Mehta, Patel and Gray (1985), J. Amer. Stat. Assoc. 80, 969-973.

    Examples
    --------
    >>> tea = stratified_exact([1, 1, 1, 0, 0, 0, 0, 1], [1, 1, 1, 1, 0, 0, 0, 0], ["cup"] * 8)
    >>> tea.n_hits, tea.n, tea.expected, round(tea.p, 4)
    (3, 4, 2.0, 0.4857)
    """
    import numpy as np

    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    n_hits = 0
    for hit, member, stratum in zip(hits, in_group, strata, strict=True):
        total = counts[stratum]
        total[0] += 1
        total[1] += bool(hit)
        total[2] += bool(member)
        n_hits += bool(hit) and bool(member)
    n = sum(drawn for _, _, drawn in counts.values())
    if not n:
        raise ValueError("need at least one conversation in the group, got none")
    chances = np.ones(1)
    for size, of_hits, drawn in counts.values():
        x = np.arange(min(drawn, of_hits) + 1)  # with too few hits for so many drawn a factorial is infinite, the chance 0
        chances = np.convolve(chances, np.exp(_log_choose(of_hits, x) + _log_choose(size - of_hits, drawn - x) - _log_choose(size, drawn)))
    observed = chances[n_hits]
    return StratifiedTest(
        n_hits=n_hits, n=n, expected=sum(drawn * of_hits / size for size, of_hits, drawn in counts.values()),
        p=min(1.0, float(chances[chances <= observed * _AS_LIKELY].sum())),
    )  # fmt: skip


def _log_choose(n: int, k: Any) -> Any:
    from scipy.special import gammaln

    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
