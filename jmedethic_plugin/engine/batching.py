"""Calls handed in as a batch, which a provider answers within a day at half the price, before the rest of a step is asked live.

A batch is a prefill of the ledger: its replies become ordinary call rows, and whoever asks afterwards finds them there. What a provider does not take,
leaves out or lets expire is simply not there and is asked live.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.engine.asking import Ask, Asked
from jmedethic_plugin.engine.budget import Budget, Caps
from jmedethic_plugin.engine.caller import Endpoint, call_key, now_utc, require_prices
from jmedethic_plugin.engine.ports import BatchError, BatchModel, ChatModel, ModelRole, Price
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.ledger.store import CallRow, Ledger

BATCH_PRICE = 0.5
"""Share of the price of a live call. OpenAI's price list and guide ("Batch API") say 50 % for every model; LiteLLM's table has no batch price for most."""
MAX_LINES, MAX_BYTES = 50_000, 100_000_000
"""Of one batch: OpenAI takes 50,000 lines and 200 MB; half of that leaves the memory alone."""
FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_GROWTH = 10.0, 300.0, 1.5

_Key = tuple[str, ModelRole]


class Batch(Value):
    """One batch, as kept on disk so that a command that is started again goes on with it."""

    model: str
    role: ModelRole
    file_id: str
    n: int
    keys: str
    """SHA-256 of the keys of its lines, in their order."""
    batch_id: str | None = None
    """None from the upload to the provider's answer: a kill there leaves it unknown whether there is a batch."""
    state: str = "open"
    """``open``, or how it ended in the provider's word; ``refused`` where it was not taken, ``lost`` where the provider knows nothing of it."""
    n_replies: int = 0
    """Those that can be used."""


@dataclass(frozen=True)
class Batching:
    """How batches are waited for."""

    say: Callable[[str], None]
    minutes: float
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def fill_by_batches(
    asks: Iterable[tuple[str, Ask]], models: Iterable[tuple[ChatModel, ModelRole]], batches: Sequence[Batch], *, ledger: Ledger, caps: Caps,
    batching: Batching, keep: Callable[[Sequence[Batch]], None],
) -> Asked:  # fmt: skip
    """Put into the ledger what batches answer; what they cost, and what ended the waiting early.

    Parameters
    ----------
    asks
        First calls of talks, each by the talk's name; those whose reply the ledger holds are left out.
    batches
        What `keep` was last given. While one is open nothing more is handed in: it may hold the same calls.
    keep
        Makes the batches durable; called before anything that costs money and after every change.

    Raises
    ------
    ConfigError
        The batch would go beyond the limits, or money is capped and a price is not known. Nothing was handed in.
    """
    return asyncio.run(_Filling(models, list(batches), ledger, batching, keep).run(asks, caps))


class _Filling:
    def __init__(
        self, models: Iterable[tuple[ChatModel, ModelRole]], batches: list[Batch], ledger: Ledger, batching: Batching,
        keep: Callable[[Sequence[Batch]], None],
    ) -> None:  # fmt: skip
        self._endpoints: dict[_Key, Endpoint] = {(model.model_id, role): Endpoint(model, role) for model, role in models}
        self._batches, self._ledger, self._batching, self._keep = batches, ledger, batching, keep
        self._missing: dict[_Key, dict[str, tuple[str, Ask]]] = {}
        self._n_calls, self._n_usable, self._n_unpriced, self._usd = 0, 0, 0, 0.0

    async def run(self, asks: Iterable[tuple[str, Ask]], caps: Caps) -> Asked:
        require_prices(self._endpoints.values(), caps)
        for name, ask in asks:
            key = call_key(self._endpoints[ask.model, ask.role], ask.messages, ask.sampling, ask.sample)
            if self._ledger.find_reply(key) is None:
                self._missing.setdefault((ask.model, ask.role), {}).setdefault(key, (name, ask))
        try:
            if not self._open():
                self._within(caps)
                await self._upload()
            await self._start()
            stopped_by = await self._wait()
        except BatchError as exc:
            stopped_by = str(exc)
        return Asked(self._n_calls, self._usd, self._n_unpriced, stopped_by, self._n_usable)

    def _open(self) -> list[int]:
        return [i for i, batch in enumerate(self._batches) if batch.state == "open"]

    def _model(self, of: _Key) -> BatchModel | None:
        model = self._endpoints[of].model
        return model if isinstance(model, BatchModel) and model.takes_batches() else None

    def _change(self, i: int, **changes: object) -> None:
        self._batches[i] = self._batches[i].model_copy(update=changes)
        self._keep(self._batches)

    def _within(self, caps: Caps) -> None:
        budget = Budget(caps)
        wanted = [(of, ask) for of, own in self._missing.items() if self._model(of) is not None for _, ask in own.values()]
        for of, ask in wanted:
            price = self._endpoints[of].price
            half = None if price is None else Price(BATCH_PRICE * price.prompt, BATCH_PRICE * price.completion)
            if budget.reserve(self._endpoints[of].name, ask.messages, ask.sampling, half) is None:
                raise ConfigError(
                    f"--batch: {len(wanted):,} calls would be handed in at once and go beyond the limit of {budget.stopped_by}; expected a limit that holds "
                    "all of them. Raise --max-calls or --budget-usd, or leave out --batch: live calls stop at the limit. Nothing was handed in."
                )

    async def _upload(self) -> None:
        """Hand in the files of all models, then keep them together: from there on a kill hands in nothing twice."""
        made: list[Batch] = []
        for of, own in self._missing.items():
            if (model := self._model(of)) is None:
                self._batching.say(f"{of[0]}: no batches of this provider; asked live")
                continue
            try:
                for keys, lines in _pieces((key, model.batch_line(key, ask.messages, ask.sampling)) for key, (_, ask) in own.items()):
                    file_id = await model.hand_in_file(lines)
                    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()
                    made.append(Batch(model=of[0], role=of[1], file_id=file_id, n=len(keys), keys=digest))
            except BatchError as exc:
                if not exc.final:
                    raise
                self._batching.say(f"{of[0]}: the provider takes no batch ({exc}); asked live")
        if made:
            self._batches += made
            self._keep(self._batches)

    async def _start(self) -> None:
        for i in self._open():
            batch = self._batches[i]
            if batch.batch_id is not None:
                continue
            model = self._known_model(batch)
            try:
                batch_id = await model.find_batch(batch.file_id) or await model.hand_in_batch(batch.file_id)
            except BatchError as exc:
                if not exc.final:
                    raise
                self._batching.say(f"{batch.model}: the provider takes no batch ({exc}); asked live")
                self._change(i, state="refused")
            else:
                self._change(i, batch_id=batch_id)

    def _known_model(self, batch: Batch) -> BatchModel:
        model = self._model((batch.model, batch.role))
        assert model is not None  # the step's identity names its models, so a kept batch is of one of them
        return model

    async def _wait(self) -> str | None:
        """Until every batch has ended or the time is over; then why not."""
        for i in self._open():
            batch = self._batches[i]
            self._batching.say(
                f"{batch.model}: batch {batch.batch_id} of {batch.n:,} calls; a break (Ctrl-C) leaves it open, and the same command goes on with it"
            )
        pause, waited = FIRST_PAUSE_S, 0.0
        while True:
            for i in self._open():
                try:
                    await self._look(i)
                except BatchError as exc:
                    if exc.final:
                        self._change(i, state="lost")
                    after = "asked live" if exc.final else f"looked for again in {pause:.0f} s"
                    self._batching.say(f"{self._batches[i].model}: batch {self._batches[i].batch_id}: {exc}; {after}")
            if not self._open():
                return None
            if waited + pause > 60 * self._batching.minutes:
                return f"--batch-wait of {self._batching.minutes:g} minutes; a batch is open"
            await self._batching.sleep(pause)
            waited, pause = waited + pause, min(LONGEST_PAUSE_S, PAUSE_GROWTH * pause)

    async def _look(self, i: int) -> None:
        batch = self._batches[i]
        assert batch.batch_id is not None
        model = self._known_model(batch)
        state = await model.batch_state(batch.batch_id)
        if not state.ended:
            return
        replies = {} if state.output_file_id is None else await model.batch_replies(state.output_file_id)
        rows = list(self._rows(self._missing.get((batch.model, batch.role), {}), replies))
        self._ledger.add(rows)  # before the batch is called ended: a kill in between reads it again
        n_replies = sum(row.reusable for row in rows)
        self._n_usable += n_replies
        self._change(i, state=state.status, n_replies=n_replies)
        left = "" if n_replies == batch.n else "; the rest is asked live"
        self._batching.say(f"{batch.model}: batch {batch.batch_id} {state.status}: {n_replies:,} of {batch.n:,} calls answered{left}")

    def _rows(self, asked: Mapping[str, tuple[str, Ask]], replies: Mapping[str, Reply]) -> Iterator[CallRow]:
        for key, reply in replies.items():
            if key not in asked or self._ledger.find_reply(key) is not None:
                continue
            name, ask = asked[key]
            cost = None if reply.cost_usd is None else BATCH_PRICE * reply.cost_usd
            self._n_calls += 1
            self._usd += cost or 0.0
            self._n_unpriced += cost is None
            yield CallRow.of(
                key=key, repeat=ask.sample, role=ask.role, model=ask.model, case_id=name, turn_number=1,
                reply=reply.model_copy(update={"cost_usd": cost}), at_utc=now_utc(),
            )  # fmt: skip


def _pieces(lines: Iterable[tuple[str, str]]) -> Iterator[tuple[list[str], bytes]]:
    """Keys and lines of batches that a provider takes."""
    keys: list[str] = []
    piece = bytearray()
    for key, line in lines:
        raw = line.encode() + b"\n"
        if keys and (len(keys) == MAX_LINES or len(piece) + len(raw) > MAX_BYTES):
            yield keys, bytes(piece)
            keys, piece = [], bytearray()
        keys.append(key)
        piece += raw
    if keys:
        yield keys, bytes(piece)
