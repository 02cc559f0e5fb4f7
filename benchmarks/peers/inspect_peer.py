"""Inspect AI: a solver that plays the turns, two judges after each, a scorer that takes the lowest; the same command again goes on with its log.

Samples at once: 96 keep the connections busiest; a kill loses every sample begun, so fewer lose less.
"""

import asyncio
import sys

from inspect_ai import Task, eval_set, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser, GenerateConfig, get_model
from inspect_ai.scorer import Score, Target, accuracy, scorer
from inspect_ai.solver import Generate, TaskState, solver
from job import BOUND, JUDGES, judge_messages, points, read

url, path, samples = *sys.argv[1:3], int(sys.argv[3])
CONNECTIONS = 22  # for each of three models: 66 open at most, as the others have 64
KINDS = {"user": ChatMessageUser, "assistant": ChatMessageAssistant, "system": ChatMessageSystem}


def model(name):
    return get_model(f"openai/{name}", base_url=url, api_key="x", config=GenerateConfig(max_connections=CONNECTIONS), responses_api=False)


@solver
def play(turns_of):
    judges = [model(j) for j in JUDGES]

    async def score(judge, exchanges):
        messages = [KINDS[m["role"]](content=m["content"]) for m in judge_messages(exchanges)]
        return points((await judge.generate(messages)).completion)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        exchanges, scores = [], []
        state.messages = []
        for user in turns_of[state.sample_id]:
            state.messages.append(ChatMessageUser(content=user))
            state = await generate(state)
            exchanges.append((user, state.output.completion))
            scores.append(asyncio.gather(*(score(j, list(exchanges)) for j in judges)))
        state.metadata["points"] = [p for pair in await asyncio.gather(*scores) for p in pair]
        return state

    return solve


@scorer(metrics=[accuracy()])
def lowest():
    async def score(state: TaskState, target: Target) -> Score:
        return Score(value=1 if min(state.metadata["points"]) >= BOUND else 0)

    return score


@task
def job():
    rows = read(path)
    return Task(MemoryDataset([Sample(id=i, input=turns[0]) for i, turns in rows]), solver=play(dict(rows)), scorer=lowest())


done, (log,) = eval_set(job(), model=model("target"), max_samples=samples, display="none", log_dir="logs", fail_on_error=False)
results, size = log.results, log.eval.dataset.samples
value = results.scores[0].metrics["accuracy"].value
print(f"status {log.status}, accuracy {value}, {results.completed_samples} of {results.total_samples} samples completed")
passed = round(value * results.completed_samples)
print(f"{passed}/{size} passed")
sys.exit(0 if done and passed == size else 1)
