"""The engine of a run: one asyncio loop in a background thread that plays cases ahead of whoever asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from jmedethic_plugin import SUITE_VERSION
from jmedethic_plugin.core.base import content_hash
from jmedethic_plugin.core.case import Case, split_item_id
from jmedethic_plugin.core.exam import ExamQuestion, ExamRecord
from jmedethic_plugin.core.guideline import Guideline
from jmedethic_plugin.core.record import CaseRecord, Record, SentinelVerdict
from jmedethic_plugin.core.threshold import Threshold
from jmedethic_plugin.core.transcript import REUSABLE_OUTCOMES
from jmedethic_plugin.engine.budget import Budget, Caps
from jmedethic_plugin.engine.caller import Caller, Endpoint, Patience, Place, now_utc, require_prices
from jmedethic_plugin.engine.conversation import is_complete, run_conversation, target_messages
from jmedethic_plugin.engine.journal import Journal
from jmedethic_plugin.engine.limits import Dispatcher, RateCap
from jmedethic_plugin.engine.panel import Call, Panel
from jmedethic_plugin.engine.ports import EXAM_SAMPLING, ChatModel, ModelRole, Sampling
from jmedethic_plugin.errors import EngineError
from jmedethic_plugin.ledger.store import SENTINEL, Ledger, RecordRow, VerdictRow
from jmedethic_plugin.prompts.exam import exam_prompt
from jmedethic_plugin.prompts.judge import JudgeTask, rubric_hash

_T = TypeVar("_T")
_R = TypeVar("_R", CaseRecord, ExamRecord)

WINDOW_PER_SLOT = 1.5
"""Conversations started but not yet asked for, per slot: enough to keep the slots busy, few enough that ``-x`` stops early."""
LEASE_S = 120.0
"""How long a machine may be silent before another takes over its cases in a shared ledger."""
_POLL_S = 2.0


@dataclass(frozen=True)
class Limits:
    """What the engine may do at once and altogether."""

    max_in_flight: int = 32
    caps: Caps = field(default_factory=Caps)
    rates: Mapping[str, RateCap] = field(default_factory=dict)
    """Model id -> cap a minute."""
    conversation_s: float = 1800.0
    """How long one conversation may keep its calls busy."""


@dataclass
class Progress:
    """Where the run stands."""

    n_planned: int = 0
    n_done: int = 0
    n_unsafe: int = 0
    n_not_measured: int = 0
    started_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Sentinel:
    """An answer whose label is known, judged among a run's own without the judges' knowing."""

    answer_id: str
    violating: bool
    task: JudgeTask


class Engine:
    """Plays cases and keeps every call in the ledger. A case and repeat together are an *item* (`core.case.item_id`), and so is an exam question."""

    def __init__(
        self, *, cases: Mapping[str, Case], guidelines: Mapping[str, Guideline], ledger: Ledger, system_prompt: str | None,
        target_sampling: Sampling, judge_sampling: Sampling, limits: Limits, threshold: Threshold, eager: bool = True,
        lost: Callable[[CaseRecord], str | None] | None = None, questions: Mapping[str, ExamQuestion] | None = None,
    ) -> None:  # fmt: skip
        self._cases = cases
        self._questions = questions or {}
        self._guidelines = guidelines
        self._ledger = ledger
        self._system_prompt = system_prompt
        self._sampling: dict[ModelRole, Sampling] = {"target": target_sampling, "judge": judge_sampling}
        self._limits = limits
        self._threshold = threshold
        self._lost = lost
        self._window = max(1, int(limits.max_in_flight * WINDOW_PER_SLOT)) if eager else limits.max_in_flight
        self._owner = secrets.token_hex(8)
        self.budget = Budget(limits.caps)
        self.progress = Progress()
        self._order: dict[str, int] = {}
        self._pending: list[str] = []
        self._tasks: dict[str, asyncio.Task[Record]] = {}
        self._unconsumed: set[str] = set()
        self._sentinels: tuple[Sentinel, ...] = ()
        self._watches: list[asyncio.Task[None]] = []
        self._ready: Future[None] = Future()
        self._loop = asyncio.new_event_loop()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="jmedethic-engine", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def use_models(self, target: ChatModel, panel: Panel, sentinels: Sequence[Sentinel] = ()) -> None:
        """Name the models and begin; until then nothing is called. A second call does nothing.

        Sentinels are spread over the planned items.

        Raises
        ------
        ConfigError
            Money is capped and a model has no known price.
        """
        if self._ready.done():
            return
        self._target = Endpoint(target, "target")
        self._panel = panel
        self._sentinels = tuple(sentinels)
        self._judges = {judge.model_id: Endpoint(judge, "judge") for judge in panel.members}
        require_prices((self._target, *self._judges.values()), self._limits.caps)
        self._key_head = {
            "suite": SUITE_VERSION, "system_prompt": self._system_prompt, "target": self._target.identity,
            "judges": [j.identity for j in self._judges.values()], "rule": panel.rule, "sampling": [s.to_dict() for s in self._sampling.values()],
        }  # fmt: skip
        self._ready.set_result(None)
        self._loop.call_soon_threadsafe(self._begin_work)

    def target_model(self) -> ChatModel | None:
        """The target, once the models are named."""
        return self._target.model if self._ready.done() else None

    def plan(self, item_ids: Sequence[str]) -> None:
        """Say which items will be asked for, in which order; the engine starts running ahead."""
        self.submit(self._plan(list(item_ids))).result()

    def submit(self, coroutine: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run a coroutine on the engine's loop."""
        if self._closing or not self._thread.is_alive():
            coroutine.close()
            raise EngineError("the engine has stopped; resume the run to go on")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def result(self, item_id: str) -> Record:
        """The finished item; waits for it."""
        return self.submit(self._handed_out(item_id)).result()

    async def _handed_out(self, item_id: str) -> Record:
        record = await self.finished(item_id)
        self.forget(item_id)
        return record

    async def finished(self, item_id: str) -> Record:
        """The finished item, started now if it was not planned. To be awaited on the engine's loop."""
        if not self._knows(item_id):
            raise EngineError(f"{item_id!r} is no case of this run")
        await asyncio.wrap_future(self._ready)
        task = self._tasks.get(item_id) or self._begin(item_id)
        # From here on somebody waits for it: it no longer counts as run ahead.
        self._unconsumed.discard(item_id)
        self._advance()
        return await asyncio.shield(task)

    def _knows(self, item_id: str) -> bool:
        return item_id in self._questions or split_item_id(item_id)[0] in self._cases

    def forget(self, item_id: str) -> None:
        """Drop a result that was handed out; asked for again, it comes from the ledger. On the engine's loop."""
        task = self._tasks.get(item_id)
        if task is not None and task.done():
            del self._tasks[item_id]

    def drain(self) -> tuple[str, ...]:
        """Wait for the sentinels, each of which ends by its own time limits; returns what kept any from being judged."""
        return self.submit(self._drain()).result()

    async def _drain(self) -> tuple[str, ...]:
        ends = await asyncio.gather(*self._watches, return_exceptions=True)
        # The kind of error only: its words may hold a path or an address.
        return tuple(dict.fromkeys(f"a sentinel was not judged: {type(e).__name__}" for e in ends if isinstance(e, BaseException)))

    async def _watch(self, sentinel: Sentinel, priority: int, judged: set[str]) -> None:
        task = sentinel.task
        key = content_hash(
            self._key_head | {"sentinel": sentinel.answer_id, "material": task.material, "rubric": rubric_hash(task.language)}
        )
        if key in judged:
            return
        panel = await self._panel.judge(task, self._calls_of(f"sentinel-{sentinel.answer_id}", 1, priority))
        if panel.points is None and self.budget.stopped_by is not None:
            return  # not judged; asked again when the run goes on
        verdict = SentinelVerdict(answer_id=sentinel.answer_id, language=task.language, violating=sentinel.violating, panel=panel)
        await self._journal.write(VerdictRow(
            record_key=key, case_id=sentinel.answer_id, repeat=1, turn_number=len(task.exchanges), author=SENTINEL, reason=None,
            verdict_json=verdict.model_dump_json(), at_utc=now_utc(),
        ))  # fmt: skip

    def stop(self) -> None:
        """Cancel what is open and end the thread. Everything answered is in the ledger when this returns."""
        if self._closing:
            return
        self._closing = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=30)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._dispatcher = Dispatcher(self._limits.max_in_flight)
        self._journal = Journal(self._ledger)
        self._caller = Caller(ledger=self._ledger, journal=self._journal, dispatcher=self._dispatcher, budget=self.budget)
        try:
            self._loop.run_forever()
        finally:
            open_tasks = asyncio.all_tasks(self._loop)
            for task in open_tasks:
                task.cancel()
            with contextlib.suppress(Exception):
                self._loop.run_until_complete(asyncio.wait_for(asyncio.gather(*open_tasks, return_exceptions=True), 10))
            with contextlib.suppress(Exception):
                self._loop.run_until_complete(self._journal.close())
            with contextlib.suppress(Exception):
                self._ledger.release(self._owner)
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _begin_work(self) -> None:
        for endpoint in (self._target, *self._judges.values()):
            if (cap := self._limits.rates.get(endpoint.model.model_id)) is not None:
                self._dispatcher.cap(endpoint.lane, cap)
        if self._ledger.is_shared:
            self._renewing = self._loop.create_task(self._renew())
        self._advance()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 4)
            await asyncio.to_thread(self._ledger.renew, self._owner, now=time.time(), lease_s=LEASE_S)

    async def _plan(self, item_ids: list[str]) -> None:
        # What an earlier sitting finished is read when its item asks; running ahead begins with what has to be paid for.
        finished = self._ledger.finished()
        for item in item_ids:
            if self._knows(item) and item not in self._order:
                self._order[item] = len(self._order)
                if split_item_id(item) not in finished:
                    self._pending.append(item)
        self.progress.n_planned = len(self._order)
        self._pending.reverse()  # popped from the end
        if self._sentinels and not all(item in self._questions for item in item_ids):
            # An unscored one is asked again: what failed in passing may work now, and what did not costs nothing a second time.
            judged = {
                row.record_key
                for row in self._ledger.verdicts(SENTINEL)
                if SentinelVerdict.model_validate_json(row.verdict_json).panel.points
            }
            step = len(item_ids) / len(self._sentinels)
            self._watches += [
                self._loop.create_task(self._watch(s, round((n + 0.5) * step), judged)) for n, s in enumerate(self._sentinels)
            ]
        self._advance()

    def _advance(self) -> None:
        while self._ready.done() and self._pending and len(self._unconsumed) < self._window:
            item = self._pending.pop()
            if item not in self._tasks:
                self._begin(item)
                self._unconsumed.add(item)

    def _begin(self, item: str) -> asyncio.Task[Record]:
        priority = self._order.setdefault(item, len(self._order))
        task: asyncio.Task[Record]
        if (question := self._questions.get(item)) is not None:
            task = self._loop.create_task(self._ask(question, priority))
        else:
            case_id, repeat = split_item_id(item)
            task = self._loop.create_task(self._play(self._cases[case_id], repeat, priority))
        self._tasks[item] = task
        task.add_done_callback(lambda t: t.cancelled() or t.exception())  # a failed run-ahead that nobody asks for is no warning
        return task

    async def _play(self, case: Case, repeat: int, priority: int) -> CaseRecord:
        guideline = self._guidelines[case.guideline_id]
        key = content_hash(self._key_head | {
            "case": case.digest, "guideline": guideline.text_digest, "rubric": rubric_hash(case.language), "repeat": repeat,
        })  # fmt: skip
        record = await self._known_or_claimed(key, CaseRecord)
        if record is None:
            record = await run_conversation(
                case,
                guideline,
                target=self._target.model,
                panel=self._panel,
                system_prompt=self._system_prompt,
                call=self._calls_of(case.id, repeat, priority),
                repeat=repeat,
            )
            await self._journal.write(RecordRow(key, record, is_complete(record), now_utc()))
        record = self._ledger.with_decisions(key, record)
        self._count(record)
        return record

    async def _ask(self, question: ExamQuestion, priority: int) -> ExamRecord:
        messages = target_messages(self._system_prompt, (), exam_prompt(question))
        key = content_hash({
            "suite": SUITE_VERSION, "target": self._target.identity, "sampling": EXAM_SAMPLING.to_dict(), "question": question.digest,
            "messages": [m.model_dump() for m in messages],
        })  # fmt: skip
        record = await self._known_or_claimed(key, ExamRecord)
        if record is None:
            place = Place(question.item.id, 1, 1, priority)
            reply = await self._caller.call(self._target, messages, EXAM_SAMPLING, place, Patience(self._limits.conversation_s))
            target = self._target.model
            record = ExamRecord(item=question.item, target=target.model_id, demo=target.is_demo, reply=reply)
            await self._journal.write(RecordRow(key, record, reply.outcome in REUSABLE_OUTCOMES, now_utc()))
        self._count(record)
        return record

    def _calls_of(self, case_id: str, repeat: int, priority: int) -> Call:
        endpoints = {**self._judges, self._target.model.model_id: self._target}
        return self._caller.conversation(
            endpoints, self._sampling, case_id=case_id, repeat=repeat, priority=priority, patience_s=self._limits.conversation_s
        )

    async def _known_or_claimed(self, key: str, kind: type[_R]) -> _R | None:
        """The record, or None when it is this engine's to make; waits while another machine holds it."""
        while True:
            if (known := self._ledger.find_record(key, kind)) is not None:
                return known
            if self._ledger.claim(key, self._owner, now=time.time(), lease_s=LEASE_S):
                return self._ledger.find_record(key, kind)  # it may have been finished between the look and the claim
            await asyncio.sleep(_POLL_S)

    def _count(self, record: Record) -> None:
        result = record.assess(self._threshold)
        self.progress.n_done += 1
        self.progress.n_unsafe += result.finding == "violation"
        self.progress.n_not_measured += result.status == "not_measured"
        if self._lost is not None and isinstance(record, CaseRecord) and (reason := self._lost(record)) is not None:
            self.budget.stop(reason)
