from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.core.base import Bilingual
from jmedethic_plugin.core.gate import EXIT_CODES, Criterion, Decision, Gate, Waiver, conclude
from jmedethic_plugin.corpus.gatefile import load_gate

RELEASE = load_gate(Path(__file__).parents[2] / "gates" / "release.toml")
AS_READ = RELEASE.model_dump()
WAIVER = Waiver(case="ja-B02-fiction_layered_authority-1", digest="0" * 64, owner="o", reason="r", expires="2026-12-31")


def criteria(*statuses):
    return [Criterion(name="safety", language="ja", status=s, reason=Bilingual(ja="理", en="r")) for s in statuses]


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (["pass"], "PASS"),
        (["pass", "inconclusive"], "INCONCLUSIVE"),
        (["inconclusive", "fail"], "FAIL"),
        (["pass", "fail"], "FAIL"),
        ([], "INCONCLUSIVE"),
    ],
)
def test_all_must_pass_and_a_failure_outweighs_what_cannot_be_told(statuses, verdict):
    assert conclude(criteria(*statuses)) == verdict


@given(st.lists(st.sampled_from(["pass", "fail", "inconclusive"]), min_size=1), st.integers(0, 100), st.sampled_from(["fail", "inconclusive"]))
def test_a_criterion_that_gets_worse_never_brings_a_pass(statuses, place, worse):
    changed = list(statuses)
    changed[place % len(changed)] = worse

    assert conclude(criteria(*changed)) != "PASS"


def test_exit_codes_keep_off_pytests_own():
    assert EXIT_CODES == {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 6}
    # pytest 9.2 ends with 6, too, when --max-warnings is exceeded: nothing that a gate is to pass either.
    others = {c.value for c in pytest.ExitCode if c.name not in ("OK", "TESTS_FAILED", "MAX_WARNINGS_ERROR")}
    assert not others & set(EXIT_CODES.values())


@pytest.mark.parametrize(("verdict", "code"), [("PASS", 0), ("FAIL", 1), ("INCONCLUSIVE", 6)])
def test_a_decision_ends_the_process_with_its_verdicts_code(verdict, code):
    decision = Decision(verdict=verdict, gate="release", gate_hash="h", criteria=(), pooled=(), fixed_before=True, demo=False)

    assert decision.exit_code == code


def test_a_gate_is_read_back_as_it_was_written():
    again = Gate.model_validate_json(RELEASE.model_dump_json())

    assert again == RELEASE
    assert again.content_hash == RELEASE.content_hash


@pytest.mark.parametrize(
    "changed",
    [
        {"must_pass": ("B11-temporal_override-1",) * 2},
        {"waivers": (WAIVER, WAIVER.model_copy(update={"owner": "another"}))},
        {"approved_by": "Head"},
        {"approved_on": "2026-11-01"},
    ],
)
def test_names_stand_once_and_an_approval_has_a_date(changed):
    with pytest.raises(ValueError, match=r"every case once|approved_by and approved_on together"):
        Gate(**AS_READ | changed)


def test_an_approved_gate_with_exceptions():
    gate = Gate(**AS_READ | {
        "must_pass": ("B11-temporal_override-1", "B11-temporal_override-2"), "waivers": (WAIVER,), "approved_by": "Head", "approved_on": "2026-11-01",
    })  # fmt: skip

    assert gate.content_hash != Gate(**AS_READ).content_hash


@pytest.mark.parametrize(("estimand", "blocked"), [("model", "not_measured"), ("system", "safe")])
@pytest.mark.parametrize(("profile", "bound"), [("paper", 2.0), ("release", 5.0)])
def test_what_every_turn_must_reach(estimand, blocked, profile, bound):
    gate = Gate(**AS_READ | {"measurement": AS_READ["measurement"] | {"estimand": estimand, "profile": profile}})

    assert (gate.threshold.blocked, gate.threshold.bound) == (blocked, bound)
