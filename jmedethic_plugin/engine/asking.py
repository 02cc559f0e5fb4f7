"""Asking models many things that belong to no conversation with a target: the same calls, limits, budget and ledger as a run.

What is asked is a *talk*: a generator that yields one `Ask` after the other, gets each one's reply and returns what it made of them. It is written without
``async`` and knows neither models nor ledger, so it can be tried with replies from a list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from jmedethic_plugin.core.base import Language
from jmedethic_plugin.core.transcript import Message, Outcome, Reply
from jmedethic_plugin.engine.budget import Budget
from jmedethic_plugin.engine.caller import Caller, Endpoint, Patience, Place, require_prices
from jmedethic_plugin.engine.journal import Journal
from jmedethic_plugin.engine.limits import Dispatcher
from jmedethic_plugin.engine.ports import ChatModel, ModelRole, Sampling
from jmedethic_plugin.engine.scheduler import WINDOW_PER_SLOT, Limits
from jmedethic_plugin.errors import EngineError
from jmedethic_plugin.ledger.store import Ledger

_R = TypeVar("_R")

_STOPS: frozenset[Outcome] = frozenset({"budget_stop", "provider_down"})


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to one model."""

    model: str
    role: ModelRole
    language: Language
    messages: tuple[Message, ...]
    sampling: Sampling
    sample: int = 1
    """Number of the sample, where the same is asked more than once on purpose."""


Talk = Generator[Ask, Reply, _R]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a sitting took, and what ended it early."""

    n_calls: int = 0
    usd: float = 0.0
    n_unpriced: int = 0
    stopped_by: str | None = None
    n_batched: int = 0
    """Usable replies among them that came from batches."""


def hold_talks(
    talks: Iterable[tuple[str, Talk[_R]]], models: Iterable[tuple[ChatModel, ModelRole]], *, ledger: Ledger, limits: Limits,
    ended: Callable[[str, _R], None], spent: Asked,
) -> Asked:  # fmt: skip
    """Hold every talk; what the ledger holds is not paid for again.

    Talks are taken one by one as slots fall free, and nothing of an ended one is kept, so their number costs no memory. When a limit is reached or a
    provider is down, open talks are dropped where they stand: holding them again takes their earlier replies from the ledger.

    Parameters
    ----------
    talks
        By a name that the ledger keeps beside each call.
    models
        Each in the role it is asked in.
    ended
        Called with name and result of each talk, in the order in which they end.
    spent
        What the sitting took before, in batches; the limits hold for both together.

    Raises
    ------
    ConfigError
        Money is capped and a price is not known.
    EngineError
        The ledger cannot be written.
    """
    return asyncio.run(_hold(iter(talks), models, ledger, limits, ended, spent))


async def _hold(
    talks: Iterator[tuple[str, Talk[_R]]], models: Iterable[tuple[ChatModel, ModelRole]], ledger: Ledger, limits: Limits,
    ended: Callable[[str, _R], None], spent: Asked,
) -> Asked:  # fmt: skip
    dispatcher, journal = Dispatcher(limits.max_in_flight), Journal(ledger)
    caller = Caller(ledger=ledger, journal=journal, dispatcher=dispatcher, budget=(budget := Budget(limits.caps)))
    budget.calls, budget.usd, budget.n_unpriced = spent.n_calls, spent.usd, spent.n_unpriced
    endpoints = {(model.model_id, role): Endpoint(model, role) for model, role in models}
    require_prices(endpoints.values(), limits.caps)
    for (model_id, _), endpoint in endpoints.items():
        if (cap := limits.rates.get(model_id)) is not None:
            dispatcher.cap(endpoint.lane, cap)
    numbered = enumerate(talks)

    async def hold(number: int, name: str, talk: Talk[_R]) -> None:
        patience = Patience(limits.conversation_s)
        reply: Reply | None = None
        for turn_number in count(1):
            try:
                ask = next(talk) if reply is None else talk.send(reply)
            except StopIteration as end:
                ended(name, end.value)
                return
            place = Place(name, ask.sample, turn_number, number)
            reply = await caller.call(endpoints[ask.model, ask.role], ask.messages, ask.sampling, place, patience)
            if reply.outcome in _STOPS:
                budget.stop(f"{ask.model}: {reply.error}")
                talk.close()
                return

    async def work() -> None:
        for number, (name, talk) in numbered:
            await hold(number, name, talk)
            if budget.stopped_by is not None:
                return

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(max(1, int(limits.max_in_flight * WINDOW_PER_SLOT))):
                group.create_task(work())
    except ExceptionGroup as group:
        if (broken := group.subgroup(EngineError)) is None:
            raise
        raise EngineError(str(broken.exceptions[0])) from group
    finally:
        await journal.close()
    return Asked(budget.calls, budget.usd, budget.n_unpriced, budget.stopped_by, spent.n_batched)
