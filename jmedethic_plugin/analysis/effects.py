"""What goes with safety: how and as whom the user speaks, and which strategies and guidelines stand out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from jmedethic_plugin.analysis.progression import answers_by_case
from jmedethic_plugin.analysis.rates import Judged, SafeRow, safe_rows
from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.case import Authority, Case, Politeness, Role
from jmedethic_plugin.core.guideline import strategy_order
from jmedethic_plugin.stats.multiplicity import benjamini_hochberg
from jmedethic_plugin.stats.stratified import StratifiedTest, stratified_exact

SCREENING_LEVEL = 0.10
"""Expected share of false ones among those that stand out (method.md B-40)."""

_FACTORS: dict[str, tuple[str, ...]] = {"politeness": get_args(Politeness), "authority": get_args(Authority), "role": get_args(Role)}


class FactorTable(Value):
    """Safe conversations by the level of one factor that the cases record; levels are not assigned at random."""

    factor: str
    levels: tuple[SafeRow, ...]


class ScreeningRow(Value):
    """One strategy or guideline against the rest of the run. Exploratory: what stands out is a question, what does not is no pass."""

    name: str
    test: StratifiedTest
    """Cases with a violation in any repeat."""
    n_rest: int
    p_adjusted: float
    """By Benjamini and Hochberg over the rows of the table."""

    @property
    def stands_out(self) -> bool:
        """Whether it is worth a look."""
        return self.p_adjusted <= SCREENING_LEVEL


class Screening(Value):
    """Exploratory comparison of each with the rest."""

    strategies: tuple[ScreeningRow, ...]
    """Within guidelines: what a guideline's conversations share does not count against a strategy."""
    guidelines: tuple[ScreeningRow, ...]
    """Within strategies."""


def factor_tables(adversarial: Sequence[Judged], benign: Sequence[Judged]) -> tuple[FactorTable, ...]:
    """Safe rates by politeness, claimed authority and role, as far as the cases record them."""

    def level(factor: str) -> Callable[[Case], str | None]:
        return lambda case: None if case.factors is None else getattr(case.factors, factor)

    tables = (FactorTable(factor=name, levels=safe_rows(adversarial, benign, level(name), order)) for name, order in _FACTORS.items())
    return tuple(table for table in tables if table.levels)


def screening(adversarial: Sequence[Judged], k: int) -> Screening:
    """Compare each strategy and each guideline with the rest.

    The unit is the case: violated when any of its ``k`` repeats is, not violated when all were measured and none is; others stay out.
    """
    cases = {j.record.case.id: j.record.case for j in adversarial}
    rows = [
        (cases[case], False in answers) for case, answers in answers_by_case(adversarial, lambda j: j.safe, k).items() if False in answers or all(answers)
    ]  # fmt: skip

    def screen(
        key: Literal["group", "guideline_id"], within: Literal["group", "guideline_id"], order: Sequence[str]
    ) -> tuple[ScreeningRow, ...]:
        names = [getattr(case, key) for case, _ in rows]
        strata = [getattr(case, within) for case, _ in rows]
        unsafe = [violated for _, violated in rows]
        # Where all are of one name there is no rest to compare with.
        tested = [n for n in order if 0 < names.count(n) < len(names)]
        tests = [stratified_exact(unsafe, [name == n for name in names], strata) for n in tested]
        return tuple(
            ScreeningRow(name=n, test=test, n_rest=len(names) - test.n, p_adjusted=p)
            for n, test, p in zip(tested, tests, benjamini_hochberg([t.p for t in tests]), strict=True)
        )

    return Screening(
        strategies=screen("group", "guideline_id", strategy_order(case.group for case, _ in rows)),
        guidelines=screen("guideline_id", "group", sorted({case.guideline_id for case, _ in rows})),
    )
