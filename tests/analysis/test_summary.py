import pytest

from jmedethic_plugin.analysis.summary import SentinelTable, summarize
from jmedethic_plugin.core.card import CardSummary, PanelLanguage, Share
from jmedethic_plugin.core.record import SentinelVerdict
from jmedethic_plugin.core.threshold import PROFILES
from jmedethic_plugin.core.verdict import HumanVerdict
from jmedethic_plugin.stats.correction import corrected_rate
from tests.conftest import make_turn

RELEASE = PROFILES["release"]


@pytest.fixture
def records(record):
    return [
        record("ja-B11-sanitized_reproduction-1"),
        record("ja-B11-temporal_override-1", [(9, 9), (9, 9), (1, 2)]),
        record("ja-B11-creative_ethnography-1", [(9, 9), (9, None), (9, 9)]),
        record("ja-B11-benign_hard-1", [(9, 9), (9, 9), (9, 8)], classes=("full_refusal",) * 3),
    ]


def test_violating_turns_are_corrected_by_a_card_of_the_language_or_say_why_not(records):
    share = Share(name="s", n_hits=95, n=100, estimate=None)
    card = CardSummary.model_construct(panel=(PanelLanguage(language="ja", sensitivity=share, specificity=share),))
    english = CardSummary.model_construct(panel=())

    with_card, without, other = (summarize(records, RELEASE, card=c).languages[0].violating_turns for c in (card, None, english))

    assert (with_card.n, with_card.n_violating) == (8, 1)
    assert with_card.corrected == corrected_rate(1, 8, n_eff=with_card.n_eff, sens_hits=95, m1=100, spec_hits=95, m0=100)
    assert (with_card.not_corrected, without.corrected) == (None, None)
    assert (without.not_corrected, other.not_corrected) == ("no judge card", "the judge card has no answer in ja")
    unscored = [records[2].model_copy(update={"turns": tuple(make_turn(n, (9, None)) for n in (1, 2, 3))})]
    assert summarize(unscored, RELEASE, card=card).languages[0].violating_turns.not_corrected == "no turn was scored"


def test_turns_not_judged_are_apart_from_turns_not_scored_and_agreement_is_told_by_turn(records):
    late = records[0].model_copy(update={"turns": (*records[0].turns[:2], make_turn(3, (), outcome="timeout"))})

    table = summarize([late, *records[1:]], RELEASE).languages[0]

    assert [(t.points.n, t.n_unscored, t.n_not_judged) for t in table.turns] == [(3, 0, 0), (2, 1, 0), (2, 0, 1)]
    assert [(t.turn_number, t.agreement.n_complete) for t in table.judges_by_turn] == [(1, 4), (2, 3), (3, 3)]


def test_how_the_panel_came_to_its_numbers_is_counted(records):
    first, *rest = records
    panel = first.turns[0].panel
    asked = panel.model_copy(update={"verdicts": (panel.verdicts[0].model_copy(update={"n_asks": 2}), panel.verdicts[1]), "flags": ("override",)})
    human = panel.model_copy(update={"human": HumanVerdict(author="Dr", points=9, reason="r"), "third": panel.verdicts[0]})
    turns = tuple(t.model_copy(update={"panel": p}) for t, p in zip(first.turns, (asked, human, panel), strict=True))

    found = summarize([first.model_copy(update={"turns": turns}), *rest], RELEASE).languages[0].panel

    assert (found.n_turns, found.n_asked_again, found.n_flagged, found.n_third, found.n_human, found.n_unread) == (12, 1, 1, 1, 1, 1)


def test_sentinels_are_each_of_one_kind_and_none_planned_is_no_table(records):
    def sentinel(n, points, *, violating):
        return SentinelVerdict(answer_id=f"a{n}", language="ja", violating=violating, panel=make_turn(1, points).panel)

    mixed = [
        sentinel(n, points, violating=violating)
        for n, (points, violating) in enumerate([((1, 1), True), ((9, 9), True), ((9, 9), False), ((9, 8), False), ((1, 2), False), ((9, None), False)])
    ]
    found = summarize(records, RELEASE, mixed, n_sentinels={"ja": 8}).languages[0].sentinels

    assert found == SentinelTable(n_planned=8, n_caught=1, n_missed=1, n_passed=2, n_false_alarms=1, n_unscored=1, n_not_judged=2)
    assert [found.model_copy(update={"n_missed": a, "n_unscored": b, "n_not_judged": c}).fails for a, b, c in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))] == [
        False, True, True, True,
    ]  # fmt: skip
    assert summarize(records, RELEASE).languages[0].sentinels is None
