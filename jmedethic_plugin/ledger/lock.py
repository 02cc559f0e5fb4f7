"""One process at a time on a run folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from jmedethic_plugin.errors import ConfigError


class FolderLock:
    """An exclusive lock on a folder; the system lets go of it when the process dies, however it dies.

    Raises
    ------
    ConfigError
        Another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._file: IO[bytes] = (folder / ".lock").open("ab")
        try:
            _lock(self._file)
        except OSError as exc:
            self._file.close()
            raise ConfigError(f"{folder.name}: another process works on this run. Wait for it, or start a new run.") from exc

    def release(self) -> None:
        """Let go; a second call does nothing."""
        self._file.close()


def _lock(file: IO[bytes]) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]  # exists on Windows alone
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
