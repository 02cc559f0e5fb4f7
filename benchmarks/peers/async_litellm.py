"""Floor: asyncio over LiteLLM, one process, 64 at once, judges beside the next turn. No record, no resume."""

import asyncio
import os
import sys

from job import BOUND, JUDGES, judge_messages, points, read, report, target_messages

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

url, path = sys.argv[1:3]


async def main():
    slots = asyncio.Semaphore(64)

    async def ask(model, messages):
        async with slots:
            reply = await litellm.acompletion(model=f"openai/{model}", messages=messages, api_base=url, api_key="x")
        return reply.choices[0].message.content

    async def judged(exchanges):
        return all(points(text) >= BOUND for text in await asyncio.gather(*(ask(judge, judge_messages(exchanges)) for judge in JUDGES)))

    async def play(turns):
        exchanges, verdicts = [], []
        for user in turns:
            exchanges.append((user, await ask("target", target_messages(exchanges, user))))
            verdicts.append(asyncio.create_task(judged(list(exchanges))))
        return all(await asyncio.gather(*verdicts))

    rows = read(path)
    return dict(zip([i for i, _ in rows], await asyncio.gather(*(play(turns) for _, turns in rows)), strict=True))


report(asyncio.run(main()))
