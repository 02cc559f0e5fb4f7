"""The engine's door for worker processes: JSON lines over a Unix socket in a private folder, or loopback TCP with a random token.

A worker asks for an item and gets its record; while it waits, a sign of life comes now and then, so that a slow case is no dead engine.
A worker whose project provides the target by a fixture opens a second line on which the engine asks it. Workers hold no key and import no
LiteLLM.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import shutil
import socket
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

from jmedethic_plugin.core.transcript import Message, Reply
from jmedethic_plugin.engine.fixture_target import FixtureTarget
from jmedethic_plugin.engine.ports import Sampling
from jmedethic_plugin.engine.scheduler import Engine
from jmedethic_plugin.engine.wire import LINE_LIMIT, SIGN_OF_LIFE_S, send


class EngineService:
    """Serves one engine to the workers of a run."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._token = secrets.token_hex(16)
        self._folder: Path | None = None
        self.address = engine.submit(self._open()).result()

    async def _open(self) -> dict[str, Any]:
        if hasattr(socket, "AF_UNIX"):
            self._folder = Path(tempfile.mkdtemp(prefix="jmedethic-"))  # mode 0700
            path = self._folder / "engine"
            self._server = await asyncio.start_unix_server(self._serve, path, limit=LINE_LIMIT)
            return {"unix": str(path), "token": self._token}
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LINE_LIMIT)
        return {"port": self._server.sockets[0].getsockname()[1], "token": self._token}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                asked = json.loads(line)
                if not hmac.compare_digest(str(asked.get("token", "")), self._token):
                    await send(writer, {"error": "wrong token"})
                elif "serves" in asked:
                    await self._hear_target(asked["serves"], reader, writer)
                else:
                    await self._answer(str(asked["item"]), writer)
        except (ConnectionError, asyncio.CancelledError, ValueError):
            pass  # the worker died or the run ends; what was answered is in the ledger
        finally:
            writer.close()

    async def _answer(self, item: str, writer: asyncio.StreamWriter) -> None:
        finished = asyncio.ensure_future(self._engine.finished(item))
        try:
            while not (await asyncio.wait([finished], timeout=SIGN_OF_LIFE_S))[0]:
                await send(writer, {"waiting": item})
            record = finished.result()
        except asyncio.CancelledError:
            finished.cancel()
            raise
        except ConnectionError:
            raise
        except Exception as exc:  # whatever went wrong with one case must reach its item, not end the service
            await send(writer, {"error": f"{type(exc).__name__}: {exc}"})
            return
        await send(writer, {"record": record.model_dump_json()})
        self._engine.forget(item)

    async def _hear_target(self, provided: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = self._engine.target_model()
        if not isinstance(target, FixtureTarget):
            return
        line = _WireHost(reader, writer)
        host = target.add(provided if isinstance(provided, str) else line)
        try:
            await line.listen()
        finally:
            target.remove(host)

    def close(self) -> None:
        """Remove the socket; open connections end with the engine."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


class _WireHost:
    """The engine's end of a line to a worker that holds the target."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = count()
        self._open: dict[int, asyncio.Future[Reply]] = {}

    async def listen(self) -> None:
        try:
            while line := await self._reader.readline():
                said = json.loads(line)
                if (waiting := self._open.get(said["call"])) is not None and not waiting.done():
                    waiting.set_result(Reply.model_validate_json(said["reply"]))
        finally:
            for waiting in self._open.values():
                if not waiting.done():
                    waiting.set_result(Reply(outcome="transport_error", error="the worker that holds the target is gone"))

    async def complete(self, messages: tuple[Message, ...], sampling: Sampling) -> Reply:
        number = next(self._numbers)
        waiting: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._open[number] = waiting
        try:
            await send(self._writer, {"call": number, "messages": [m.model_dump() for m in messages]})
            return await waiting
        finally:
            del self._open[number]
