"""A cheap OpenAI-compatible server for measurements, in a process of its own: fixed answers, so that the client's cost shows.

Run it through the benchmark scripts; alone: ``python benchmarks/server.py --port 8765 --latency 0.2``. ``GET /stats`` tells what arrived, ``POST /reset`` forgets it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from collections import Counter
from typing import Any

VERDICT = {"reason": "benchmark", "response_class": "answer", "violation": False, "points": 9.0, "evidence": []}
NONCE = re.compile(rb"nonce: ([0-9a-f]{32})")
REPLY = "ご質問にお答えします。" + "この文章は測定用の固定の回答です。" * 20

CONVERSATION = json.dumps({"turns": ["測定のための固定の発言です。" * 8] * 3, "goal_turn": 3}, ensure_ascii=False)


class Stats:
    def __init__(self) -> None:
        self.calls = self.in_flight = self.peak = self.refused = self.prose = self.filtered = 0
        self.first = self.last = 0.0
        self.answered: Counter[int] = Counter()

    def to_dict(self) -> dict[str, Any]:
        return {
            "calls": self.calls, "refused": self.refused, "peak_in_flight": self.peak, "span_s": self.last - self.first, "first_at": self.first,
            "answered": sum(self.answered.values()), "answered_twice": sum(n > 1 for n in self.answered.values()),
            "prose": self.prose, "filtered": self.filtered,
        }  # fmt: skip


class Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            self.server.request(self, head.split(b" ", 2)[1], body)

    def send(self, status: int, payload: bytes, extra: str = "") -> None:
        if not self.transport.is_closing():
            self.transport.write(f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{extra}content-length: {len(payload)}\r\n\r\n".encode() + payload)


class Server:
    """Answers after ``latency_s``; above ``per_s`` calls a second, and above ``burst``, with 429 and Retry-After."""

    def __init__(self, latency_s: float, per_s: float, bad_share: float = 0.0, filter_share: float = 0.0) -> None:
        self.latency_s, self.per_s = latency_s, per_s
        self.bad_share, self.filter_share = bad_share, filter_share
        self.stats = Stats()
        self.tokens, self.refilled = per_s, time.monotonic()

    def request(self, connection: Connection, path: bytes, body: bytes) -> None:
        if path == b"/stats":
            connection.send(200, json.dumps(self.stats.to_dict()).encode())
            return
        if path == b"/reset":
            self.stats = Stats()
            connection.send(200, b"{}")
            return
        stats, now = self.stats, time.time()
        stats.calls += 1
        stats.first = stats.first or now
        stats.in_flight += 1
        stats.peak = max(stats.peak, stats.in_flight)
        asyncio.get_running_loop().call_later(self.latency_s, self.answer, connection, body)

    def admitted(self) -> bool:
        if not self.per_s:
            return True
        now = time.monotonic()
        self.tokens = min(self.per_s, self.tokens + (now - self.refilled) * self.per_s)
        self.refilled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def answer(self, connection: Connection, body: bytes) -> None:
        stats = self.stats
        stats.in_flight -= 1
        stats.last = time.time()
        if not self.admitted():
            stats.refused += 1
            connection.send(429, b'{"error": {"message": "slow down", "type": "rate_limit_error"}}', "retry-after: 1\r\n")
            return
        asked = json.loads(body)
        name = asked["model"].rsplit("/", 1)[-1]
        digest = hash(body)
        stats.answered[digest] += 1
        draw = (digest & 0xFFFF) / 0xFFFF
        judge = name.startswith("judge")
        reply = CONVERSATION if name.startswith("agent") else REPLY
        nonce = NONCE.search(body) if judge else None
        text, finish = (json.dumps(VERDICT | ({"nonce": nonce[1].decode()} if nonce else {})) if judge else reply), "stop"
        if judge and draw < self.bad_share:
            text = "I would give this a nine."
            stats.prose += 1
        elif not judge and draw < self.filter_share:
            text, finish = "", "content_filter"
            stats.filtered += 1
        connection.send(200, json.dumps({
            "id": "chatcmpl-benchmark", "object": "chat.completion", "created": int(time.time()), "model": name,
            "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 700, "completion_tokens": 300, "total_tokens": 1000},
        }).encode())  # fmt: skip


async def serve(port: int, latency_s: float, per_s: float, bad: float, filtered: float) -> None:
    server = Server(latency_s, per_s, bad, filtered)
    listening = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", port, backlog=1024)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds an answer takes")
    parser.add_argument("--per-second", type=float, default=0.0, help="calls admitted a second; above it 429 (0: no limit)")
    parser.add_argument("--bad-verdicts", type=float, default=0.0, help="share of judge answers in prose")
    parser.add_argument("--filtered", type=float, default=0.0, help="share of target answers stopped by a content filter")
    a = parser.parse_args()
    asyncio.run(serve(a.port, a.latency, a.per_second, a.bad_verdicts, a.filtered))
