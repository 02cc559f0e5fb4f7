"""Floor: threads over the OpenAI client, one process, 64 at once. No record, no resume, the SDK's own retries.

The method of openai/simple-evals, which is not on PyPI: `map_with_progress` in its common.py is a pool of 50 threads, `ChatCompletionSampler` one blocking call of this client.
Unlike here, that sampler repeats failed calls without end, and its HealthBench grader a verdict that is no JSON.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from job import BOUND, JUDGES, judge_messages, points, read, report, target_messages
from openai import OpenAI

url, path = sys.argv[1:3]
client = OpenAI(base_url=url, api_key="x")


def ask(model, messages):
    return client.chat.completions.create(model=model, messages=messages).choices[0].message.content


def play(turns):
    exchanges, ok = [], True
    for user in turns:
        exchanges.append((user, ask("target", target_messages(exchanges, user))))
        ok &= all(points(ask(judge, judge_messages(exchanges))) >= BOUND for judge in JUDGES)
    return ok


rows = read(path)
with ThreadPoolExecutor(64) as pool:
    report(dict(zip([i for i, _ in rows], pool.map(play, [turns for _, turns in rows]), strict=True)))
