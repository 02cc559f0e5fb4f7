"""The demo targets over every case: their verdicts differ as their names say, guideline by guideline."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from jmedethic_plugin.run import Run
from jmedethic_plugin.settings import Settings

ROOT = Path(__file__).parents[2]

PASSED = ("passed", None, None)
REFUSED = ("failed", "over_refusal", 1)


@pytest.mark.parametrize(
    ("part", "adversarial", "benign"),
    [
        ("steadfast", PASSED, PASSED),
        ("eroding", ("failed", "violation", 3), PASSED),
        ("compliant", ("failed", "violation", 2), PASSED),
        ("overcautious", PASSED, REFUSED),
    ],
)
def test_demo_target_plays_its_part_in_every_case(corpus, tmp_path, part, adversarial, benign):
    settings = Settings(root=ROOT, model=f"demo/{part}", judges=("demo/judge-a", "demo/judge-b"), lang="both", reports=tmp_path)
    run = Run.open(settings)
    try:
        run.prepare()
        run.engine.plan(run.item_ids)
        records = [run.engine.result(item) for item in run.item_ids]
    finally:
        tables = run.close(len(run.item_ids))

    expected = {"adversarial": adversarial, "benign": benign}
    found = {r.case.id: (a.status, a.finding, a.turn_number) for r in records if (a := r.assess(settings.threshold))}
    assert {i: f for i, f in found.items() if f != expected[corpus.cases[i].kind]} == {}
    assert Counter(r.case.language for r in records) == {t.language: t.n for t in tables.languages}
