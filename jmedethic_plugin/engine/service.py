"""The engine's door for worker processes: one JSON line asks for a case, one JSON line answers.

A Unix socket in a private folder, or loopback TCP with a random token where there are none. Workers hold no key and import no
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
from pathlib import Path
from typing import Any

from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.engine.scheduler import Engine
from jmedethic_plugin.errors import EngineError


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
            self._server = await asyncio.start_unix_server(self._serve, path)
            return {"unix": str(path), "token": self._token}
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return {"port": self._server.sockets[0].getsockname()[1], "token": self._token}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode("ascii") + b"\n")
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass  # the worker died or the run ends; the case is in the ledger
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, str]:
        try:
            asked = json.loads(line)
            if not hmac.compare_digest(str(asked.get("token", "")), self._token):
                return {"error": "wrong token"}
            record = await self._engine.finished(str(asked["case_id"]))
        except Exception as exc:  # whatever went wrong with one case must reach its item, not end the service
            return {"error": f"{type(exc).__name__}: {exc}"}
        return {"record": record.model_dump_json()}

    def close(self) -> None:
        """Remove the socket; open connections end with the engine."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


class EngineClient:
    """A worker's blocking line to the engine."""

    def __init__(self, address: dict[str, Any], *, timeout_s: float) -> None:
        self._token = address["token"]
        if "unix" in address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(timeout_s)
            self._socket.connect(address["unix"])
        else:
            self._socket = socket.create_connection(("127.0.0.1", address["port"]), timeout=timeout_s)
        self._lines = self._socket.makefile("rwb")

    def result(self, case_id: str) -> CaseRecord:
        """The finished case; waits for it."""
        try:
            self._lines.write(json.dumps({"token": self._token, "case_id": case_id}).encode("ascii") + b"\n")
            self._lines.flush()
            line = self._lines.readline()
        except OSError as exc:
            raise EngineError(
                f"no answer for {case_id!r} from the engine ({type(exc).__name__}). Resume the run: what was answered is kept."
            ) from exc
        if not line:
            raise EngineError(f"the engine ended before {case_id!r} was answered. Resume the run: what was answered is kept.")
        answer = json.loads(line)
        if "error" in answer:
            raise EngineError(answer["error"])
        return CaseRecord.model_validate_json(answer["record"])

    def close(self) -> None:
        """Close the line."""
        self._lines.close()
        self._socket.close()
