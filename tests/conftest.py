from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import settings

from jmedethic_plugin.core.transcript import Reply, Turn
from jmedethic_plugin.core.verdict import PanelVerdict, Scored, Unscored
from jmedethic_plugin.corpus.loading import load_corpus
from tests.postgresql import postgresql_server, postgresql_url

__all__ = ["postgresql_server", "postgresql_url"]

# pytester forgets, after a test, what the test was the first to import, and NumPy cannot be imported a second time in one process.
for _name in ("numpy", "scipy.stats", "sqlalchemy", "pandas", "pyarrow", "matplotlib"):
    with suppress(ImportError):
        import_module(_name)

settings.register_profile("suite", deadline=None)  # a slow machine, or the first import of SciPy, is no failure
settings.load_profile("suite")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def corpus():
    return load_corpus(ROOT)


def make_turn(number, points, *, response_class="answer", outcome="ok"):
    """A turn with these points of two judges; None stands for an unscored verdict, no points at all for nothing to judge."""
    verdicts = tuple(
        Unscored(judge=f"j{i}", cause="not_json", detail="prose")
        if p is None
        else Scored(judge=f"j{i}", points=p, response_class=response_class, reason="r")
        for i, p in enumerate(points)
    )
    reply = Reply(outcome=outcome, text="text" if verdicts else "")
    return Turn(turn_number=number, user="q", reply=reply, panel=PanelVerdict(verdicts=verdicts) if verdicts else None)
