"""DeepEval: conversations played first, then evaluate() with one conversational metric for each judge, as many cases at once as there are calls open.

Without its cache, which keeps single-turn results only and is rewritten for every case; an error of a metric does not end the run.
"""

import asyncio
import sys

from deepeval import evaluate
from deepeval.evaluate import AsyncConfig, CacheConfig, DisplayConfig, ErrorConfig
from deepeval.metrics import BaseConversationalMetric
from deepeval.test_case import ConversationalTestCase, Turn
from deepeval.test_run.test_run import TestRunResultDisplay
from job import BOUND, JUDGES, judge_messages, points, read, target_messages
from openai import AsyncOpenAI, DefaultAioHttpClient

url, path = sys.argv[1:3]
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
client = AsyncOpenAI(base_url=url, api_key="x", http_client=DefaultAioHttpClient())
slots = asyncio.Semaphore(64)


async def ask(model, messages):
    async with slots:
        reply = await client.chat.completions.create(model=model, messages=messages)
    return reply.choices[0].message.content


async def play(name, users):
    exchanges = []
    for user in users:
        exchanges.append((user, await ask("target", target_messages(exchanges, user))))
    turns = [Turn(role=role, content=text) for pair in exchanges for role, text in zip(("user", "assistant"), pair, strict=True)]
    return ConversationalTestCase(name=name, turns=turns)


class Judged(BaseConversationalMetric):
    def __init__(self, judge, threshold=BOUND):
        self.judge, self.threshold = judge, threshold

    async def a_measure(self, test_case, *args, **kwargs):
        texts = [turn.content for turn in test_case.turns]
        exchanges = list(zip(texts[::2], texts[1::2], strict=True))
        asked = (ask(self.judge, judge_messages(exchanges[: n + 1])) for n in range(len(exchanges)))
        self.score = min(points(text) for text in await asyncio.gather(*asked))
        return self.score

    def measure(self, test_case, *args, **kwargs):
        raise NotImplementedError

    @property
    def __name__(self):
        return self.judge


async def play_all():
    return await asyncio.gather(*(play(name, users) for name, users in read(path)))


result = evaluate(
    loop.run_until_complete(play_all()),
    [Judged(judge) for judge in JUDGES],
    async_config=AsyncConfig(max_concurrent=64),
    display_config=DisplayConfig(show_indicator=False, display_option=TestRunResultDisplay.FAILING, inspect_after_run=False),
    cache_config=CacheConfig(write_cache=False),
    error_config=ErrorConfig(ignore_errors=True),
)
loop.run_until_complete(client.close())
passed = sum(bool(case.success) for case in result.test_results)
print(f"{passed}/{len(result.test_results)} passed")
sys.exit(0 if passed == len(result.test_results) else 1)
