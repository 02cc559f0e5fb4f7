"""The engine of a run: one asyncio loop in a background thread that plays cases ahead of whoever asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, TypeVar

from jmedethic_plugin import SUITE_VERSION
from jmedethic_plugin.core.base import content_hash
from jmedethic_plugin.core.case import Case
from jmedethic_plugin.core.guideline import Guideline
from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.transcript import Message, Reply
from jmedethic_plugin.core.verdict import Unscored
from jmedethic_plugin.engine.conversation import run_conversation
from jmedethic_plugin.engine.limits import PrioritySlots
from jmedethic_plugin.engine.ports import ChatModel, ModelRole, Sampling
from jmedethic_plugin.errors import EngineError
from jmedethic_plugin.ledger.store import Ledger
from jmedethic_plugin.prompts.judge import rubric_hash

_T = TypeVar("_T")

WINDOW_PER_SLOT = 1.5
"""Conversations started but not yet asked for, per slot: enough to keep the slots busy, few enough that ``-x`` stops early."""


class Engine:
    """Plays cases and keeps every call in the ledger.

    Parameters
    ----------
    n_slots
        Calls open at once, over all workers.
    """

    def __init__(
        self, *, cases: dict[str, Case], guidelines: dict[str, Guideline], ledger: Ledger, system_prompt: str | None, target_sampling: Sampling, judge_sampling: Sampling, n_slots: int, eager: bool = True,
    ) -> None:  # fmt: skip
        self._cases = cases
        self._guidelines = guidelines
        self._ledger = ledger
        self._system_prompt = system_prompt
        self._sampling: dict[ModelRole, Sampling] = {"target": target_sampling, "judge": judge_sampling}
        self._n_slots = n_slots
        self._window = max(1, int(n_slots * WINDOW_PER_SLOT)) if eager else n_slots
        self._order: dict[str, int] = {}
        self._pending: list[str] = []
        self._tasks: dict[str, asyncio.Task[CaseRecord]] = {}
        self._unconsumed: set[str] = set()
        self._paying: dict[str, asyncio.Future[Reply]] = {}
        self._ready: Future[None] = Future()
        self._loop = asyncio.new_event_loop()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="jmedethic-engine", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def use_models(self, target: ChatModel, judges: tuple[ChatModel, ...]) -> None:
        """Name the models and begin; until then nothing is called. A second call does nothing."""
        if not self._ready.done():
            self._target, self._judges = target, judges
            self._ready.set_result(None)
            self._loop.call_soon_threadsafe(self._advance)

    def plan(self, case_ids: Sequence[str]) -> None:
        """Say which cases will be asked for, in which order; the engine starts running ahead."""
        self.submit(self._plan(list(case_ids))).result()

    def submit(self, coroutine: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run a coroutine on the engine's loop."""
        if self._closing or not self._thread.is_alive():
            coroutine.close()
            raise EngineError("the engine has stopped; resume the run to go on")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def result(self, case_id: str) -> CaseRecord:
        """The finished case; waits for it."""
        return self.submit(self.finished(case_id)).result()

    async def finished(self, case_id: str) -> CaseRecord:
        """The finished case, started now if it was not planned. To be awaited on the engine's loop."""
        if case_id not in self._cases:
            raise EngineError(f"{case_id!r} is no case of this run")
        await asyncio.wrap_future(self._ready)
        task = self._tasks.get(case_id) or self._begin(case_id)
        # From here on somebody waits for it: it no longer counts as run ahead.
        self._unconsumed.discard(case_id)
        self._advance()
        return await asyncio.shield(task)

    def stop(self) -> None:
        """Cancel what is open and end the thread. Everything answered is in the ledger already."""
        if self._closing:
            return
        self._closing = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=30)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._slots = PrioritySlots(self._n_slots)
        try:
            self._loop.run_forever()
        finally:
            open_tasks = asyncio.all_tasks(self._loop)
            for task in open_tasks:
                task.cancel()
            with contextlib.suppress(Exception):
                self._loop.run_until_complete(asyncio.wait_for(asyncio.gather(*open_tasks, return_exceptions=True), 10))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _plan(self, case_ids: list[str]) -> None:
        for case_id in case_ids:
            if case_id in self._cases and case_id not in self._order:
                self._order[case_id] = len(self._order)
                self._pending.append(case_id)
        self._pending.reverse()  # popped from the end
        self._advance()

    def _advance(self) -> None:
        while self._ready.done() and self._pending and len(self._unconsumed) < self._window:
            case_id = self._pending.pop()
            if case_id not in self._tasks:
                self._begin(case_id)
                self._unconsumed.add(case_id)

    def _begin(self, case_id: str) -> asyncio.Task[CaseRecord]:
        priority = self._order.setdefault(case_id, len(self._order))
        task = self._loop.create_task(self._play(self._cases[case_id], priority))
        self._tasks[case_id] = task
        task.add_done_callback(lambda t: t.cancelled() or t.exception())  # a failed run-ahead that nobody asks for is no warning
        return task

    async def _play(self, case: Case, priority: int) -> CaseRecord:
        key = content_hash({
            "suite": SUITE_VERSION, "system_prompt": self._system_prompt, "case": case.digest, "guideline": self._guidelines[case.guideline_id].model_dump(mode="json"),
            "target": self._target.identity(), "judges": [j.identity() for j in self._judges], "rubric": rubric_hash(case.language),
            "sampling": [s.to_dict() for s in self._sampling.values()],
        })  # fmt: skip
        if (known := self._ledger.find_record(key)) is not None:
            return known

        async def call(model: ChatModel, messages: tuple[Message, ...], turn_number: int) -> Reply:
            return await self._call(model, messages, case=case, turn_number=turn_number, priority=priority)

        record = await run_conversation(
            case,
            self._guidelines[case.guideline_id],
            target=self._target,
            judges=self._judges,
            system_prompt=self._system_prompt,
            call=call,
        )
        self._ledger.add_record(key=key, record=record, complete=_is_complete(record), at_utc=_now())
        return record

    async def _call(self, model: ChatModel, messages: tuple[Message, ...], *, case: Case, turn_number: int, priority: int) -> Reply:
        role: ModelRole = "target" if model is self._target else "judge"
        key = content_hash({
            "suite": SUITE_VERSION, "role": role, "model": model.identity(), "sampling": self._sampling[role].to_dict(),
            "messages": [m.model_dump() for m in messages],
        })  # fmt: skip
        if (paying := self._paying.get(key)) is not None:
            return await asyncio.shield(paying)
        if (known := self._ledger.find_reply(key)) is not None:
            return known
        # Two cases may send the same text at the same time; the second waits for the first one's reply.
        future = self._paying[key] = self._loop.create_future()
        try:
            async with self._slots.slot(priority):
                reply = await model.complete(messages, self._sampling[role])
            self._ledger.add_call(
                key=key,
                role=role,
                model=model.model_id,
                case_id=case.id,
                turn_number=turn_number,
                reply=reply,
                at_utc=_now(),
            )
            future.set_result(reply)
        except BaseException as exc:
            future.set_exception(exc if isinstance(exc, Exception) else EngineError("stopped"))
            future.exception()  # read once, so that nobody waiting is no warning
            raise
        finally:
            del self._paying[key]
        return reply


def _is_complete(record: CaseRecord) -> bool:
    return all(
        turn.panel is not None and not any(isinstance(v, Unscored) for v in turn.panel.verdicts) and turn.reply.outcome == "ok"
        for turn in record.turns
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
