"""The same conversation several times: what holds in every repeat, what breaks in one, what differs (method.md B-41).

Outcomes have one row for each conversation, in it one entry for each repeat: True safe, False a violation, None not measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import comb

from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.stats.intervals import clustered_interval
from jmedethic_plugin.stats.paired import mean_difference

Outcomes = Sequence[Sequence[bool | None]]


class RepeatTable(Value):
    """What repeats of the same conversations show; estimates are shares of conversations."""

    k: int
    """Repeats that a conversation needs."""
    n_conversations: int
    n_scored: int
    """Conversations with ``k`` measured repeats or more."""
    n_unscored: int
    """Conversations with fewer; they are neither safe nor unsafe."""
    n_missing: int
    """Repeats not measured, over all conversations."""
    pass_1: Estimate | None
    """Chance that one run is safe, of conversations with at least one measured repeat."""
    pass_hat_k: Estimate | None
    """Chance that ``k`` runs are all safe, of scored conversations."""
    worst_of_k: Estimate | None
    """Share with a violation in any repeat, of scored conversations and those seen violated."""
    flip_share: Estimate | None
    """Share whose repeats disagree, of conversations with two measured repeats or more."""


def repeat_table(outcomes: Outcomes, clusters: Sequence[str], k: int) -> RepeatTable:
    """All of it, for ``k`` planned repeats."""
    n_scored = sum(len(_measured(row)) >= k for row in outcomes)
    return RepeatTable(
        k=k, n_conversations=len(outcomes), n_scored=n_scored, n_unscored=len(outcomes) - n_scored,
        n_missing=sum(len(row) - len(_measured(row)) for row in outcomes),
        pass_1=pass_hat_k(outcomes, clusters, 1), pass_hat_k=pass_hat_k(outcomes, clusters, k),
        worst_of_k=worst_of_k(outcomes, clusters, k), flip_share=flip_share(outcomes, clusters),
    )  # fmt: skip


def pass_hat_k(outcomes: Outcomes, clusters: Sequence[str], k: int) -> Estimate | None:
    """Chance that ``k`` repeats of a conversation are all safe.

    Parameters
    ----------
    outcomes
        Repeats of each conversation.
    clusters
        The guideline of each conversation.
    k
        At least 1.

    Returns
    -------
    Estimate | None
        ``n`` counts the conversations with ``k`` measured repeats or more; the others are left out, never taken for 1. None: there
        are no such conversations, or they are of one guideline and some have more than ``k`` repeats.

    Raises
    ------
    ValueError
        ``k`` below 1, or not one cluster for each conversation.

    Notes
    -----
    Of n measured repeats with c safe, C(c, k) / C(n, k) is the unbiased estimate, which c^k / n^k is not. With k of k repeats this is 0
    or 1, and the interval is Wilson's at the effective n; else it is Student's over guidelines, which then count equally, cut at 0 and 1.

    References
    ----------
    Yao et al. (2024), tau-bench, arXiv:2406.12045.
    """
    rows = [(_measured(row), cluster) for row, cluster in _paired(outcomes, clusters, k)]
    scored = [(comb(sum(row), k) / comb(len(row), k), cluster) for row, cluster in rows if len(row) >= k]
    if all(value in (0, 1) for value, _ in scored):
        return _share(scored)
    values, of = zip(*scored, strict=True)
    if len(set(of)) < 2:
        return None
    found = mean_difference(values, of)
    return found.model_copy(update={"low": max(0.0, found.low), "high": min(1.0, found.high)})


def worst_of_k(outcomes: Outcomes, clusters: Sequence[str], k: int) -> Estimate | None:
    """Share of conversations violated in any measured repeat; None without a conversation that can be told.

    One with fewer than ``k`` measured repeats is left out only while none of them is a violation: what is missing cannot undo one.
    """
    return _share(
        (float(not all(measured)), cluster)
        for row, cluster in _paired(outcomes, clusters, k)
        if len(measured := _measured(row)) >= k or not all(measured)
    )


def flip_share(outcomes: Outcomes, clusters: Sequence[str]) -> Estimate | None:
    """Share of conversations, of those with two measured repeats or more, whose repeats disagree; None without such conversations."""
    return _share(
        (float(len(set(measured)) > 1), cluster) for row, cluster in _paired(outcomes, clusters, 2) if len(measured := _measured(row)) >= 2
    )


def _share(rows: Iterable[tuple[float, str]]) -> Estimate | None:
    found = list(rows)
    return clustered_interval([value for value, _ in found], [cluster for _, cluster in found]) if found else None


def _measured(row: Sequence[bool | None]) -> list[bool]:
    return [outcome for outcome in row if outcome is not None]


def _paired(outcomes: Outcomes, clusters: Sequence[str], k: int) -> Iterable[tuple[Sequence[bool | None], str]]:
    if k < 1 or len(outcomes) != len(clusters):
        raise ValueError(f"need k >= 1 and one cluster for each conversation, got k={k}, {len(clusters)} for {len(outcomes)}")
    return zip(outcomes, clusters, strict=True)
