import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmedethic_plugin.analysis.progression import progression, repeats_of
from jmedethic_plugin.analysis.rates import Judged
from jmedethic_plugin.analysis.summary import summarize
from jmedethic_plugin.core.threshold import PROFILES
from jmedethic_plugin.stats.multiplicity import holm
from jmedethic_plugin.stats.paired import wilcoxon_pratt

RELEASE = PROFILES["release"]
GUIDELINES = ("A01", "B11", "B12", "C01")
STRATEGIES = ("temporal_override", "sanitized_reproduction", "creative_ethnography")
CASES = [f"ja-{g}-{s}-1" for g in GUIDELINES for s in STRATEGIES]
BAD = [(9, 9), (9, 9), (2, 2)]


def judged(records):
    return [Judged(r, RELEASE) for r in records]


def falling(record):
    """Turn 1 at 10, turn 2 at 9, turn 3 at 7 in the first guideline's, at 8 in the others'."""
    return [record(case, [(10, 10), (9, 9), (7, 7) if i < 3 else (8, 8)]) for i, case in enumerate(CASES)]


def test_planted_fall_is_found_with_its_size(record):
    found = progression(judged(falling(record)))

    assert [(c.first, c.second, c.test.n, c.cliffs_delta, c.shift.point) for c in found.changes] == [(1, 2, 12, -1, -1), (1, 3, 12, -1, -2), (2, 3, 12, -1, -1)]
    assert [c.test.rank_biserial for c in found.changes] == [-1] * 3
    assert found.changes[1].shift.low == -3  # of four guidelines the differing one may be drawn three times or more
    assert found.trend.statistic == 14 * 12
    assert [c.p_holm for c in found.changes] == list(holm([wilcoxon_pratt([-1.0] * 12, [0.0] * 12).p] * 3))


def test_repeats_enter_by_their_mean_and_do_not_raise_n(record):
    once = falling(record)
    again = [r.model_copy(update={"repeat": 2}) for r in once]

    assert progression(judged(once + again)).changes == progression(judged(once)).changes


def test_turn_without_points_leaves_its_pairs_only(record):
    rows = [*falling(record)[1:], record(CASES[0], [(10, 10), (9, None), (7, 7)])]

    assert [c.test.n for c in progression(judged(rows)).changes] == [11, 12, 11]
    assert progression(judged(rows)).trend.n == 11


def test_one_guideline_has_no_interval_and_none_no_rows(record):
    found = progression(judged(falling(record)[:3]))

    assert [c.shift for c in found.changes] == [None] * 3
    assert progression([]).changes == ()
    assert progression([]).trend is None


def test_two_conversations_have_a_trend_and_one_has_none(record):
    assert [progression(judged(falling(record)[:n])).trend is not None for n in (1, 2)] == [False, True]


def test_first_violation_with_blocked_and_unmeasured_counted_apart(record):
    """12 conversations: violated at turn 1: 1, 2: 2, 3: 1; blocked at turn 2: 1; timed out at turn 3: 1; turn 1 unscored but violated at 3: 1; clean: 5."""
    points = [
        [(2, 2), (9, 9), (9, 9)], [(9, 9), (2, 2), (9, 9)], [(9, 9), (2, 2), (2, 2)], BAD, [(9, 9), "blocked_output", "not_reached"],
        [(9, 9), (9, 9), "timeout"], [(9, None), (9, 9), (2, 2)], *[[(9, 9)] * 3] * 5,
    ]  # fmt: skip
    rows = progression(judged([record(c, p) for c, p in zip(CASES, points, strict=True)])).first_violation

    assert [(r.hazard.n, r.hazard.n_yes, r.hazard.n_not_measured, r.n_blocked) for r in rows] == [(12, 1, 1, 0), (11, 2, 1, 1), (9, 2, 2, 0)]
    assert [(r.violated_by.n_yes, r.violated_by.n_no, r.violated_by.n_not_measured) for r in rows] == [(1, 10, 1), (3, 7, 2), (5, 5, 2)]
    assert (rows[2].violated_by.lowest, rows[2].violated_by.highest) == (5 / 12, 7 / 12)


def test_last_row_of_the_curve_is_the_safe_rate(record):
    points = [BAD, [(9, 9), "timeout", "not_reached"], *[[(9, 9)] * 3] * 10]
    table = summarize([record(c, p) for c, p in zip(CASES, points, strict=True)], RELEASE).languages[0]

    last = table.progression.first_violation[-1].violated_by
    assert (last.n_yes, last.n_no, last.n_not_measured) == (table.safe.n_no, table.safe.n_yes, table.safe.n_not_measured)


def test_repeats_planted(record):
    """Four cases, k 3: all safe; one violated; one not measured; one never played twice."""
    cases = [CASES[0], CASES[3], CASES[6], CASES[9]]
    late = ["timeout", "not_reached", "not_reached"]
    rows = [
        *(record(cases[0], repeat=k) for k in (1, 2, 3)),
        *(record(cases[1], BAD if k == 2 else [(9, 9)] * 3, repeat=k) for k in (1, 2, 3)),
        *(record(cases[2], late if k == 3 else [(9, 9)] * 3, repeat=k) for k in (1, 2, 3)),
        record(cases[3]),
    ]
    found = repeats_of(judged(rows), lambda j: j.safe, 3)

    assert (found.n_conversations, found.n_scored, found.n_unscored, found.n_missing) == (4, 2, 2, 3)
    assert (found.pass_hat_k.point, found.worst_of_k.point, found.flip_share.point) == (0.5, 0.5, pytest.approx(1 / 3))
    assert repeats_of(judged(rows), lambda j: j.safe, 1) is None


def test_run_with_repeats_shows_cases_and_repeats_apart(record):
    benign = [record(f"ja-{g}-benign_clear-1", classes=("full_refusal" if g == "A01" else "answer",) * 3) for g in GUIDELINES]
    rows = [r.model_copy(update={"repeat": k}) for k in (1, 2) for r in [*falling(record), *benign]]
    table = summarize(rows, RELEASE).languages[0]

    assert (table.repeats.pass_hat_k.point, table.repeats_benign.pass_hat_k.point) == (1, 0.75)
    assert (table.n, table.n_cases, table.safe.n, table.repeats.n_conversations, table.repeats_benign.n_conversations) == (32, 16, 24, 12, 4)


@settings(max_examples=25)
@given(st.randoms(use_true_random=False), st.lists(st.sampled_from([BAD, [(9, 9)] * 3, [(9, 9), (7, 4), (9, None)], ["timeout"] * 3]), min_size=24, max_size=24))
def test_no_table_depends_on_the_order(record, rng, points):
    benign = [f"ja-{g}-benign_clear-1" for g in GUIDELINES]
    keys = [(c, k) for k in (1, 2) for c in [*CASES[::2], *benign]]
    rows = [record(c, p, repeat=k, classes=("answer", "answer_with_caution", "partial_refusal")) for (c, k), p in zip(keys, points, strict=False)]
    shuffled = rows[:]
    rng.shuffle(shuffled)

    assert summarize(shuffled, RELEASE) == summarize(rows, RELEASE)
