"""How conversations fare from turn to turn, and from repeat to repeat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations

from jmedethic_plugin.analysis.findings import mean_points
from jmedethic_plugin.analysis.rates import Judged, RateRow, rate_row
from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.case import N_TURNS
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.core.transcript import BLOCKED_OUTCOMES
from jmedethic_plugin.stats.effects import cliffs_delta
from jmedethic_plugin.stats.multiplicity import holm
from jmedethic_plugin.stats.paired import PairedTest, TrendTest, hodges_lehmann, page_trend, wilcoxon_pratt
from jmedethic_plugin.stats.repeats import RepeatTable, repeat_table

TURN_NUMBERS = tuple(range(1, N_TURNS + 1))


class TurnChange(Value):
    """Points of one turn against an earlier one of the same conversations; repeats of a conversation enter by their mean."""

    first: int
    second: int
    shift: Estimate | None
    """Hodges and Lehmann's, second minus first, in points; None below two guidelines."""
    test: PairedTest
    """Of the later turn against the earlier."""
    p_holm: float
    """Adjusted for the pairs of turns."""
    cliffs_delta: float
    """Chance that the later turn of any conversation has more points than the earlier one of any, minus the reverse."""


class ProgressRow(Value):
    """One turn of the way to the first violation. A filter's block and what else was not measured are never taken for chance."""

    turn_number: int
    hazard: RateRow
    """Violated at this turn, of the conversations in which no earlier turn was seen violated."""
    violated_by: RateRow
    """Violated at this turn or before, of all."""
    n_blocked: int
    """Of the hazard's unmeasured, those that the provider's filter stopped here."""


class Progression(Value):
    """Adversarial conversations turn by turn."""

    changes: tuple[TurnChange, ...]
    trend: TrendTest | None
    """Page's, over conversations with points on every turn; None below two."""
    first_violation: tuple[ProgressRow, ...]


def progression(adversarial: Sequence[Judged]) -> Progression:
    """The paired analysis of turns; points are those the threshold looks at."""
    points = _points(adversarial)
    complete = [found for _, row in points if len(found := [p for p in row if p is not None]) == N_TURNS]
    return Progression(
        changes=_changes(points),
        trend=page_trend(complete) if len(complete) > 1 else None,
        first_violation=tuple(_progress(number, adversarial) for number in TURN_NUMBERS),
    )


def repeats_of(rows: Sequence[Judged], answer: Callable[[Judged], bool | None], k: int) -> RepeatTable | None:
    """What ``k`` repeats of each conversation show; a repeat that was not played is not measured. None without repeats."""
    if k < 2 or not rows:
        return None
    found = answers_by_case(rows, answer, k)
    guideline = {row.record.case.id: row.record.case.guideline_id for row in rows}
    return repeat_table(list(found.values()), [guideline[case] for case in found], k)


def answers_by_case(rows: Sequence[Judged], answer: Callable[[Judged], bool | None], k: int) -> dict[str, list[bool | None]]:
    """For each case the answer of each of its ``k`` repeats."""
    found: dict[str, list[bool | None]] = defaultdict(lambda: [None] * k)
    for row in rows:
        found[row.record.case.id][row.record.repeat - 1] = answer(row)
    return found


def _points(adversarial: Sequence[Judged]) -> list[tuple[str, tuple[float | None, ...]]]:
    """For each case its guideline and the points of each turn."""
    repeats: dict[str, list[Judged]] = defaultdict(list)
    for row in adversarial:
        repeats[row.record.case.id].append(row)
    return [(of[0].record.case.guideline_id, mean_points([row.record for row in of], of[0].threshold)) for of in repeats.values()]


def _changes(points: Sequence[tuple[str, tuple[float | None, ...]]]) -> tuple[TurnChange, ...]:
    found = []
    for first, second in combinations(TURN_NUMBERS, 2):
        pairs = [(g, a, b) for g, row in points if (a := row[first - 1]) is not None and (b := row[second - 1]) is not None]
        if pairs:
            found.append(((first, second), *zip(*pairs, strict=True)))
    tests = [wilcoxon_pratt(later, earlier) for _, _, earlier, later in found]
    return tuple(
        TurnChange(
            first=pair[0], second=pair[1], test=test, p_holm=p_holm, cliffs_delta=cliffs_delta(later, earlier),
            shift=hodges_lehmann([b - a for a, b in zip(earlier, later, strict=True)], guidelines) if len(set(guidelines)) > 1 else None,
        )
        for (pair, guidelines, earlier, later), test, p_holm in zip(found, tests, holm([t.p for t in tests]), strict=True)
    )  # fmt: skip


def _progress(number: int, adversarial: Sequence[Judged]) -> ProgressRow:
    def by(row: Judged) -> bool | None:
        so_far = row.violations[:number]
        return True if any(so_far) else None if None in so_far else False

    at_risk = [row for row in adversarial if not any(row.violations[: number - 1])]
    return ProgressRow(
        turn_number=number,
        hazard=rate_row(f"turn {number}", at_risk, lambda row: row.violations[number - 1]),
        violated_by=rate_row(f"by turn {number}", adversarial, by),
        n_blocked=sum(t.reply.outcome in BLOCKED_OUTCOMES for row in at_risk for t in row.record.turns if t.turn_number == number),
    )
