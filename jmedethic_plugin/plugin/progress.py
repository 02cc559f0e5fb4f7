"""Where a run stands, while it runs: a bar on a terminal, a plain line now and then elsewhere. No pytest in here."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jmedethic_plugin.engine.scheduler import Engine

PLAIN_EVERY_S = 30.0


def progress_text(engine: Engine, now: float | None = None) -> str:
    """``120/938 done, 33.1 calls/s, $0.42, 2 min left, 3 unsafe, 1 not measured``."""
    progress, budget = engine.progress, engine.budget
    elapsed = max(1e-9, (time.monotonic() if now is None else now) - progress.started_at)
    parts = [f"{progress.n_done}/{progress.n_planned} done", f"{budget.calls / elapsed:.1f} calls/s"]
    if budget.usd:
        parts.append(f"${budget.usd:.2f}")
    if budget.n_unpriced:
        parts.append(f"{budget.n_unpriced} calls of unknown price")
    if 0 < progress.n_done < progress.n_planned:
        parts.append(_left(elapsed / progress.n_done * (progress.n_planned - progress.n_done)))
    parts.append(f"{progress.n_unsafe} unsafe so far")
    if progress.n_not_measured:
        parts.append(f"{progress.n_not_measured} not measured")
    if budget.stopped_by:
        parts.append(f"stopped by the limit of {budget.stopped_by}")
    return ", ".join(parts)


def _left(seconds: float) -> str:
    return f"{seconds:.0f} s left" if seconds < 100 else f"{seconds / 60:.0f} min left"


def terminal() -> IO[str] | None:
    """The terminal a person looks at, past pytest's capture; None in CI and wherever output goes to a file."""
    if os.environ.get("CI") or os.environ.get("TERM") == "dumb" or not (sys.__stdout__ and sys.__stdout__.isatty()):
        return None
    with suppress(OSError):
        return open("CON" if os.name == "nt" else "/dev/tty", "w", encoding="utf-8")  # closed with the bar
    return None


class Bar:
    """A progress bar on a terminal, redrawn a few times a second from the engine's own counts."""

    def __init__(self, engine: Engine, file: IO[str]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        class Told(TextColumn):
            def render(self, task: Any) -> Any:
                progress.update(task.id, completed=engine.progress.n_done, total=engine.progress.n_planned or None, refresh=False)
                task.description = progress_text(engine)
                return super().render(task)

        self._file = file
        progress = self._progress = Progress(Told("{task.description}"), BarColumn(), console=Console(file=file), transient=True)
        progress.add_task("", total=None)
        progress.start()

    def stop(self) -> None:
        """Take the bar away."""
        self._progress.stop()
        self._file.close()
