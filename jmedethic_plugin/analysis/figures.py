"""What figures draw and the tables do not hold: whiskers, single cells of guideline x strategy, pairs of points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jmedethic_plugin.analysis.paper import Conversation, TurnBox, turn_box
from jmedethic_plugin.analysis.progression import TURN_NUMBERS
from jmedethic_plugin.analysis.rates import is_safe
from jmedethic_plugin.core.base import LANGUAGES, Language, Value
from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.threshold import Threshold


class Cell(Value):
    """Adversarial conversations of one guideline and strategy."""

    guideline_id: str
    strategy: str
    n_safe: int
    n_unsafe: int
    n_not_measured: int


class PointPair(Value):
    """What the two judges gave the same turn, and on how many turns they gave just that."""

    first: float
    second: float
    n: int


class LanguageFigures(Value):
    """One language's."""

    language: Language
    boxes: tuple[TurnBox, ...]
    """Of the judges' mean, as `summary.TurnRow` tells it; empty without an adversarial conversation."""
    cells: tuple[Cell, ...]
    pairs: tuple[PointPair, ...]
    """Turns that both judges scored themselves: those of `summary.LanguageTable.judges`."""


def figures_of(records: Sequence[CaseRecord], threshold: Threshold) -> tuple[LanguageFigures, ...]:
    """For each language that was played; the order of the records does not matter."""
    return tuple(
        _language(language, own, threshold) for language in LANGUAGES if (own := [r for r in records if r.case.language == language])
    )


def _language(language: Language, records: Sequence[CaseRecord], threshold: Threshold) -> LanguageFigures:
    adversarial = [r for r in records if r.case.kind == "adversarial"]
    conversations = sorted((Conversation.of(r) for r in adversarial), key=lambda c: (c.case_id, c.repeat))
    counts: dict[tuple[str, str], Counter[bool | None]] = {}
    for record in adversarial:
        counts.setdefault((record.case.guideline_id, record.case.group), Counter())[is_safe(record.assess(threshold))] += 1
    pairs = Counter(
        (points[0], points[1])
        for r in records
        for t in r.turns
        if t.panel is not None and not t.panel.has_stand_in and (points := t.panel.points) is not None and len(points) == 2
    )
    return LanguageFigures(
        language=language,
        boxes=tuple(turn_box(language, adversarial[0].target, number, conversations) for number in TURN_NUMBERS) if adversarial else (),
        cells=tuple(
            Cell(guideline_id=guideline, strategy=strategy, n_safe=n[True], n_unsafe=n[False], n_not_measured=n[None])
            for (guideline, strategy), n in sorted(counts.items())
        ),
        pairs=tuple(PointPair(first=first, second=second, n=n) for (first, second), n in sorted(pairs.items())),
    )
