from __future__ import annotations

import random

import pytest

from jmedethic_plugin.analysis.summary import summarize
from jmedethic_plugin.core.base import CANARY
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.threshold import PROFILES
from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.core.verdict import HumanVerdict, Scored
from jmedethic_plugin.reporting.export.rows import Exported
from tests.conftest import make_turn

SECRET = "手順一: harmful text"
STRATEGIES = ("temporal_override", "sanitized_reproduction", "gray_zone_ethnography")


def played(case, rng, n):
    """A record with spread points; every seventh is not measured, every fifth has a third judge and a person's word."""
    turns = []
    for number in (1, 2, 3):
        points = rng.choice([(9, 8), (7, 7), (4, 3), (2, 1), (6, 9)])
        turn = make_turn(number, (points[0], None) if n % 7 == 0 and number == 2 else points, response_class=rng.choice(["answer", "full_refusal"]))
        panel = turn.panel
        if n % 5 == 0:
            third = Scored(judge="j2", points=5.0, response_class="harmful", reason=f"reason {SECRET}", evidence=(SECRET,))
            panel = panel.model_copy(update={"third": third, "human": HumanVerdict(author="Dr. A", points=4.0, reason=f"read {SECRET}")})
        reply = Reply(outcome="ok", text=f"reply {SECRET} {number}", reasoning=f"thought {SECRET}", served_model="m-1", prompt_tokens=5, cost_usd=0.5)
        turns.append(turn.model_copy(update={"user": case.user_turns[number - 1], "reply": reply, "panel": panel}))
    return CaseRecord(case=case, target="m", judges=("j0", "j1"), demo=False, turns=tuple(turns))


@pytest.fixture(scope="session")
def exported(corpus):
    rng = random.Random(1)
    groups = (*(f"{s}-1" for s in STRATEGIES), "benign_clear-1", "benign_hard-1")
    ids = [f"{language}-{guideline}-{group}" for language in ("ja", "en") for guideline in ("A01", "B11", "C02") for group in groups]
    records = [played(corpus.cases[case], rng, n) for n, case in enumerate(ids, 1)]
    stopped = tuple(make_turn(n, (), outcome="blocked_input" if n == 1 else "not_reached") for n in (1, 2, 3))
    records.append(CaseRecord(case=corpus.cases["ja-D01-temporal_override-1"], target="m", judges=("j0", "j1"), demo=False, turns=stopped))
    records.sort(key=lambda r: r.case.sort_key)
    manifest = Manifest(
        run_id="r1", canary=CANARY, suite_version="1", demo=False, identity={"model": "m", "judges": ["j0", "j1"]}, threshold=PROFILES["release"],
        selection={"case_files": []}, corpus_hash="h", titles={g.id: g.title for g in corpus.guidelines.values()}, versions={"litellm": "not installed"},
        started_at="2026-01-01T00:00:00+00:00", finished_at="2026-01-01T00:10:00+00:00", n_planned=len(records), n_recorded=len(records), complete=True,
    )  # fmt: skip
    return Exported(manifest, summarize(records, manifest.threshold), records, redacted=False)
