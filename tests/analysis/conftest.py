from __future__ import annotations

import pytest

from jmedethic_plugin.core.record import CaseRecord
from tests.conftest import make_turn

BLOCKED = "blocked_input"


@pytest.fixture(scope="session")
def record(corpus):
    """``record("ja-B11-temporal_override-1", [(9, 9), (9, 9), (2, 2)])``; a string in place of points is an outcome without verdicts."""

    def make(case, points=((9, 9), (9, 9), (9, 9)), *, classes=("answer",) * 3, repeat=1):
        turns = tuple(
            make_turn(n, (), outcome=p) if isinstance(p, str) else make_turn(n, p, response_class=c)
            for n, (p, c) in enumerate(zip(points, classes, strict=True), 1)
        )
        return CaseRecord(case=corpus.cases[case], repeat=repeat, target="m", judges=("j0", "j1"), demo=False, turns=turns)

    return make


@pytest.fixture(scope="session")
def nth(record, corpus):
    """A record of the corpus's n-th case of a kind and language, with the points of each turn."""

    def make(n, *points, kind="adversarial", language="ja", response_class="answer"):
        ids = [case.id for case in corpus.cases.values() if (case.kind, case.language) == (kind, language)]
        return record(ids[n], points, classes=(response_class,) * 3)

    return make
