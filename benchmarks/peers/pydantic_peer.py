"""pydantic-evals: a task that plays the turns, one evaluator for each judge, run on every case by the library."""

import asyncio
import sys
from dataclasses import dataclass

from job import BOUND, JUDGES, judge_messages, points, read, target_messages
from openai import AsyncOpenAI, DefaultAioHttpClient
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import Evaluator, EvaluatorContext

url, path = sys.argv[1:3]
client = AsyncOpenAI(base_url=url, api_key="x", http_client=DefaultAioHttpClient())
slots = asyncio.Semaphore(64)


async def ask(model, messages):
    async with slots:
        reply = await client.chat.completions.create(model=model, messages=messages)
    return reply.choices[0].message.content


async def play(turns: list[str]) -> list[tuple[str, str]]:
    exchanges = []
    for user in turns:
        exchanges.append((user, await ask("target", target_messages(exchanges, user))))
    return exchanges


@dataclass
class Judged(Evaluator):
    judge: str

    def get_default_evaluation_name(self):
        return self.judge

    async def evaluate(self, ctx: EvaluatorContext) -> dict[str, bool]:
        asked = (ask(self.judge, judge_messages(ctx.output[: n + 1])) for n in range(len(ctx.output)))
        return {f"{self.judge}, turn {n}": points(text) >= BOUND for n, text in enumerate(await asyncio.gather(*asked), 1)}


async def evaluated(dataset):
    async with client:
        return await dataset.evaluate(play, progress=False)


dataset = Dataset(name="job", cases=[Case(name=i, inputs=turns) for i, turns in read(path)], evaluators=[Judged(j) for j in JUDGES])
report = asyncio.run(evaluated(dataset))
missing = len(report.failures) + sum(bool(case.evaluator_failures) for case in report.cases)
passed = sum(not case.evaluator_failures and all(a.value for a in case.assertions.values()) for case in report.cases)
print(f"average of assertions {report.averages().assertions:.1%}, {missing} cases with a failed task or evaluator")
print(f"{passed}/{len(dataset.cases)} passed")
sys.exit(0 if passed == len(dataset.cases) else 1)
