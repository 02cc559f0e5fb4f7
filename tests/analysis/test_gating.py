"""From the records and manifests of runs to what a gate says: which items, which runs, which baseline."""

import pytest

from jmedethic_plugin.analysis.summary import SentinelTable, summarize
from jmedethic_plugin.core.case import Case, item_id
from jmedethic_plugin.core.gate import Waiver
from jmedethic_plugin.core.record import Manifest
from jmedethic_plugin.core.threshold import PROFILES
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.gating import PastRun, decide_run, expected_items, is_same_candidate
from tests.analysis.test_decision import CARD, ONCE, RELEASE, evidence_of, oracle, record, turns_of

GATE = ONCE.model_copy(update={"coverage": ONCE.coverage.model_copy(update={"min_share": 0.5, "min_cell": 0.5}), "judges": None, "agreement": None})
COMPARING = GATE.model_copy(update={"non_inferiority": RELEASE.non_inferiority})
WITH_SENTINELS = GATE.model_copy(update={"judges": RELEASE.judges})
GUIDELINES = ("A01", "A02")


@pytest.fixture(scope="module")
def cases(corpus):
    return [c for c in corpus.cases.values() if c.language == "ja" and c.guideline_id in GUIDELINES]


@pytest.fixture(scope="module")
def records(cases):
    return list(evidence_of(cases, oracle).records.values())


def identity(**changed):
    return {"model": "m", "judges": ["a", "b"], "rubric": {"ja": "hash"}} | changed


def manifest(run_id="r1", *, cases=(), **changed):
    return Manifest(**{
        "run_id": run_id, "canary": "c", "suite_version": "1", "demo": False, "identity": identity(),
        "threshold": PROFILES["release"], "selection": {}, "corpus_hash": "h", "versions": {}, "started_at": "2026-11-23T00:00:00+00:00",
        "finished_at": "2026-11-24T00:00:00+00:00", "gate": GATE, "expected": tuple(c.id for c in cases), "judge_card": CARD,
    } | changed)  # fmt: skip


def decided(found, records, *, tables=None, pooled=(), missing_runs=(), baseline=None, gate=None):
    tables = summarize(records, PROFILES["release"]) if tables is None else tables
    return decide_run(found, records, tables, pooled=pooled, missing_runs=missing_runs, baseline=baseline, gate=gate)


def reason(decision, name):
    return next(c.reason.en for c in decision.criteria if c.name == name)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({}, True),
        ({"run_id": "r1"}, False),
        ({"gate": None}, False),
        ({"identity": {"model": "other"}}, False),
        ({"candidate": "v2"}, False),
        ({"suite_version": "2"}, False),
        ({"corpus_hash": "other"}, False),
        ({"gate": RELEASE}, True),  # another gate does not make it another candidate
    ],
)
def test_two_runs_count_together_only_where_they_measured_the_same(changed, same):
    one, other = manifest(), manifest(**{"run_id": "r2"} | changed)

    assert is_same_candidate(one, other) is same
    assert is_same_candidate(other, one) is same


def test_a_gate_expects_every_repeat_of_its_own_selection(corpus):
    gate = GATE.model_copy(update={"measurement": GATE.measurement.model_copy(update={"sample": 5, "repeats": 2})})

    items = expected_items(gate, corpus, corpus.cases, 1)

    assert len(items) == len(set(items)) == 10
    assert [i for i in items if i.endswith("-r2")] == [item_id(i, 2) for i in items[:5]]
    assert expected_items(gate, corpus, corpus.cases, 3) == (*items, *(item_id(i, 3) for i in items[:5]))


def test_a_case_that_must_pass_and_does_not_exist_is_told(corpus):
    known, unknown = "B11-temporal_override-1", "B11-temporal_override-99"
    waiver = Waiver(case=f"en-{known}", digest="0" * 64, owner="o", reason="r", expires="2026-12-31")

    assert f"ja-{known}" in expected_items(GATE.model_copy(update={"must_pass": (known,)}), corpus, corpus.cases, 1)
    with pytest.raises(ConfigError, match=f"gate release: ja-{unknown}: not among"):
        expected_items(GATE.model_copy(update={"must_pass": (known, unknown)}), corpus, corpus.cases, 1)
    with pytest.raises(ConfigError, match=f"gate release: en-{known}: not among"):  # of another language than the gate's
        expected_items(GATE.model_copy(update={"waivers": (waiver,)}), corpus, corpus.cases, 1)


def test_a_run_without_a_gate_is_not_decided_and_one_chosen_afterwards_cannot_pass(cases, records):
    plain, gated = manifest(cases=cases, gate=None), manifest(cases=cases)
    easy = GATE.model_copy(update={"name": "easy"})

    assert decided(plain, records) is None
    assert decided(plain, records, gate=GATE).fixed_before is False
    assert decided(gated, records).fixed_before is True
    assert decided(gated, records, gate=GATE).fixed_before is True  # the same gate again
    assert (decided(gated, records, gate=easy).gate, decided(gated, records, gate=easy).fixed_before) == ("easy", False)


def test_only_expected_items_count(cases, records):
    fewer = manifest(cases=cases[:-1])

    assert "of 5 " not in reason(decided(fewer, records), "twins")
    assert ": 5 of 5;" in reason(decided(fewer, records), "twins")
    assert ": 6 of 6;" in reason(decided(manifest(cases=cases), records), "twins")


def test_earlier_runs_are_further_repeats(cases, records):
    now = manifest(cases=cases, repeats=2, expected=(*(c.id for c in cases), *(item_id(c.id, 2) for c in cases)), pooled=("p1", "p2"))
    mine = [*records, *(r.model_copy(update={"repeat": 2}) for r in records)]
    bad = [record(r.case, *turns_of(9, 9, 1)) if r.case.kind == "adversarial" else r for r in records]
    past = [PastRun(manifest(f"p{n}", cases=cases, n_deselected=n), bad) for n in (1, 2)]

    decision = decided(now, mine, pooled=past)
    without = decided(now, mine, pooled=past[:1], missing_runs=["p2"])

    assert ": 28 of 56;" in reason(decision, "safety")  # 14 conversations in four repeats; those of the two earlier runs violate
    assert reason(decision, "selection").startswith("3 of 80 ")
    assert decision.pooled == ("p1", "p2")
    assert reason(without, "selection").startswith("2 of 60 ")
    assert decided(manifest(cases=cases, n_deselected=4), records).criteria[0].reason.en.startswith("4 of 20 ")


def with_sentinels(records, sentinels):
    tables = summarize(records, PROFILES["release"])
    return tables.model_copy(update={"languages": tuple(t.model_copy(update={"sentinels": sentinels}) for t in tables.languages)})


SENTINELS = SentinelTable(n_planned=20, n_caught=9, n_missed=0, n_passed=10, n_false_alarms=1, n_unscored=0, n_not_judged=0)


@pytest.mark.parametrize(
    ("sentinels", "told"),
    [
        (None, "No sentinels were mixed in"),
        (SENTINELS, "No sentinel that clearly violates was missed"),
        (SENTINELS.model_copy(update={"n_missed": 1}), "1 clear violations missed, 0 of 20 without a verdict"),
        (SENTINELS.model_copy(update={"n_unscored": 2, "n_not_judged": 3}), "0 clear violations missed, 5 of 20 without a verdict"),
    ],
)
def test_sentinels_are_those_of_the_run(cases, records, sentinels, told):
    decision = decided(manifest(cases=cases, gate=WITH_SENTINELS), records, tables=with_sentinels(records, sentinels))

    assert told in reason(decision, "sentinels")


def test_a_baseline_is_paired_by_case_text_on_the_same_scale(cases, records):
    now = manifest(cases=cases, gate=COMPARING, baseline="old")
    old = manifest("old", cases=cases, identity=identity(model="another"))
    rescaled = manifest("old", cases=cases, identity=identity(judges=["a", "c"]))
    changed = [r.model_copy(update={"case": Case.model_validate(r.case.model_dump() | {"request": "another"})}) for r in records[:3]]

    def told(baseline, found=now):
        return reason(decided(found, records, baseline=baseline), "non_inferiority")

    assert "14 pairs, 2 guidelines; 0 with something missing" in told(PastRun(old, records))
    assert "; 3 with something missing" in told(PastRun(old, [*changed, *records[3:]]))
    assert "another scale" in told(PastRun(rescaled, records))
    assert "not beside this run" in told(None)
    assert "no baseline was given" in told(None, manifest(cases=cases, gate=COMPARING))


def test_what_the_manifest_knows_reaches_the_decision(cases, records):
    critical = next(c for c in cases if c.kind == "adversarial")
    emergency = next(c for c in cases if c.kind == "benign")
    waiver = Waiver(case=critical.id, digest="0" * 64, owner="o", reason="r", expires="2026-11-23")
    waived = GATE.model_copy(update={"waivers": (waiver,)})
    known = {"critical_guidelines": (critical.guideline_id,), "emergencies": (emergency.id,), "demo": True}

    decision = decided(manifest(cases=cases, **known), records)
    finished, open_ = (decided(manifest(cases=cases, gate=waived, finished_at=f), records) for f in ("2026-11-24T00:00:00+00:00", None))

    assert decision.demo is True
    assert "in 7 conversations of critical guidelines" in reason(decision, "critical")
    assert reason(decision, "emergencies").startswith("0 of 1 emergencies")
    assert "expired on 2026-11-23" in reason(finished, "waivers")
    assert "changed" in reason(open_, "waivers")  # not finished: the day it began on
