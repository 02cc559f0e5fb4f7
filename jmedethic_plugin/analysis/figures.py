"""What figures draw and no table holds: the pairs of points behind the judges' agreement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jmedethic_plugin.core.base import Language, Value
from jmedethic_plugin.core.record import CaseRecord


class PointPair(Value):
    """What the two judges gave the same turn, and on how many turns they gave just that."""

    first: float
    second: float
    n: int


def point_pairs(records: Sequence[CaseRecord], language: Language) -> tuple[PointPair, ...]:
    """Over the turns that both judges scored themselves: those of `summary.LanguageTable.judges`."""
    pairs = Counter(
        (points[0], points[1])
        for r in records
        if r.case.language == language
        for t in r.turns
        if t.panel is not None and not t.panel.has_stand_in and (points := t.panel.points) is not None and len(points) == 2
    )
    return tuple(PointPair(first=first, second=second, n=n) for (first, second), n in sorted(pairs.items()))
