"""How conversations fare from turn to turn, and from repeat to repeat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations

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

_CasePoints = tuple[str, list[dict[int, float]]]
"""A case's guideline, and for each of its repeats the points of each turn that both judges scored."""


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
    """The paired analysis of turns; points are the mean of the judges, as in the paper's medians."""
    points = _points(adversarial)
    complete = [row for _, row in _complete(points, TURN_NUMBERS)]
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


def _points(adversarial: Sequence[Judged]) -> list[_CasePoints]:
    repeats: dict[str, list[dict[int, float]]] = defaultdict(list)
    for row in adversarial:
        means = {t.turn_number: mean for t in row.record.turns if t.panel is not None and (mean := t.panel.mean) is not None}
        repeats[row.record.case.id].append(means)
    guideline = {row.record.case.id: row.record.case.guideline_id for row in adversarial}
    return [(guideline[case], found) for case, found in repeats.items()]


def _complete(points: Sequence[_CasePoints], turn_numbers: Sequence[int]) -> list[tuple[str, tuple[float, ...]]]:
    """Guideline and mean points of these turns, over the repeats with all of them scored, for each case that has one."""
    found = [
        (guideline, [[means[n] for n in turn_numbers] for means in repeats if means.keys() >= set(turn_numbers)])
        for guideline, repeats in points
    ]
    return [(guideline, tuple(sum(p) / len(p) for p in zip(*rows, strict=True))) for guideline, rows in found if rows]


def _changes(points: Sequence[_CasePoints]) -> tuple[TurnChange, ...]:
    found = [
        (pair, [g for g, _ in rows], [p[0] for _, p in rows], [p[1] for _, p in rows])
        for pair in combinations(TURN_NUMBERS, 2)
        if (rows := _complete(points, pair))
    ]
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
