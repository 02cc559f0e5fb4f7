"""Records with given points."""

from __future__ import annotations

import pytest

from jmedethic_plugin.core.record import CaseRecord
from tests.conftest import make_turn


@pytest.fixture(scope="session")
def record(corpus):
    """A record of the corpus's n-th case of a kind and language, with points of two judges a turn."""
    ids = {
        (kind, language): [c for c in corpus.cases.values() if (c.kind, c.language) == (kind, language)]
        for kind in ("adversarial", "benign")
        for language in ("ja", "en")
    }

    def make(n, *turns, kind="adversarial", language="ja", target="openai/x", response_class="answer"):
        made = tuple(make_turn(i, points, response_class=response_class) for i, points in enumerate(turns, 1))
        return CaseRecord(case=ids[kind, language][n], target=target, judges=("j0", "j1"), demo=False, turns=made)

    return make
