"""A worker's end of the lines to the engine (`engine.service` is the other). Light: every worker imports it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from typing import Any

from jmedethic_plugin.core.record import Record, record_class
from jmedethic_plugin.engine.fixture_target import TargetFunction, call_target
from jmedethic_plugin.errors import EngineError

SIGN_OF_LIFE_S = 15.0
SILENCE_S = 120.0
"""A worker gives the engine up when it has heard nothing for so long."""
LINE_LIMIT = 1 << 26


async def send(writer: asyncio.StreamWriter, value: dict[str, Any]) -> None:
    """Write one line."""
    writer.write(json.dumps(value).encode("ascii") + b"\n")
    await writer.drain()


def _connect(address: dict[str, Any]) -> socket.socket:
    if "unix" not in address:
        return socket.create_connection(("127.0.0.1", address["port"]), timeout=SILENCE_S)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(SILENCE_S)
    line.connect(address["unix"])
    return line


class EngineClient:
    """A worker's blocking line to the engine."""

    def __init__(self, address: dict[str, Any]) -> None:
        self._token = address["token"]
        self._socket = _connect(address)
        self._lines = self._socket.makefile("rwb")

    def result(self, item: str) -> Record:
        """The finished item; waits for it as long as the engine lives."""
        try:
            self._lines.write(json.dumps({"token": self._token, "item": item}).encode("ascii") + b"\n")
            self._lines.flush()
            while True:
                line = self._lines.readline()
                if not line:
                    raise EngineError(f"the engine ended before {item!r} was answered. Resume the run: what was answered is kept.")
                answer = json.loads(line)
                if "record" in answer:
                    return record_class(item).model_validate_json(answer["record"])
                if "error" in answer:
                    raise EngineError(answer["error"])
        except OSError as exc:
            raise EngineError(
                f"no answer for {item!r} from the engine ({type(exc).__name__}). Resume the run: what was answered is kept."
            ) from exc

    def close(self) -> None:
        """Close the line."""
        self._lines.close()
        self._socket.close()


class TargetHost:
    """A worker's end of the line on which the engine asks the target that a fixture provides; in a thread of its own."""

    def __init__(self, address: dict[str, Any], provided: TargetFunction | str) -> None:
        self._socket = _connect(address)
        self._socket.settimeout(None)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(address["token"], provided), name="jmedethic-target", daemon=True)
        self._thread.start()

    def _run(self, token: str, provided: TargetFunction | str) -> None:
        asyncio.set_event_loop(self._loop)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            self._loop.run_until_complete(self._host(token, provided))
        self._loop.close()

    async def _host(self, token: str, provided: TargetFunction | str) -> None:
        reader, writer = await asyncio.open_connection(sock=self._socket, limit=LINE_LIMIT)
        await send(writer, {"token": token, "serves": provided if isinstance(provided, str) else True})
        async with asyncio.TaskGroup() as group:
            while line := await reader.readline():
                asked = json.loads(line)
                if not isinstance(provided, str):
                    group.create_task(self._answer(provided, asked, writer))

    async def _answer(self, function: TargetFunction, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        reply = await call_target(function, asked["messages"])
        with contextlib.suppress(ConnectionError):
            await send(writer, {"call": asked["call"], "reply": reply.model_dump_json()})

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)
        self._socket.close()
