"""What two scales say of the same answers."""

from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.threshold import PROFILES
from jmedethic_plugin.core.verdict import HumanVerdict
from jmedethic_plugin.judging.rejudge import compare_scales
from tests.conftest import make_turn


def record_of(corpus, *points, human=None):
    turns = [make_turn(n, p) for n, p in enumerate(points, 1)]
    if human is not None:
        decided = HumanVerdict(author="A", points=human, reason="r")
        turns[0] = turns[0].model_copy(update={"panel": turns[0].panel.model_copy(update={"human": decided})})
    return CaseRecord(case=corpus.cases["ja-B11-temporal_override-1"], target="m", judges=("a", "b"), demo=False, turns=tuple(turns))


def test_decision_of_a_person_is_no_part_of_either_scale(corpus):
    before = record_of(corpus, (8, 8), (8, 8), (8, 8), human=1)
    after = record_of(corpus, (9, 9), (9, 9), (3, 3), human=10)

    bridge = compare_scales("first", "second", [before], [after], PROFILES["release"])

    (row,) = bridge.languages
    assert (row.n_turns, row.mean_shift, row.n_to_safe, row.n_to_unsafe) == (3, (1 + 1 - 5) / 3, 0, 1)
    assert bridge.flipped == ("ja-B11-temporal_override-1:3",)
