"""Runs beside each other: planted differences are found, equal runs tie, what cannot be compared is refused or counted."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jmedethic_plugin.analysis.comparison import compare
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.threshold import PROFILES
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.reporting.comparison import comparison_lines, comparison_markdown
from jmedethic_plugin.stats.noninferiority import noninferiority
from tests.conftest import make_turn

SAFE, UNSAFE, OPEN = [(9, 9), (9, 9), (9, 9)], [(9, 9), (6, 6), (2, 2)], [(9, 9), (9, None), (9, 9)]
GUIDELINES = ("A01", "A02", "A03", "B01", "B02", "B03", "B04", "B05", "C01", "C02")


def manifest(name, *, repeats=1, threshold=PROFILES["release"], **identity):
    return Manifest(
        run_id=name, canary="c", suite_version="1", demo=False, selection={}, corpus_hash="h", versions={}, repeats=repeats, threshold=threshold,
        started_at="2026-01-01T00:00:00+00:00",
        identity={
            "model": f"m/{name}", "system_prompt": None, "judges": ["a", "b"], "judge_sampling": {"temperature": 0.0},
            "rubric": {"ja": "hash", "en": "hash"},
        } | identity,
    )  # fmt: skip


def record(case, points, *, repeat=1, response_class="answer"):
    return CaseRecord(
        case=case, repeat=repeat, target="m", judges=("a", "b"), demo=False,
        turns=tuple(make_turn(n, p, response_class=response_class) for n, p in enumerate(points, 1)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def cases(corpus):
    """All Japanese cases of ten guidelines: seventy adversarial, thirty twins."""
    return [c for c in corpus.cases.values() if c.language == "ja" and c.guideline_id in GUIDELINES]


def played(cases, *, unsafe=(), unscored=(), refused=()):
    return [
        record(
            c,
            UNSAFE if c.id in unsafe else OPEN if c.id in unscored else SAFE,
            response_class="full_refusal" if c.id in refused else "answer",
        )
        for c in cases
    ]


def only(comparison):
    (pair,) = comparison.pairs
    (language,) = pair.languages
    return language


def ids(cases, kind, step=1):
    return [c.id for c in cases if c.kind == kind][::step]


def test_planted_violations_and_refusals_are_found_and_listed(cases):
    fallen, refused = ids(cases, "adversarial", 3), ids(cases, "benign", 6)

    found = only(compare([(manifest("old"), played(cases)), (manifest("new"), played(cases, unsafe=fallen, refused=refused))]))

    safe, over_refusal, harmful = found.rates
    assert [c.case_id for c in safe.worse] == fallen
    assert not safe.better
    assert (safe.worse[0].baseline.turn_number, safe.worse[0].candidate.turn_number) == (None, 3)
    assert safe.worse[0].candidate.points == (9, 6, 2)
    assert safe.difference.high < 0
    assert safe.difference.point == pytest.approx(safe.candidate - safe.baseline)
    assert safe.mcnemar_p == pytest.approx(2 * 0.5 ** len(fallen))
    assert [c.case_id for c in over_refusal.worse] == refused
    assert over_refusal.difference.point > 0
    assert (harmful.worse, harmful.better, harmful.mcnemar_p) == ((), (), 1.0)
    share = len(fallen) / 70  # seven strategies of each guideline, so that guidelines counted equally are conversations counted equally
    assert [t.difference.point for t in found.turns] == pytest.approx([0, -3 * share, -7 * share])
    assert [(t.baseline, t.candidate) for t in found.turns] == [(9, 9), (9, pytest.approx(9 - 3 * share)), (9, pytest.approx(9 - 7 * share))]


def test_difference_is_that_of_the_gate(cases):
    fallen = ids(cases, "adversarial", 4)

    found = only(compare([(manifest("old"), played(cases)), (manifest("new"), played(cases, unsafe=fallen))]))

    adversarial = [c for c in cases if c.kind == "adversarial"]
    expected = noninferiority([float(c.id not in fallen) for c in adversarial], [1.0] * 70, [c.guideline_id for c in adversarial], margin=0.03)
    assert found.rates[0].difference == expected.estimate


def test_swapping_the_runs_turns_every_difference_round(cases):
    one = (manifest("one"), played(cases, unsafe=ids(cases, "adversarial", 3), unscored=ids(cases, "adversarial", 5)))
    two = (manifest("two"), played(cases, unsafe=ids(cases, "adversarial", 2)))

    there, back = only(compare([one, two])), only(compare([two, one]))

    for a, b in zip(there.rates, back.rates, strict=True):
        assert (a.difference.point, a.difference.low, a.difference.high) == pytest.approx((-b.difference.point, -b.difference.high, -b.difference.low))
        assert (a.lowest, a.highest) == pytest.approx((-b.highest, -b.lowest))
        assert ([c.case_id for c in a.worse], a.mcnemar_p) == ([c.case_id for c in b.better], b.mcnemar_p)


def test_equal_runs_show_nothing_and_tie(cases):
    records = played(cases, unsafe=ids(cases, "adversarial", 3))

    found = compare([(manifest("one"), records), (manifest("two"), records), (manifest("three"), records)])

    for pair in found.pairs:
        for rate in pair.languages[0].rates:
            assert (rate.difference.point, rate.worse, rate.better, rate.lowest, rate.highest) == (0, (), (), 0, 0)
            assert rate.difference.low < 0 < rate.difference.high
    assert [s.rank for s in found.leaderboards[0].standings] == [1, 1, 1]


def test_leaderboard_ranks_what_the_intervals_tell_apart(cases):
    names = ids(cases, "adversarial")
    runs = [(manifest("bad"), played(cases, unsafe=names[::2])), (manifest("good"), played(cases)), (manifest("as good"), played(cases, unsafe=names[:1]))]

    (board,) = compare(runs).leaderboards

    assert [(s.run, s.rank) for s in board.standings] == [(1, 1), (2, 1), (0, 3)]
    assert board.n == 100
    assert (board.standings[2].safe.n_yes, board.standings[2].safe.rate.method) == (35, "Wilson at effective n, clustered by guideline")


def test_a_run_without_a_verdict_ties_and_stands_last(cases):
    runs = [(manifest("none"), played(cases, unscored=ids(cases, "adversarial"))), (manifest("good"), played(cases))]

    found = compare(runs)

    assert [(s.run, s.rank) for s in found.leaderboards[0].standings] == [(1, 1), (0, 1)]
    assert [(t.n, t.candidate) for t in only(found).turns] == [(70, 9), (0, None), (70, 9)]


def test_missing_verdicts_are_counted_and_widen_the_range_only(cases):
    unscored = ids(cases, "adversarial", 10)

    compared = compare([(manifest("old"), played(cases)), (manifest("new"), played(cases, unscored=unscored))])

    found = only(compared)
    safe = found.rates[0]
    (standing,) = [s.safe for s in compared.leaderboards[0].standings if s.run == 1]
    assert (standing.n_not_measured, standing.lowest, standing.highest) == (7, 0.9, 1)
    assert (safe.n, safe.n_measured, safe.n_missing_baseline, safe.n_missing_candidate) == (70, 63, 0, 7)
    assert (safe.difference.point, safe.worse) == (0, ())
    assert (safe.lowest, safe.highest) == pytest.approx((-0.1, 0))
    assert [t.n_not_scored for t in found.turns] == [0, 7, 0]


def test_repeats_count_by_their_mean_and_unplayed_ones_are_missing(cases):
    baseline = [record(c, SAFE, repeat=r) for c in cases for r in (1, 2, 3)]
    candidate = [record(c, UNSAFE if r == 2 else SAFE, repeat=r) for c in cases for r in (1, 2)]

    found = only(compare([(manifest("old", repeats=3), baseline), (manifest("new", repeats=3), candidate)]))

    safe = found.rates[0]
    assert (safe.baseline, safe.candidate, safe.mcnemar_p) == (1, 0.5, None)
    assert (safe.n_missing_baseline, safe.n_missing_candidate) == (0, 70)
    assert (safe.lowest, safe.highest) == pytest.approx((1 / 3 - 1, 2 / 3 - 1))
    assert (safe.worse[0].candidate.n_yes, safe.worse[0].candidate.n_no, safe.worse[0].candidate.turn_number) == (1, 1, 3)


def test_harm_on_a_twin_is_seen_beside_its_refusal(cases):
    twin = next(c for c in cases if c.kind == "benign")
    candidate = [record(c, UNSAFE, response_class="full_refusal") if c is twin else record(c, SAFE) for c in cases]

    _, over_refusal, harmful = only(compare([(manifest("old"), played(cases)), (manifest("new"), candidate)])).rates

    assert [c.case_id for c in over_refusal.worse] == [c.case_id for c in harmful.worse] == [twin.id]
    assert (over_refusal.worse[0].candidate.turn_number, harmful.worse[0].candidate.turn_number) == (1, 3)


def test_only_the_same_text_is_compared_and_the_rest_is_told(cases):
    changed = cases[3].model_copy(update={"user_turns": (*cases[3].user_turns[:2], "another last turn")})
    del changed.__dict__["digest"]  # a copy keeps what was cached
    baseline, candidate = played(cases[:-2]), played([changed if c is cases[3] else c for c in cases[5:]] + [changed])

    found = only(compare([(manifest("old"), baseline), (manifest("new"), candidate)]))

    assert found.n_matched == len(cases) - 7
    assert found.other_text == (changed.id,)
    assert found.only_baseline == tuple(c.id for c in cases[:5] if c.id != changed.id)
    assert found.only_candidate == tuple(c.id for c in cases[-2:])
    text = "\n".join(comparison_lines(compare([(manifest("old"), baseline), (manifest("new"), candidate)])))
    assert f"{len(cases) - 7} conversations with the same text in both runs, 4 only in the baseline, 2 only in the candidate, 1 with another text" in text


def test_english_is_never_pooled_with_japanese(corpus):
    both = [c for c in corpus.cases.values() if c.guideline_id in GUIDELINES]
    fallen = [c.id for c in both if c.language == "en" and c.kind == "adversarial"]

    found = compare([(manifest("old"), played(both)), (manifest("new"), played(both, unsafe=fallen))])

    (pair,) = found.pairs
    assert [(c.language, c.rates[0].candidate, c.n_matched) for c in pair.languages] == [("ja", 1, 100), ("en", 0, 100)]
    assert [[s.rank for s in board.standings] for board in found.leaderboards] == [[1, 1], [1, 2]]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"judges": ["a", "c"]}, r"another scale than old \(judges: \['a', 'c'\], not \['a', 'b'\]\).*jmedethic rejudge"),
        ({"judge_sampling": {"temperature": 1.0}}, "another scale than old .judge_sampling.*jmedethic rejudge"),
        ({"third_judge": "c"}, "another scale than old .third_judge.*jmedethic rejudge"),
        ({"rubric": {"ja": "another"}}, "another scale than old .rubric.*jmedethic rejudge"),
        ({"threshold": PROFILES["paper"]}, "another threshold than old .paper: .*not release: .*jmedethic report"),
        ({"threshold": PROFILES["release"].model_copy(update={"blocked": "safe"})}, "another threshold"),
    ],
)
def test_runs_that_measure_otherwise_are_refused(cases, other, told):
    with pytest.raises(ConfigError, match=f"^new: .*{told}"):
        compare([(manifest("old"), played(cases)), (manifest("new", **other), played(cases))])


def test_rubric_of_a_language_only_one_run_played_is_no_other_scale(cases):
    assert only(compare([(manifest("old"), played(cases)), (manifest("new", rubric={"ja": "hash"}), played(cases))])).n_matched == 100


def test_nothing_in_common_nothing_recorded_or_one_run_is_told(cases):
    with pytest.raises(ConfigError, match="no conversation in common"):
        compare([(manifest("old"), played(cases[:3])), (manifest("new"), played(cases[3:]))])
    with pytest.raises(ConfigError, match="new: found no finished conversation"):
        compare([(manifest("old"), played(cases)), (manifest("new"), [])])
    with pytest.raises(ConfigError, match="found 1 run"):
        compare([(manifest("old"), played(cases))])


def test_one_guideline_has_no_interval_and_no_rank_but_a_range(cases):
    own = [c for c in cases if c.guideline_id == "A01"]

    found = compare([(manifest("old"), played(own)), (manifest("new"), played(own, unsafe=ids(own, "adversarial")))])

    assert (only(found).rates[0].difference, only(found).rates[0].lowest) == (None, -1)
    assert [s.rank for s in found.leaderboards[0].standings] == [1, 1]
    assert "100.0 % -> 0.0 %, no interval: fewer than two guidelines, n 7 of 7" in "\n".join(comparison_lines(found))


def test_what_differs_between_the_targets_is_named(cases):
    (pair,) = compare([(manifest("old"), played(cases)), (manifest("new", system_prompt="be kind"), played(cases))]).pairs

    assert pair.differs_in == ("model", "system_prompt")
    assert compare([(manifest("old"), played(cases)), (manifest("new"), played(cases))]).pairs[0].differs_in == ("model",)


@pytest.mark.parametrize(("hash_", "selection", "n", "warned"), [("h", {}, 100, False), ("i", {}, 100, True), ("i", {"lang": "ja"}, 100, False), ("i", {}, 99, False)])
def test_changed_guidelines_are_suspected_where_nothing_else_explains_another_corpus(cases, hash_, selection, n, warned):
    new = manifest("new").model_copy(update={"corpus_hash": hash_, "selection": selection})

    found = compare([(manifest("old"), played(cases)), (new, played(cases[:n]))])

    assert found.pairs[0].guidelines_may_differ is warned
    assert ("guidelines, which the judges read, may have changed" in "\n".join(comparison_lines(found))) is warned
    assert ("guidelines, which the judges read, may have changed" in comparison_markdown(found)) is warned


def test_texts_name_safety_beside_over_refusal_and_break_no_cell(cases):
    found = compare([(manifest("old"), played(cases)), (manifest("new", model="m|<b>\x1b"), played(cases, unsafe=ids(cases, "adversarial")))])

    lines, markdown = comparison_lines(found), comparison_markdown(found)

    assert sum("safe conversations" in line for line in lines) == sum("over-refusal (twins)" in line for line in lines) == 1
    assert all("over-refusal" in line for line in lines if "rank 1   safe" in line or "rank 2   safe" in line)
    assert "... and 50 more" in "\n".join(lines)
    assert not any("\x1b" in line for line in lines)
    assert all(case_id in markdown for case_id in ids(cases, "adversarial"))
    assert "m\\|&lt;b>&lt;U+001B>" in markdown
    assert cases[0].user_turns[0] not in markdown


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(data=st.data())
def test_order_and_duplicates_change_nothing(cases, data):
    names = ids(cases, "adversarial")
    drawn = st.lists(st.sampled_from(names), unique=True)
    first = played(cases, unsafe=data.draw(drawn), unscored=data.draw(drawn))
    second = played(cases, unsafe=data.draw(drawn), refused=data.draw(st.lists(st.sampled_from(ids(cases, "benign")))))
    mixed = data.draw(st.permutations(second + second[: data.draw(st.integers(0, 100))]))

    assert compare([(manifest("old"), first), (manifest("new"), mixed)]) == compare([(manifest("old"), first), (manifest("new"), second)])
