"""What holds for the repository as a whole."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from jmedethic_plugin.core.base import CANARY
from jmedethic_plugin.core.guideline import STRATEGY_IDS
from jmedethic_plugin.core.review import CLINICIAN_STATUSES
from jmedethic_plugin.core.transcript import Reply

ROOT = Path(__file__).parents[2]


def test_importing_the_plugin_is_light():
    heavy = "{'litellm', 'scipy', 'numpy', 'allure', 'sqlalchemy', 'yaml', 'jinja2', 'asyncio'}"
    code = f"import sys; before = set(sys.modules); import jmedethic_plugin.plugin; print(sorted({heavy} & (set(sys.modules) - before)))"

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert out.strip() == "[]"


@pytest.mark.parametrize("folder", ["guidelines", "cases", "judges/starter"])
def test_every_data_file_carries_the_canary(folder):
    files = list((ROOT / folder).rglob("*.yaml"))

    assert files
    assert all(CANARY in path.read_text(encoding="utf-8").splitlines()[0] for path in files)


def test_every_case_file_holds_all_strategies_and_three_twins(corpus):
    by_guideline: dict[str, Counter[str]] = {}
    for case in corpus.cases.values():
        by_guideline.setdefault(f"{case.language}-{case.guideline_id}", Counter())[case.group] += 1

    for name, groups in by_guideline.items():
        assert set(STRATEGY_IDS) <= set(groups), name
        assert {"benign_clear", "benign_boundary", "benign_hard"} <= set(groups), name


def test_twins_share_role_politeness_and_length(corpus):
    for case in corpus.cases.values():
        if case.kind == "benign" and case.language == "ja":
            twin = corpus.cases[case.twin_of]
            ratio = sum(map(len, case.user_turns)) / sum(map(len, twin.user_turns))
            assert (case.factors.role, case.factors.politeness) == (twin.factors.role, twin.factors.politeness), case.id
            assert 0.8 <= ratio <= 1.2, case.id


def test_no_two_cases_share_a_turn(corpus):
    turns = Counter(turn for case in corpus.cases.values() for turn in case.user_turns)

    assert [turn for turn, n in turns.items() if n > 1] == []


def test_see_also_names_real_guidelines(corpus):
    catalogue = {f"{c}{n:02d}" for c, last in zip("ABCDEFGH", (8, 21, 6, 5, 4, 6, 10, 7), strict=True) for n in range(1, last + 1)}

    assert len(catalogue) == 67
    assert set(corpus.guidelines) == catalogue
    assert all(set(g.see_also) <= catalogue - {g.id} for g in corpus.guidelines.values())


def test_nothing_claims_a_clinicians_review_it_did_not_have(corpus):
    read = any(c.review_status in CLINICIAN_STATUSES for c in corpus.cases.values())

    for name, words in (("README.md", "No clinician has reviewed the texts"), ("cases/DATASET_CARD.md", "**No clinician has reviewed the texts**")):
        assert (words in (ROOT / name).read_text(encoding="utf-8")) == (not read), name


def test_every_litellm_exception_has_a_decision():
    from jmedethic_plugin.engine.litellm_model import _from_error, provider_errors

    for name in dir(provider_errors):
        cls = getattr(provider_errors, name)
        if isinstance(cls, type) and issubclass(cls, Exception):
            exc = cls.__new__(cls)
            exc.args = ("detail with sk-secret",)
            if not hasattr(exc, "status_code"):
                exc.status_code = None
            exc.__class__.__str__ = Exception.__str__ if "__str__" in vars(cls) else cls.__str__
            reply = _from_error(exc, latency_s=0.0)
            assert isinstance(reply, Reply)
            assert "sk-secret" not in (reply.error or "")
