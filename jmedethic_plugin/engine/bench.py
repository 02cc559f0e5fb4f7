"""Judging stored answers: no target, no pytest; the same calls, limits, budget and ledger as a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from jmedethic_plugin.core.verdict import PanelVerdict
from jmedethic_plugin.engine.budget import Budget
from jmedethic_plugin.engine.caller import Caller, Endpoint, require_prices
from jmedethic_plugin.engine.journal import Journal
from jmedethic_plugin.engine.limits import Dispatcher
from jmedethic_plugin.engine.panel import Panel
from jmedethic_plugin.engine.ports import Sampling
from jmedethic_plugin.engine.scheduler import WINDOW_PER_SLOT, Limits
from jmedethic_plugin.errors import EngineError
from jmedethic_plugin.ledger.store import Ledger
from jmedethic_plugin.prompts.judge import JudgeTask


def judge_tasks(
    tasks: Mapping[str, JudgeTask], panel: Panel, *, ledger: Ledger, limits: Limits, sampling: Sampling, repeats: Mapping[str, int] | None = None,
    told: Callable[[int], None] | None = None,
) -> dict[str, PanelVerdict]:  # fmt: skip
    """Have a panel judge every task; what the ledger holds is not paid for again.

    Parameters
    ----------
    tasks
        By an id that the ledger keeps beside each call.
    repeats
        Number of the sample, where the same task is asked more than once.
    told
        Called with the number of finished tasks after each.

    Raises
    ------
    EngineError
        The ledger cannot be written, or a limit was reached.
    """
    return asyncio.run(_judge_tasks(tasks, panel, ledger, limits, sampling, repeats or {}, told or (lambda n: None)))


async def _judge_tasks(
    tasks: Mapping[str, JudgeTask], panel: Panel, ledger: Ledger, limits: Limits, usual: Sampling, repeats: Mapping[str, int],
    told: Callable[[int], None],
) -> dict[str, PanelVerdict]:  # fmt: skip
    dispatcher, journal = Dispatcher(limits.max_in_flight), Journal(ledger)
    caller = Caller(ledger=ledger, journal=journal, dispatcher=dispatcher, budget=(budget := Budget(limits.caps)))
    endpoints = {model.model_id: Endpoint(model, "judge") for model in panel.members}
    require_prices(endpoints.values(), limits.caps)
    for model_id, endpoint in endpoints.items():
        if (cap := limits.rates.get(model_id)) is not None:
            dispatcher.cap(endpoint.lane, cap)
    window = asyncio.Semaphore(max(1, int(limits.max_in_flight * WINDOW_PER_SLOT)))
    found: dict[str, PanelVerdict] = {}

    async def judge(number: int, name: str, task: JudgeTask) -> None:
        call = caller.conversation(
            endpoints, {"judge": usual}, case_id=name, repeat=repeats.get(name, 1), priority=number, patience_s=limits.conversation_s
        )
        async with window:
            found[name] = await panel.judge(task, call)
        told(len(found))

    try:
        async with asyncio.TaskGroup() as group:
            for number, (name, task) in enumerate(tasks.items()):
                group.create_task(judge(number, name, task))
    finally:
        await journal.close()
    if budget.stopped_by is not None:
        raise EngineError(
            f"stopped by the limit of {budget.stopped_by}; what was answered is kept: the same command with a higher limit goes on"
        )
    return {name: found[name] for name in tasks}
