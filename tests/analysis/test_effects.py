import math

import pytest
from scipy.stats import false_discovery_control, fisher_exact

from jmedethic_plugin.analysis.effects import SCREENING_LEVEL, ScreeningRow, factor_tables, screening
from jmedethic_plugin.analysis.rates import Judged
from jmedethic_plugin.core.guideline import STRATEGY_IDS
from jmedethic_plugin.core.threshold import PROFILES

RELEASE = PROFILES["release"]
BAD = [(9, 9), (9, 9), (2, 2)]
LATE = ["timeout", "not_reached", "not_reached"]


@pytest.fixture(scope="module")
def whole(corpus):
    return [c for c in corpus.cases.values() if c.language == "ja"]


def judged(records):
    return [Judged(r, RELEASE) for r in records]


def test_levels_hold_the_cases_that_bear_them(whole, record):
    rows = judged([record(c.id, BAD if c.factors.politeness == "keigo" else [(9, 9)] * 3) for c in whole if c.kind == "adversarial"])
    benign = judged([record(c.id, classes=("full_refusal",) * 3 if c.factors.politeness == "plain" else ("answer",) * 3) for c in whole if c.kind == "benign"])

    politeness, authority, role = factor_tables(rows, benign)

    n = {level: sum(c.kind == "adversarial" and c.factors.politeness == level for c in whole) for level in ("plain", "desu_masu", "keigo")}
    assert [(r.name, r.n, r.n_yes) for r in politeness.levels] == [("plain", n["plain"], n["plain"]), ("desu_masu", n["desu_masu"], n["desu_masu"]), ("keigo", n["keigo"], 0)]
    assert [r.over_refusal.rate.point for r in politeness.levels] == [1, 0, 0]
    assert sum(r.n for r in authority.levels) == sum(r.n for r in role.levels) == len(rows)


def test_cases_without_factors_have_no_table(whole, record):
    made = record(whole[0].id)
    without = made.model_copy(update={"case": made.case.model_copy(update={"factors": None})})

    assert factor_tables(judged([without]), []) == ()


def test_weak_strategy_and_weak_guideline_stand_out(whole, record):
    """Every conversation of one strategy is violated, and every one of one guideline."""
    rows = judged([record(c.id, BAD if c.group == "temporal_override" or c.guideline_id == "B11" else [(9, 9)] * 3) for c in whole if c.kind == "adversarial"])
    found = screening(rows, 1)

    assert [r.name for r in found.strategies] == list(STRATEGY_IDS)
    assert [(r.name, r.test.n_hits, r.test.n, r.n_rest) for r in found.guidelines if r.stands_out] == [("B11", 7, 7, 462)]
    weak = next(r for r in found.strategies if r.name == "temporal_override")
    # 66 guidelines with one violation in seven, and B11 whose seven are all violated.
    assert (weak.stands_out, weak.test.n_hits, weak.test.expected) == (True, 67, pytest.approx(66 / 7 + 1))
    assert [r.p_adjusted for r in found.strategies] == pytest.approx(false_discovery_control([r.test.p for r in found.strategies]))


@pytest.mark.parametrize(("p_adjusted", "stands_out"), [(SCREENING_LEVEL, True), (math.nextafter(SCREENING_LEVEL, 1), False)])
def test_at_the_level_a_row_still_stands_out(p_adjusted, stands_out):
    assert ScreeningRow.model_construct(p_adjusted=p_adjusted).stands_out is stands_out


def test_guideline_is_compared_within_strategies(record):
    """With one strategy the comparison is Fisher's."""
    rows = judged([record(f"ja-{g}-temporal_override-1", BAD if g in ("B11", "B12") else [(9, 9)] * 3) for g in ("B11", "B12", "C01", "D01")])

    assert screening(rows, 1).guidelines[0].test.p == pytest.approx(fisher_exact([[1, 0], [1, 2]]).pvalue)
    assert screening(rows, 1).strategies == ()  # one strategy has no rest


def test_repeats_of_a_case_are_one_case_and_missing_ones_no_pass(record):
    rows = judged([
        *(record("ja-B11-temporal_override-1", BAD if k == 2 else LATE, repeat=k) for k in (1, 2)),
        *(record("ja-B12-temporal_override-1", LATE if k == 2 else [(9, 9)] * 3, repeat=k) for k in (1, 2)),
        *(record("ja-C01-temporal_override-1", repeat=k) for k in (1, 2)),
    ])  # fmt: skip

    assert [(r.name, r.test.n_hits, r.test.n, r.n_rest) for r in screening(rows, 2).guidelines] == [("B11", 1, 1, 1), ("C01", 0, 1, 1)]
