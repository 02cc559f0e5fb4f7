"""An event loop whose time is a number: sleeping costs nothing, so minutes of waiting are tested in milliseconds."""

from __future__ import annotations

import asyncio
import selectors


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self._now = 1000.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self._now = max(self._now, self._scheduled[0]._when)
        super()._run_once()


def run_virtually(make_coroutine):
    """Run ``make_coroutine(clock)`` to its end; returns its result and the seconds it took in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        started = loop.time()
        result = runner.run(make_coroutine(loop.time))
        return result, loop.time() - started
