"""An OpenAI-compatible chat server on the loopback address, with faults on demand.

It has OpenAI's files and batches too. It serves the scripted demo models (``steadfast``, ``eroding``, ``compliant``, ``overcautious``, ``judge-a``, ``judge-b``, and the factory's
``generator-a`` and so on; any other name answers like ``steadfast``), so the main job can be run over real HTTP through LiteLLM without a provider.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from jmedethic_plugin.core.case import Case
from jmedethic_plugin.core.transcript import Message
from jmedethic_plugin.engine.demo import DEMO_JUDGES, DEMO_TARGETS, DemoJudge, DemoTarget
from jmedethic_plugin.engine.ports import ChatModel, Sampling
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.generation.demo import SCRIPTS, DemoWriter

Fault = Literal[
    "error_500", "rate_limit", "filter_400", "filter_finish", "truncated", "empty", "malformed_json", "slow", "dropped", "wrong_model", "bad_request", "bad_verdict",
]  # fmt: skip
FAULTS: tuple[Fault, ...] = Fault.__args__  # type: ignore[attr-defined]  # typing offers no typed way to list a Literal


@dataclass(frozen=True)
class Faults:
    """Share of requests, 0 to 1, that meet each fault; which requests is decided by their content, so runs repeat.

    Transient faults (``error_500``, ``rate_limit``, ``malformed_json``, ``slow``, ``dropped``) hit a request's first try only, so that a
    correct client gets through.
    """

    error_500: float = 0.0
    rate_limit: float = 0.0
    filter_400: float = 0.0
    filter_finish: float = 0.0
    truncated: float = 0.0
    empty: float = 0.0
    malformed_json: float = 0.0
    slow: float = 0.0
    dropped: float = 0.0
    wrong_model: float = 0.0
    bad_request: float = 0.0
    """HTTP 400 that is no content filter; as with some providers and proxies, its text and a header repeat the request's address and headers."""
    bad_verdict: float = 0.0
    """Judges only: prose instead of JSON."""

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if not 0 <= value <= 1:
                raise ConfigError(f"fault {f.name} is {value}; expected a share from 0 to 1.")

    @classmethod
    def parse(cls, settings: Iterable[str]) -> Faults:
        """From texts like ``rate_limit=0.1``."""
        values: dict[str, float] = {}
        for setting in settings:
            name, _, share = setting.partition("=")
            if name not in FAULTS:
                raise ConfigError(f"fault {setting!r}: no such fault. Known: {', '.join(FAULTS)}; write NAME=SHARE.")
            try:
                values[name] = float(share)
            except ValueError as exc:
                raise ConfigError(f"fault {setting!r}: expected NAME=SHARE with a share from 0 to 1.") from exc
        return cls(**values)


BatchFate = Literal["answered", "open", "failed_line", "expired", "absent"]
"""What becomes of batches: all lines answered, none yet, the first with an error, the first half only, or HTTP 404 for everything about them."""


_TRANSIENT: frozenset[Fault] = frozenset({"error_500", "rate_limit", "malformed_json", "slow", "dropped"})


@dataclass
class ServerStats:
    """What arrived. Read it after the run; it is the server's own count."""

    requests: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    by_model: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    """Requests answered with HTTP 200, by content hash: a value above 1 was paid for twice."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    batches: int = 0
    """Handed in."""
    batched: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of their lines."""


class LoopbackServer:
    """The server, in a thread of its own; use as a context manager.

    Parameters
    ----------
    latency_s
        Time each answer takes.
    slow_s
        Time an answer takes under the fault ``slow``.
    port
        0 takes a free one.
    batch_fate
        May be changed while the server runs.
    """

    def __init__(
        self,
        cases: Mapping[str, Case],
        *,
        latency_s: float = 0.0,
        faults: Faults | None = None,
        slow_s: float = 30.0,
        port: int = 0,
        keep_bodies: bool = True,
        batch_fate: BatchFate = "answered",
    ) -> None:
        self._models: dict[str, ChatModel] = {name: DemoTarget(name, cases) for name in DEMO_TARGETS}
        self._models |= {name: DemoJudge(name) for name in DEMO_JUDGES}
        self._models |= {name: DemoWriter(name, script) for name, script in SCRIPTS.items()}
        self._latency_s, self._slow_s, self._keep_bodies = latency_s, slow_s, keep_bodies
        self._faults = faults or Faults()
        self._wanted_port = port
        self._seen: Counter[str] = Counter()
        self.batch_fate = batch_fate
        self._files: list[bytes] = []
        self._batches: list[str] = []
        """Ids of their files."""
        self.stats = ServerStats()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loopback-server", daemon=True)
        self.port = 0

    @property
    def url(self) -> str:
        """What goes into ``--api-base``."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> LoopbackServer:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._connection, "127.0.0.1", self._wanted_port), self._loop
        ).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _shut(self) -> None:
        self._server.close()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await self._read(reader)) is not None:
                if not await self._respond(*request, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, RuntimeError):
            pass  # the client is gone or the server stops
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> tuple[str, bytes] | None:
        """Head and body of the next request."""
        head = [await reader.readline()]
        if not head[0]:
            return None
        length = 0
        while (line := await reader.readline()) not in (b"\r\n", b""):
            head.append(line)
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return b"".join(head).decode("ascii", "backslashreplace"), await reader.readexactly(length)

    async def _respond(self, head: str, raw: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False closes the connection without an answer."""
        method, path = head.split()[:2]
        if path.startswith(("/v1/files", "/v1/batches")) and self.batch_fate != "absent":
            await _send(writer, 200, await self._batch_request(method, path.partition("?")[0], raw))
            return True
        if not path.endswith("/chat/completions"):
            await _send(writer, 404, {"error": {"message": "only /v1/chat/completions is served"}})
            return True
        body = json.loads(raw)
        name = str(body["model"]).rsplit("/", 1)[-1]
        stats = self.stats
        stats.requests += 1
        stats.by_model[name] += 1
        if self._keep_bodies:
            stats.bodies.append(body)
        stats.in_flight += 1
        stats.peak_in_flight = max(stats.peak_in_flight, stats.in_flight)
        try:
            return await self._answer(name, body, hashlib.sha256(raw).hexdigest(), head, writer)
        finally:
            stats.in_flight -= 1

    async def _batch_request(self, method: str, path: str, raw: bytes) -> dict[str, Any] | bytes:
        """Files and batches as in OpenAI's interface. A file's id is its place among the files, a batch's replies are written when they are fetched."""
        if method == "POST" and path == "/v1/files":
            content = raw[raw.index(b'{"custom_id"') : raw.rindex(b"}") + 1]  # of the multipart form, the lines
            self._files.append(content)
            return {
                "id": f"file-{len(self._files) - 1}", "object": "file", "bytes": len(content), "created_at": 0, "filename": "batch.jsonl", "purpose": "batch",
                "status": "processed",
            }  # fmt: skip
        if path.startswith("/v1/files"):
            return await self._batch_output(int(path.split("/")[3].removeprefix("output-")))
        if method == "POST":
            self._batches.append(json.loads(raw)["input_file_id"])
            self.stats.batches += 1
            return self._batch(len(self._batches) - 1)
        if path == "/v1/batches":
            return {"object": "list", "data": [self._batch(i) for i in range(len(self._batches))], "has_more": False}
        return self._batch(int(path.rsplit("-", 1)[-1]))

    def _batch(self, i: int) -> dict[str, Any]:
        status = {"open": "in_progress", "expired": "expired"}.get(self.batch_fate, "completed")
        return {
            "id": f"batch-{i}", "object": "batch", "endpoint": "/v1/chat/completions", "input_file_id": self._batches[i], "completion_window": "24h",
            "status": status, "created_at": 0, "output_file_id": None if status == "in_progress" else f"output-{i}",
        }  # fmt: skip

    async def _batch_output(self, i: int) -> bytes:
        lines = [json.loads(line) for line in self._files[int(self._batches[i].removeprefix("file-"))].splitlines()]
        if self.batch_fate == "expired":
            lines = lines[: len(lines) // 2]
        told = []
        for n, line in enumerate(lines):
            if n == 0 and self.batch_fate == "failed_line":
                response = {"status_code": 500, "body": {"error": {"message": "injected fault"}}}
            else:
                self.stats.batched.append(line["body"])
                name = str(line["body"]["model"])
                response = {"status_code": 200, "body": _completion(name, await self._text(name, line["body"]), None)}
            told.append(json.dumps({"id": f"line-{n}", "custom_id": line["custom_id"], "response": response, "error": None}))
        return "\n".join(told).encode()

    async def _text(self, name: str, body: dict[str, Any]) -> str:
        messages = tuple(Message(role=m["role"], content=m["content"]) for m in body["messages"])
        return (await self._models.get(name, self._models["steadfast"]).complete(messages, Sampling())).text

    async def _answer(self, name: str, body: dict[str, Any], digest: str, head: str, writer: asyncio.StreamWriter) -> bool:
        model = self._models.get(name, self._models["steadfast"])
        fault = self._fault(digest, is_judge=isinstance(model, DemoJudge))
        self._seen[digest] += 1
        await asyncio.sleep(self._slow_s if fault == "slow" else self._latency_s)
        if fault == "dropped":
            return False
        if fault == "error_500":
            await _send(writer, 500, {"error": {"message": "injected fault", "type": "server_error"}})
        elif fault == "rate_limit":
            await _send(writer, 429, {"error": {"message": "slow down", "type": "rate_limit_error"}}, {"Retry-After": "0.2"})
        elif fault == "filter_400":
            error = {
                "message": "The prompt was filtered (content_filter).",
                "type": "invalid_request_error",
                "code": "content_filter",
            }
            await _send(writer, 400, {"error": error})
        elif fault == "bad_request":
            error = {"message": f"messages: too many in {head}", "type": "invalid_request_error", "code": "invalid_value"}
            await _send(writer, 400, {"error": error}, {"X-Request": " ".join(head.split())})
        elif fault == "malformed_json":
            await _send(writer, 200, b'{"id": "x", "choices": [')
        else:
            text = await self._text(name, body)
            self.stats.answered[digest] += 1
            await _send(writer, 200, _completion(name, text, fault))
        return True

    def _fault(self, digest: str, *, is_judge: bool) -> Fault | None:
        draw = int(digest[:8], 16) / 0xFFFFFFFF
        for fault in FAULTS:
            share = getattr(self._faults, fault)
            if draw < share:
                if (fault in _TRANSIENT and self._seen[digest]) or (fault == "bad_verdict" and not is_judge):
                    return None
                return fault
            draw -= share
        return None


def _completion(name: str, text: str, fault: Fault | None) -> dict[str, Any]:
    finish = {"filter_finish": "content_filter", "truncated": "length"}.get(str(fault), "stop")
    if fault in ("empty", "filter_finish"):
        text = ""
    elif fault == "truncated":
        text = text[: len(text) // 2]
    elif fault == "bad_verdict":
        text = "I would give this a 9 out of 10."
    return {
        "id": "chatcmpl-loopback", "object": "chat.completion", "created": int(time.time()),
        "model": "some-other-model" if fault == "wrong_model" else name,
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": max(1, len(text) // 2), "total_tokens": 100 + max(1, len(text) // 2)},
    }  # fmt: skip


async def _send(writer: asyncio.StreamWriter, status: int, body: dict[str, Any] | bytes, headers: dict[str, str] | None = None) -> None:
    payload = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    head = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(payload)}"]
    head += [f"{k}: {v}" for k, v in (headers or {}).items()]
    writer.write("\r\n".join(head).encode("ascii") + b"\r\n\r\n" + payload)
    await writer.drain()
