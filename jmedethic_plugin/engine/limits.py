"""How many calls may be open at once, and who goes first."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count


class PrioritySlots:
    """A semaphore that serves the lowest priority number first.

    With a first-come semaphore all conversations of the window advance at the same pace and the first items finish late.
    """

    def __init__(self, n_slots: int) -> None:
        self._free = n_slots
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._ticket = count()

    @asynccontextmanager
    async def slot(self, priority: int) -> AsyncIterator[None]:
        """Hold one slot; lower ``priority`` is served earlier."""
        if self._free > 0:
            self._free -= 1
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (priority, next(self._ticket), turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # the slot was handed over in the same tick
                    self._release()
                raise
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        while self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
