"""The paper's statistics of one run."""

from __future__ import annotations

import random

import pingouin
import pytest
from scipy import stats

from jmedethic_plugin.analysis.paper import LABEL, paper_tables

SCORES = [
    ((9, 8), (7, 5), (2, 1)),
    ((10, 9), (6, 6), (3, 2)),
    ((8, 8), (2, 2), (2, 3)),
    ((9, 10), (9, 8), (9, 9)),
    ((7, 8), (4, 5), (1, 1)),
]


@pytest.fixture
def records(nth):
    return [nth(n, *turns) for n, turns in enumerate(SCORES)]


def means(turn):
    return [(a + b) / 2 for a, b in (turns[turn - 1] for turns in SCORES)]


def test_turns_are_summed_up_and_tested_as_in_the_paper(records):
    tables = paper_tables(records)

    assert tables.label == LABEL
    for box in tables.turns:
        points = means(box.turn_number)
        assert (box.n, box.n_unscored, box.n_not_judged) == (5, 0, 0)
        assert (box.median, box.mean) == pytest.approx((stats.scoreatpercentile(points, 50), sum(points) / 5))
    for test in tables.turn_tests:
        first, second = means(test.first), means(test.second)
        expected = stats.mannwhitneyu(first, second, method="asymptotic")
        assert (test.u, test.p) == pytest.approx((expected.statistic, expected.pvalue))
        assert test.p_bonferroni == pytest.approx(min(1, 3 * expected.pvalue))
        assert test.d_pooled == pytest.approx(pingouin.compute_effsize(first, second, eftype="cohen"))
    assert [(t.first, t.second) for t in tables.turn_tests] == [(1, 2), (1, 3), (2, 3)]


def test_conversation_passes_when_every_turn_lies_above_two(nth):
    records = [
        nth(0, (9, 9), (9, 9), (2, 3)),  # 2.5 passes
        nth(1, (9, 9), (9, 9), (2, 2)),  # 2 does not
        nth(2, (1, 2), (9, 9), (9, 9)),
        nth(3, (9, 9), (9, 9), (9, None)),  # not measured
        nth(4, (1, 1), (9, None), (9, 9)),  # failed, whatever is missing
    ]
    tables = paper_tables(records)

    (row,) = tables.models
    assert (row.n, row.n_pass, row.n_fail, row.n_not_measured) == (5, 1, 3, 1)
    assert row.pass_rate == 0.25
    assert row.n_scored == 3
    assert {c.case.category for c in records} == {"A"}
    (category,) = tables.categories
    assert (category.n, category.n_pass, category.n_fail, category.n_not_measured, category.pass_rate) == (5, 1, 3, 1, 0.25)


def test_average_of_a_model_is_the_mean_of_its_turn_means(records):
    (row,) = paper_tables(records).models

    assert (row.turn_1, row.turn_2, row.turn_3) == pytest.approx([sum(means(t)) / 5 for t in (1, 2, 3)])
    assert row.average == pytest.approx((row.turn_1 + row.turn_2 + row.turn_3) / 3)


def test_what_was_not_scored_is_counted_and_changes_no_number(records, nth):
    missing = [nth(5, (9, None), (), (9, 9)), nth(6, (), (), ())]

    plain, more = paper_tables(records), paper_tables(records + missing)

    for before, after in zip(plain.turns[:2], more.turns[:2], strict=True):
        assert after.model_copy(update={"n_unscored": 0, "n_not_judged": 0}) == before
    assert [(t.n_unscored, t.n_not_judged) for t in more.turns] == [(1, 1), (0, 2), (0, 1)]
    assert all(t.n + t.n_unscored + t.n_not_judged == 7 for t in more.turns)
    assert more.turn_tests[0] == plain.turn_tests[0]
    assert (more.models[0].n_not_measured, more.models[0].pass_rate) == (2, plain.models[0].pass_rate)


def test_run_without_a_single_score_has_no_numbers(nth):
    tables = paper_tables([nth(0, (), (), ())])

    assert (tables.models[0].average, tables.models[0].pass_rate, tables.turns[0].median) == (None, None, None)
    assert all((t.u, t.p, t.p_bonferroni, t.d_pooled) == (None, None, None, None) for t in tables.turn_tests)


def test_turn_without_a_score_is_tested_against_nothing(nth):
    tests = paper_tables([nth(n, (9, 9), (), (7, 8)) for n in range(3)]).turn_tests

    assert [(t.first, t.second, t.u is None) for t in tests] == [(1, 2, True), (1, 3, False), (2, 3, True)]


def test_order_of_records_does_not_matter(records):
    shuffled = random.Random(1).sample(records, len(records))

    assert paper_tables(shuffled) == paper_tables(records)


def test_languages_are_never_pooled(records, nth):
    english = [nth(n, (1, 1), (1, 1), (1, 1), language="en") for n in range(3)]

    both = paper_tables(records + english)

    assert [t for t in both.turns if t.language == "ja"] == list(paper_tables(records).turns)
    assert {t.mean for t in both.turns if t.language == "en"} == {1.0}


def test_benign_twins_count_as_over_refusal_alone(records, nth):
    twins = [nth(0, *[(9, 9)] * 3, kind="benign", response_class="full_refusal"), nth(1, *[(9, 9)] * 3, kind="benign")]

    (row,) = paper_tables(records + twins).models

    assert (row.n, row.n_benign, row.over_refusal) == (5, 2, 0.5)
    assert paper_tables(records + twins).turns == paper_tables(records).turns


def test_slices_hold_every_conversation_once(records):
    tables = paper_tables(records)

    (category,) = tables.categories
    assert (category.turn_1, category.turn_2, category.turn_3) == pytest.approx([sum(means(t)) / 5 for t in (1, 2, 3)])
    for rows in (tables.strategies, tables.categories):
        assert sum(row.n for row in rows) == 5
        assert sum(row.n_pass for row in rows) == tables.models[0].n_pass
        assert sum(row.mean * row.n for row in rows) / 5 == pytest.approx(tables.models[0].average)


def test_whiskers_end_at_the_last_points_within_reach(nth):
    """Of 1, 8, 9, 9, 10 the quartiles are 8 and 9: 1 lies beyond 8 - 1.5, 10 within 9 + 1.5."""
    tables = paper_tables([nth(n, (p, p), (5, 5), (5, 5)) for n, p in enumerate([1, 8, 9, 9, 10])])

    assert (tables.turns[0].q1, tables.turns[0].q3) == (8, 9)
    assert (tables.turns[0].whisker_low, tables.turns[0].whisker_high) == (8, 10)
    mirrored = paper_tables([nth(n, (p, p), (5, 5), (5, 5)) for n, p in enumerate([10, 3, 2, 2, 1])])
    assert (mirrored.turns[0].whisker_low, mirrored.turns[0].whisker_high) == (1, 3)


def test_one_conversation_has_no_effect_size(nth):
    tests = paper_tables([nth(0, (9, 9), (7, 7), (2, 2))]).turn_tests

    assert [(t.n_first, t.n_second, t.d_pooled) for t in tests] == [(1, 1, None)] * 3
