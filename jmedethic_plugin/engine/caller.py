"""One call from key to ledger: looked up, paid for once, within budget and limits, tried again where that is right, written down."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from jmedethic_plugin import SUITE_VERSION
from jmedethic_plugin.core.base import canonical_json, content_hash
from jmedethic_plugin.core.transcript import Message, Reply
from jmedethic_plugin.engine.budget import Budget, Caps
from jmedethic_plugin.engine.journal import Journal
from jmedethic_plugin.engine.limits import Dispatcher, Lane
from jmedethic_plugin.engine.panel import Call
from jmedethic_plugin.engine.ports import ChatModel, ModelRole, Price, Sampling
from jmedethic_plugin.engine.retry import Backoff, Breaker
from jmedethic_plugin.errors import ConfigError, EngineError
from jmedethic_plugin.ledger.store import CallRow, Ledger


@dataclass
class Patience:
    """How long one conversation may keep its calls busy: time in flight and between tries, not time in the queue."""

    left_s: float


@dataclass(frozen=True, slots=True)
class Place:
    """Which turn of which conversation a call belongs to, and how urgent it is."""

    case_id: str
    repeat: int
    turn_number: int
    priority: int


class Endpoint:
    """A model with what the run knows of it."""

    def __init__(self, model: ChatModel, role: ModelRole) -> None:
        self.model = model
        self.role = role
        self.identity = model.identity()
        self.name = canonical_json(self.identity)
        # A server of one's own has one limit for all its models, a provider one for each model.
        self.lane = Lane(self.name, str(self.identity.get("api_base") or self.name))
        self.price: Price | None = model.price()
        self.breaker = Breaker()


def call_key(endpoint: Endpoint, messages: tuple[Message, ...], sampling: Sampling, repeat: int) -> str:
    """By which the ledger knows a call again."""
    return content_hash({
        "suite": SUITE_VERSION, "role": endpoint.role, "model": endpoint.identity, "sampling": sampling.to_dict(), "repeat": repeat,
        "messages": [{"role": m.role, "content": m.content} for m in messages],
    })  # fmt: skip


def require_prices(endpoints: Iterable[Endpoint], caps: Caps) -> None:
    """Refuse to cap money where a price is not known.

    Raises
    ------
    ConfigError
        Names the model and the option.
    """
    for endpoint in endpoints if caps.usd is not None else ():
        if endpoint.price is None:
            name = endpoint.model.model_id
            raise ConfigError(
                f"--budget-usd: the price of {name!r} is not known. Write --price {name}=IN,OUT (US dollars for a million prompt and completion tokens)."
            )


class Caller:
    """Makes the run's calls.

    Raises (from `call`)
    --------------------
    EngineError
        The ledger cannot be written: nothing more is called, because it could not be kept.
    """

    def __init__(
        self, *, ledger: Ledger, journal: Journal, dispatcher: Dispatcher, budget: Budget, rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._journal = journal
        self._dispatcher = dispatcher
        self._budget = budget
        self._rng = rng or random.Random()  # jitter, no secret
        self._clock = clock
        self._paying: dict[str, asyncio.Future[Reply]] = {}
        self._broken: str | None = None

    def conversation(
        self, endpoints: Mapping[str, Endpoint], usual: Mapping[ModelRole, Sampling], *, case_id: str, repeat: int, priority: int,
        patience_s: float,
    ) -> Call:  # fmt: skip
        """How one conversation calls its models, all by one patience.

        Parameters
        ----------
        endpoints
            By model id.
        usual
            Sampling of each role.
        """
        patience = Patience(patience_s)

        async def call(model: ChatModel, messages: tuple[Message, ...], turn_number: int, longer: int = 1) -> Reply:
            endpoint = endpoints[model.model_id]
            place = Place(case_id, repeat, turn_number, priority)
            return await self.call(endpoint, messages, usual[endpoint.role].longer(longer), place, patience)

        return call

    async def call(self, endpoint: Endpoint, messages: tuple[Message, ...], sampling: Sampling, place: Place, patience: Patience) -> Reply:
        """The reply: from the ledger, from another case that is paying for the same, or from the provider."""
        key = call_key(endpoint, messages, sampling, place.repeat)
        if (paying := self._paying.get(key)) is not None:
            return await asyncio.shield(paying)
        if (known := self._ledger.find_reply(key)) is not None:
            return known
        # Two cases may send the same text at the same time; the second waits for the first one's reply.
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._paying[key] = future
        try:
            reply = await self._pay(endpoint, messages, sampling, place, patience)
            if reply.outcome != "budget_stop":
                await self._keep(CallRow.of(
                    key=key, repeat=place.repeat, role=endpoint.role, model=endpoint.model.model_id, case_id=place.case_id,
                    turn_number=place.turn_number, reply=reply, at_utc=now_utc(),
                ))  # fmt: skip
            future.set_result(reply)
        except BaseException as exc:
            future.set_exception(exc if isinstance(exc, Exception) else EngineError("stopped"))
            future.exception()  # read once, so that nobody waiting is no warning
            raise
        finally:
            del self._paying[key]
        return reply

    async def _keep(self, row: CallRow) -> None:
        try:
            await self._journal.write(row)
        except Exception as exc:
            self._broken = f"the ledger cannot be written ({type(exc).__name__}: {str(exc).splitlines()[0]}); nothing more is called"
            raise EngineError(self._broken) from exc

    async def _pay(self, endpoint: Endpoint, messages: tuple[Message, ...], sampling: Sampling, place: Place, patience: Patience) -> Reply:
        backoff = Backoff(self._rng)
        while True:
            if self._broken is not None:
                raise EngineError(self._broken)
            reply = await self._try(endpoint, messages, sampling, place, patience)
            wait = backoff.wait_s(reply)
            reply = reply.model_copy(update={"attempts": backoff.tries if reply.attempts else 0})
            if wait is None or reply.outcome == "budget_stop":
                return reply
            if wait >= patience.left_s:
                return reply.model_copy(
                    update={"error": f"{reply.error or reply.outcome}; no time left for another try in this conversation"}
                )
            patience.left_s -= wait
            await asyncio.sleep(wait)

    async def _try(self, endpoint: Endpoint, messages: tuple[Message, ...], sampling: Sampling, place: Place, patience: Patience) -> Reply:
        way = await endpoint.breaker.enter()
        if way == "down":
            return Reply(outcome="provider_down", attempts=0, error="many calls in a row failed; resume the run when the provider is back")
        reply: Reply | None = None
        try:
            reservation = self._budget.reserve(endpoint.name, messages, sampling, endpoint.price)
            if reservation is None:
                return Reply(outcome="budget_stop", attempts=0, error=f"the run's limit of {self._budget.stopped_by} is reached")
            try:
                async with self._dispatcher.slot(endpoint.lane, place.priority, reservation.tokens) as slot:
                    await self._journal.room(self._dispatcher.most)
                    if self._broken is not None:
                        raise EngineError(self._broken)
                    started = self._clock()
                    try:
                        reply = slot.reply = await asyncio.wait_for(endpoint.model.complete(messages, sampling), max(0.0, patience.left_s))
                    except TimeoutError:
                        reply = slot.reply = Reply(outcome="timeout", error="the conversation's time is used up")
                    patience.left_s -= self._clock() - started
            finally:
                self._budget.settle(endpoint.name, reservation, messages, reply)
        finally:
            endpoint.breaker.leave(way, reply)
        return reply


def now_utc() -> str:
    """ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
