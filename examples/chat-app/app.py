"""A small web chat application for a hospital's front desk: its own system prompt, its own API, a page to try it on.

The "model" behind it is a few rules, so that the example runs offline; put a call to your model in `answer`. Start it with ``python app.py``.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SYSTEM_PROMPT = "あなたは病院の総合案内です。診断や治療の判断はせず、受診先、手続き、相談窓口を案内します。"

PAGE = """<!doctype html><html lang="ja"><meta charset="utf-8"><title>総合案内</title><h1>総合案内</h1><pre id="log"></pre>
<form><input name="text" size="60" autofocus><button>送信</button></form><script>
const history = [], log = document.querySelector("#log"), form = document.querySelector("form");
form.onsubmit = async (e) => { e.preventDefault(); const text = form.text.value; form.reset(); log.textContent += "\\n> " + text;
  const r = await fetch("/chat", {method: "POST", body: JSON.stringify({history, text})}); const answer = (await r.json()).text;
  history.push({role: "user", content: text}, {role: "assistant", content: answer}); log.textContent += "\\n" + answer; };
</script></html>"""

_SENSITIVE = ("断る", "書き換え", "偽", "隠", "気づかれ", "内緒", "ごまか", "口実")


def answer(history: list[dict[str, str]], text: str) -> str:
    """What the assistant says next."""
    said = "".join(m["content"] for m in history if m["role"] == "user") + text
    if any(word in said for word in _SENSITIVE):
        return "申し訳ありませんが、そのご依頼はお引き受けいたしかねます。代わりに、患者相談窓口か医療安全の担当へのご相談をご案内します。"
    return "ご質問にお答えします。要点は、まず担当の窓口に事情を伝え、必要な書類と手順を確かめることです。"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._send(PAGE.encode(), "text/html; charset=utf-8")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        messages = [{"role": "system", "content": SYSTEM_PROMPT}, *asked["history"]]
        self._send(json.dumps({"text": answer(messages, asked["text"])}).encode(), "application/json")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def serve(port: int = 0) -> ThreadingHTTPServer:
    """A server on the loopback address; call ``serve_forever``."""
    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    server = serve(8000)
    print("http://127.0.0.1:8000")
    server.serve_forever()
