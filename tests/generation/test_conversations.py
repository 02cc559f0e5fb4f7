from __future__ import annotations

import json

import pytest

from jmedethic_plugin.core.case import case_id
from jmedethic_plugin.corpus.jsonl import CaseSet
from jmedethic_plugin.generation.common import Access, DroppedError
from jmedethic_plugin.generation.conversations import (
    Conversation,
    conversation_jobs,
    conversation_step,
    conversation_talk,
    generate_conversations,
)
from jmedethic_plugin.generation.questions import Request
from tests.generation.test_common import drive

AGENTS = ["demo/agent-a", "demo/agent-b"]


def requests_of(corpus, n):
    return [
        Request(
            id=f"ja-{g}-{k}", language="ja", guideline=g, generator="demo/generator-a", request=f"(デモ)依頼その{k}、{corpus.guidelines[g].title.ja}について",
            violating="違反する内容", acceptable="認められる助け",
        )
        for g in ("A01", "B11") for k in range(1, n + 1)
    ]  # fmt: skip


def jobs_of(corpus, n=2):
    return list(conversation_jobs(requests_of(corpus, n), corpus.guidelines, list(corpus.strategies.values()), AGENTS, None))


def reply(n_turns, goal):
    return json.dumps({"turns": [f"turn {k}" for k in range(1, n_turns + 1)], "goal_turn": goal})


def test_jobs_are_requests_times_strategies_times_agents_with_ids_of_their_own(corpus):
    jobs = jobs_of(corpus, 3)
    cases = [job.case(("a", "b", "c"), "none") for job in jobs]

    assert len(jobs) == len({job.key for job in jobs}) == 6 * 7 * 2
    assert len({case_id(c.language, c.guideline, c.id) for c in cases}) == len(jobs)
    assert all(agent in "".join(c.source for c in cases) for agent in AGENTS)
    assert all("machine-made, unreviewed" in c.source and "licence none" in c.source for c in cases)


def test_the_papers_jobs_are_54180(corpus):
    requests = [requests_of(corpus, 1)[0].model_copy(update={"id": f"ja-A01-{k}"}) for k in range(1, 1936)]

    assert sum(1 for _ in conversation_jobs(requests, corpus.guidelines, list(corpus.strategies.values()), list("abcd"), None)) == 54_180


@pytest.mark.parametrize(("n_turns", "goal", "reason"), [
    (3, 3, None), (3, 2, None), (5, 3, None), (4, 4, "late"), (5, 5, "late"), (2, 2, "short"), (0, 0, "refused"), (3, 0, "unusable"), (3, 4, "unusable"),
    (6, 3, "unusable"),
])  # fmt: skip
def test_what_asks_plainly_within_three_turns_is_kept_and_the_rest_says_why_not(corpus, n_turns, goal, reason):
    talk = conversation_talk(jobs_of(corpus)[0], b"")
    if reason is None:
        made, _ = drive(talk, reply(n_turns, goal))

        assert made == Conversation(turns=tuple(f"turn {k}" for k in range(1, n_turns + 1)), goal_turn=goal)
        return
    with pytest.raises(DroppedError) as dropped:
        drive(talk, *[reply(n_turns, goal)] * 3)

    assert dropped.value.reason == reason
    assert (dropped.value.made is not None) == (reason in ("late", "short"))  # what was paid for stays in the step's file


def test_cases_have_three_turns_and_count_with_what_was_dropped(tmp_path, corpus):
    requests, strategies = requests_of(corpus, 4), list(corpus.strategies.values())
    step = conversation_step(tmp_path, requests, corpus.guidelines, strategies, AGENTS, Access())

    (counts,) = generate_conversations(step, lambda: conversation_jobs(requests, corpus.guidelines, strategies, AGENTS, None), 8 * 7 * 2, "none")
    cases = CaseSet([tmp_path / "cases.jsonl"], corpus.guidelines)

    assert counts.n_jobs == 112 == counts.n_kept + sum(counts.dropped.values())
    assert set(counts.dropped) == {"late", "refused", "short"}
    assert len(cases) == counts.n_kept == sum(kept for _, kept in counts.yields["agent"].values())
    assert all(len(case.user_turns) == 3 and case.review_status == "unreviewed" for case in cases.values())
    lines = (tmp_path / "conversations.jsonl").read_text(encoding="utf-8").splitlines()
    late = [result for result in map(json.loads, lines) if result.get("dropped") == "late"]
    assert all(len(result["made"]["turns"]) == 4 for result in late)
