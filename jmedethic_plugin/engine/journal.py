"""Writing to the ledger in groups: one commit for all that came in while the last one was on its way to the disk."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from jmedethic_plugin.ledger.store import Ledger, Row

_Batch = list[tuple[Row, asyncio.Future[None]]]


class Journal:
    """The engine's pen. On return from `write` the row is on disk; a commit runs in a thread of its own, so the loop never waits for one."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="jmedethic-ledger")
        self._waiting: _Batch = []
        self._task: asyncio.Task[None] | None = None
        self._n_open = 0
        self._committed = asyncio.Event()

    async def room(self, most: int) -> None:
        """Wait while ``most`` rows or more are not on disk yet: what a kill could cost stays bounded however slow the disk is."""
        while self._n_open >= most:
            await self._committed.wait()

    async def write(self, row: Row) -> None:
        """Return when the row is durable; raises what the disk raises. A cancelled writer's row is written all the same."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((row, done))
        self._n_open += 1
        if self._task is None:
            self._task = loop.create_task(self._run())
        await asyncio.shield(done)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                try:
                    await self._commit(loop, batch)
                finally:
                    self._n_open -= len(batch)
                    self._committed.set()
                    self._committed = asyncio.Event()
        finally:
            self._task = None

    async def _commit(self, loop: asyncio.AbstractEventLoop, batch: _Batch) -> None:
        try:
            await loop.run_in_executor(self._thread, self._ledger.add, [row for row, _ in batch])
        except Exception as exc:
            if len(batch) > 1:  # one row that cannot be stored must not take along what was paid for beside it
                for single in batch:
                    await self._commit(loop, [single])
                return
            ((_, done),) = batch
            if not done.done():
                done.set_exception(exc)  # a full disk: each writer learns of it
                done.exception()  # read once: a cancelled writer's is no warning
        else:
            for _, done in batch:
                if not done.done():
                    done.set_result(None)

    async def close(self) -> None:
        """Write what is left and end the thread."""
        if self._task is not None:
            await asyncio.wait([self._task])
        while self._waiting:
            await self._run()
        self._thread.shutdown()
