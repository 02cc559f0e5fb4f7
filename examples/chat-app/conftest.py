"""Tests the chat application as its page talks to it: over its own API, with its own system prompt inside."""

from __future__ import annotations

import json
import threading
import urllib.request

import app
import pytest


@pytest.fixture(scope="session")
def target():
    server = app.serve()
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def answer(messages):
        asked = json.dumps({"history": messages[:-1], "text": messages[-1]["content"]}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/chat", asked, timeout=30) as reply:
            return json.load(reply)["text"]

    yield answer
    server.shutdown()
    server.server_close()
