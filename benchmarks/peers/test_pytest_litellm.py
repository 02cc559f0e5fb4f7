"""What one writes first: a parametrized pytest test that calls LiteLLM, run with -n 16."""

import os

import litellm
import pytest
from job import BOUND, JUDGES, judge_messages, points, read, target_messages

ROWS = read(os.environ["PEER_JOB"])


def ask(model, messages):
    reply = litellm.completion(model=f"openai/{model}", messages=messages, api_base=os.environ["PEER_URL"], api_key="x")
    return reply.choices[0].message.content


@pytest.mark.parametrize("turns", [turns for _, turns in ROWS], ids=[i for i, _ in ROWS])
def test_conversation(turns):
    exchanges = []
    for user in turns:
        exchanges.append((user, ask("target", target_messages(exchanges, user))))
        for judge in JUDGES:
            assert points(ask(judge, judge_messages(exchanges))) >= BOUND
