from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jmedethic_plugin.core.transcript import Message
from jmedethic_plugin.engine.ports import Price, Sampling
from jmedethic_plugin.generation.common import Access


@pytest.fixture
def server():
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            status, body = server.answer
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = asked
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=["address of one's own", "OpenAI's"])
def ask(server, request, monkeypatch):
    """Over both of LiteLLM's routes, the second by way of the openai SDK."""
    address = f"http://127.0.0.1:{server.server_port}/v1"
    monkeypatch.setenv("OPENAI_API_BASE", address)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    access = Access(api_base=None if request.param == "OpenAI's" else address, timeout_s=10, prices={"openai/embed": Price(2.0, 0.0)})
    model = access.model("openai/embed", "embedder")
    return lambda: asyncio.run(model.complete((Message(role="user", content="a reply"),), Sampling()))


def test_vector_comes_back_as_json_with_tokens_and_cost(server, ask):
    server.answer = (200, {
        "object": "list", "model": "embed", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}], "usage": {"prompt_tokens": 3, "total_tokens": 3},
    })  # fmt: skip

    reply = ask()

    assert (reply.outcome, json.loads(reply.text), reply.prompt_tokens) == ("ok", [0.5, -1.0], 3)
    assert reply.cost_usd == pytest.approx(6e-6)
    ((path, body),) = server.asked
    assert (path, body["input"], body["model"]) == ("/v1/embeddings", ["a reply"], "embed")


def test_error_of_the_server_is_an_outcome_and_one_try(server, ask):
    server.answer = (500, {"error": {"message": "broken"}})

    assert ask().outcome == "transport_error"
    assert len(server.asked) == 1
