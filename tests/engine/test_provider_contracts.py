"""What the adapter makes of the answers that providers document, through LiteLLM's own code for each provider.

The bodies are written from the providers' documentation (OpenAI, Azure OpenAI, Anthropic, Gemini, Mistral, DeepSeek, vLLM, OpenRouter); they
are not recordings, and no provider was called. A server on the loopback address gives one fixed answer.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jmedethic_plugin.core.transcript import Message, Reply
from jmedethic_plugin.engine.ports import Price, Sampling

pytestmark = pytest.mark.filterwarnings(  # as in a run: what LiteLLM and its clients remark is no failure of a call
    "ignore:::litellm", "ignore:::pydantic", "ignore:::openai", "ignore:::aiohttp", "ignore::ResourceWarning"
)

ROUTES = {
    "openai": ("openai/m-1", "/v1"),  # ours, without the openai SDK
    "openai-sdk": ("openai/m-1", None),  # what a run against OpenAI itself takes; its address comes from the environment
    "hosted_vllm": ("hosted_vllm/m-1", "/v1"),
    "deepseek": ("deepseek/m-1", "/v1"),
    "mistral": ("mistral/m-1", "/v1"),
    "azure": ("azure/m-1", ""),
    "anthropic": ("anthropic/m-1", ""),
    "gemini": ("gemini/m-1", ""),
}
OPENAI_LIKE = [r for r in ROUTES if r not in ("anthropic", "gemini")]


@pytest.fixture(scope="module")
def loop():
    """One loop for all calls, as in a run; LiteLLM keeps its clients by loop."""
    with asyncio.Runner() as runner:
        yield runner
        from litellm.llms.custom_httpx.async_client_cleanup import close_litellm_async_clients

        runner.run(close_litellm_async_clients())


@pytest.fixture
def ask(loop, monkeypatch):
    """``ask(route, status, body)``: the Reply to an answer of this status with this body (JSON, or bytes as they are)."""
    for name in ("OPENAI", "DEEPSEEK", "MISTRAL", "AZURE", "ANTHROPIC", "GEMINI", "OPENROUTER"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-secret")
    monkeypatch.setenv("AZURE_API_VERSION", "2024-10-21")
    monkeypatch.setenv("AZURE_API_BASE", "http://127.0.0.1:9")

    def answer(route, status, body, headers=None, **options):
        with one_answer(status, body, headers or {}) as address:
            return call(route, address, **options)

    def call(route, address, model=None, price=None):
        from jmedethic_plugin.engine.litellm_model import LiteLlmModel

        name, path = ROUTES.get(route, (model, ""))
        if path is None:
            monkeypatch.setenv("OPENAI_BASE_URL", f"{address}/v1")
        base = None if path is None else address + path
        target = LiteLlmModel(model or name, role="target", api_base=base, timeout_s=5, price=price)
        reply = loop.run(target.complete((Message(role="user", content="q"),), Sampling(temperature=0.0, max_tokens=64)))
        assert "sk-secret" not in reply.model_dump_json()
        return reply.model_copy(update={"latency_s": 0.0})

    answer.call = call
    return answer


@contextmanager
def one_answer(status, body, headers):
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(payload))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


# Answers in the three shapes there are. Without arguments: the text "hi".


def openai_answer(message=(), finish="stop", **fields):
    message = {"role": "assistant", "content": "hi"} | dict(message)
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": "m-1", "system_fingerprint": "fp_44709d6fcb",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}], "usage": usage,
    } | fields  # fmt: skip


def anthropic_answer(*content, stop="end_turn", **fields):
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m-1", "content": list(content), "stop_reason": stop, "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 2},
    } | fields  # fmt: skip


def gemini_answer(*parts, finish="STOP", **fields):
    content = {"content": {"role": "model", "parts": list(parts)}} if parts else {}
    return {
        "candidates": [content | {"finishReason": finish, "index": 0}], "modelVersion": "m-1", "responseId": "r-1",
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11},
    } | fields  # fmt: skip


def text_answer(route, text="hi", **fields):
    if route == "anthropic":
        return anthropic_answer({"type": "text", "text": text}, **fields)
    if route == "gemini":
        return gemini_answer({"text": text}, **{"modelVersion" if k == "model" else k: v for k, v in fields.items()})
    return openai_answer({"content": text}, **fields)


def expected(outcome="ok", route="openai", **fields):
    """The Reply to an answer above; what is not named is as it comes back for "hi"."""
    fingerprint = None if route in ("anthropic", "gemini") else "fp_44709d6fcb"
    return Reply(outcome=outcome, **{
        "finish_reason": "stop", "served_model": "m-1", "fingerprint": fingerprint, "prompt_tokens": 9, "completion_tokens": 2,
    } | fields)  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
def test_text_comes_back_with_what_is_told_about_it(ask, route):
    assert ask(route, 200, text_answer(route)) == expected(route=route, text="hi")


THOUGHT = "The user asks."
TOOL_CALL = {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}


@pytest.mark.parametrize("route", OPENAI_LIKE)
@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        pytest.param(openai_answer(finish="length"), expected("truncated", text="hi", finish_reason="length"), id="length"),
        pytest.param(
            openai_answer({"content": None}, "content_filter"), expected("blocked_output", finish_reason="content_filter"), id="filtered"
        ),
        pytest.param(
            openai_answer(finish="content_filter"), expected("blocked_output", text="hi", finish_reason="content_filter"), id="filtered-midway"
        ),
        pytest.param(openai_answer({"content": None, "refusal": "I can't."}), expected(text="I can't."), id="refusal"),
        pytest.param(openai_answer({"content": ""}), expected("empty"), id="empty"),
        pytest.param(openai_answer(TOOL_CALL, "tool_calls"), expected("unexpected_tool_call", finish_reason="tool_calls"), id="tool-call"),
        pytest.param(
            openai_answer({"content": None, "function_call": {"name": "f", "arguments": "{}"}}, "function_call"),
            expected("unexpected_tool_call", finish_reason="function_call"),
            id="function-call",
        ),
        pytest.param(openai_answer({"reasoning_content": THOUGHT}), expected(text="hi", reasoning=THOUGHT), id="reasoning-beside-text"),
        pytest.param(
            openai_answer({"content": "", "reasoning_content": THOUGHT}), expected("reasoning_only", reasoning=THOUGHT), id="reasoning-only"
        ),
        pytest.param(  # vLLM's newer name of the field
            openai_answer({"content": None, "reasoning": THOUGHT}, "length"),
            expected("reasoning_only", reasoning=THOUGHT, finish_reason="length"),
            id="reasoning-cut-off",
        ),
        pytest.param(
            openai_answer({"content": f"<think>{THOUGHT}</think>\n\nhi"}), expected(text="\n\nhi", reasoning=THOUGHT), id="thought-in-text"
        ),
        pytest.param(
            openai_answer({"content": f"<think>{THOUGHT}"}, "length"),
            expected("reasoning_only", reasoning=f"<think>{THOUGHT}", finish_reason="length"),
            id="unclosed-thought",
        ),
        pytest.param(openai_answer({"content": "hi <think>"}), expected(text="hi <think>"), id="text-before-unclosed-thought"),
        pytest.param(openai_answer({"content": "bad</think>hi"}), expected(text="bad</think>hi"), id="text-before-late-closing-tag"),
        pytest.param(
            openai_answer({"content": "<think></think>bad</think>hi"}), expected(text="bad</think>hi"), id="text-between-closing-tags"
        ),
        pytest.param(openai_answer({"content": "a\ud800b"}), expected(text="a\\ud800b"), id="lone-surrogate"),
        pytest.param(openai_answer(usage=None), expected(text="hi", prompt_tokens=None, completion_tokens=None), id="no-usage"),
        pytest.param(openai_answer(model=None, system_fingerprint=None), expected(text="hi", served_model=None, fingerprint=None), id="no-model"),
        pytest.param(
            openai_answer(choices=[]), expected("empty", finish_reason=None, error="the provider returned no choices"), id="no-choices"
        ),
        pytest.param(  # Mistral
            openai_answer(finish="model_length"), expected("truncated", text="hi", finish_reason="length"), id="context-used-up"
        ),
        *(
            pytest.param(
                openai_answer(finish=finish),
                expected("transport_error", finish_reason="error", error="the provider broke off its answer"),
                id=finish,
            )
            for finish in ("error", "insufficient_system_resource")  # Mistral and OpenRouter; DeepSeek
        ),
    ],
)
def test_openai_protocol(ask, route, answer, reply):
    assert ask(route, 200, answer) == reply


def test_thinking_of_mistral_is_kept_apart(ask):
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}, {"type": "text", "text": "hi"}]

    assert ask("mistral", 200, openai_answer({"content": content})) == expected(text="hi", reasoning=THOUGHT)


TEXT, THINKING = {"type": "text", "text": "hi"}, {"type": "thinking", "thinking": THOUGHT, "signature": "c2ln"}


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        pytest.param(anthropic_answer(stop="refusal"), {"outcome": "blocked_output", "finish_reason": "content_filter"}, id="refusal"),
        pytest.param(
            anthropic_answer(TEXT, stop="refusal"),
            {"outcome": "blocked_output", "finish_reason": "content_filter", "text": "hi"},
            id="refusal-midway",
        ),
        pytest.param(
            anthropic_answer(TEXT, stop="max_tokens"), {"outcome": "truncated", "finish_reason": "length", "text": "hi"}, id="max_tokens"
        ),
        pytest.param(anthropic_answer(THINKING, TEXT), {"text": "hi", "reasoning": THOUGHT}, id="thinking"),
        pytest.param(
            anthropic_answer(THINKING, stop="max_tokens"),
            {"outcome": "reasoning_only", "finish_reason": "length", "reasoning": THOUGHT},
            id="thinking-cut-off",
        ),
        pytest.param(anthropic_answer(), {"outcome": "empty"}, id="no-content"),
        pytest.param(
            anthropic_answer({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}, stop="tool_use"),
            {"outcome": "unexpected_tool_call", "finish_reason": "tool_calls"},
            id="tool_use",
        ),
    ],
)
def test_anthropic_protocol(ask, answer, reply):
    assert ask("anthropic", 200, answer) == expected(route="anthropic", **reply)


BLOCKED = {"outcome": "blocked_output", "finish_reason": "content_filter"}


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        *(
            # LiteLLM gives no other sign of a blocked prompt than this finish reason, so it counts as blocked output.
            pytest.param(
                {"promptFeedback": {"blockReason": reason}, "modelVersion": "m-1", "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}},
                BLOCKED | {"completion_tokens": 0},
                id=f"prompt-{reason}",
            )
            for reason in ("SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "OTHER")
        ),
        *(pytest.param(gemini_answer(finish=reason), BLOCKED, id=reason) for reason in ("SAFETY", "PROHIBITED_CONTENT", "RECITATION", "SPII")),
        pytest.param(
            gemini_answer({"text": "hi"}, finish="MAX_TOKENS"), {"outcome": "truncated", "finish_reason": "length", "text": "hi"}, id="MAX_TOKENS"
        ),
        pytest.param(gemini_answer(finish="MAX_TOKENS"), {"outcome": "empty", "finish_reason": "length"}, id="MAX_TOKENS-without-text"),
        pytest.param(gemini_answer({"text": THOUGHT, "thought": True}, {"text": "hi"}), {"text": "hi", "reasoning": THOUGHT}, id="thought"),
        pytest.param(
            gemini_answer({"text": THOUGHT, "thought": True}, finish="MAX_TOKENS"),
            {"outcome": "reasoning_only", "finish_reason": "length", "reasoning": THOUGHT},
            id="thought-cut-off",
        ),
        pytest.param(
            gemini_answer({"functionCall": {"name": "f", "args": {}}}),
            {"outcome": "unexpected_tool_call", "finish_reason": "tool_calls"},
            id="functionCall",
        ),
    ],
)
def test_gemini_protocol(ask, answer, reply):
    assert ask("gemini", 200, answer) == expected(route="gemini", **reply)


@pytest.mark.parametrize("route", ROUTES)
def test_another_model_than_asked_is_told(ask, route):
    reply = ask(route, 200, text_answer(route, model="m-1-mini"))

    assert (reply.outcome, reply.served_model) == ("served_model_mismatch", "m-1-mini")
    assert reply.error == f"asked for {ROUTES[route][0]}, served m-1-mini"


@pytest.mark.parametrize(
    ("asked", "served", "outcome"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", "ok"),
        ("gpt-4", "gpt-4-0613", "ok"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "ok"),
        ("claude-3-7-sonnet-latest", "claude-3-7-sonnet-20250219", "ok"),
        ("claude-sonnet-4@20250514", "claude-sonnet-4-20250514", "ok"),
        ("gemini-2.0-flash", "models/gemini-2.0-flash-001", "ok"),
        ("command-r", "command-r-08-2024", "ok"),
        ("mistral-large-latest", "mistral-large-2411", "ok"),
        ("grok-4-0709", "Grok-4", "ok"),
        ("llama3", "llama3:latest", "ok"),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B", "ok"),
        ("gpt-4o", "gpt-4o-mini", "served_model_mismatch"),
        ("gpt-4", "gpt-4.1", "served_model_mismatch"),
        ("gpt-4o-mini", "gpt-4o", "served_model_mismatch"),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-05-13", "served_model_mismatch"),
        ("claude-opus-4", "claude-opus-4-5", "served_model_mismatch"),
        ("gemini-2.0-flash", "gemini-2.0-flash-lite-001", "served_model_mismatch"),
        ("qwen2.5:7b", "qwen2.5:14b", "served_model_mismatch"),
    ],
)
def test_dated_name_of_the_asked_model_is_the_asked_model(ask, asked, served, outcome):
    assert ask("openai", 200, openai_answer(model=served), model=f"openai/{asked}").outcome == outcome


@pytest.mark.parametrize(("usage", "cost"), [(openai_answer()["usage"], 13e-6), (None, None)])
def test_cost_is_unknown_where_nothing_was_counted(ask, usage, cost):
    assert ask("openai", 200, openai_answer(usage=usage), price=Price(1.0, 2.0)).cost_usd == cost


@pytest.mark.parametrize("fields", [{"model": 7}, {"choices": None}, {"choices": [{}]}, {"system_fingerprint": {"a": 1}}, {"usage": "none"}])
def test_answer_of_another_shape_is_a_failed_try_and_no_crash(ask, fields):
    assert ask("openai", 200, openai_answer(**fields)).outcome == "transport_error"


# Errors.


def error_body(route, status, message="told by the provider", kind="invalid_request_error", code=None):
    if route == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    if route == "gemini":
        return {"error": {"code": status, "message": message, "status": kind.upper()}}
    if route == "mistral":
        return {"object": "error", "message": message, "type": kind, "param": None, "code": code}
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


OUTCOME_OF_STATUS = {
    400: "rejected", 401: "auth_error", 402: "auth_error", 403: "auth_error", 404: "rejected", 408: "timeout", 409: "transport_error", 413: "rejected",
    422: "rejected", 429: "rate_limited", 500: "transport_error", 502: "transport_error", 503: "overloaded", 504: "timeout", 529: "overloaded",
}  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("status", OUTCOME_OF_STATUS)
@pytest.mark.parametrize("page", [False, True], ids=["json", "html"])
def test_status_decides(ask, route, status, page):
    body = b"<html><head><title>Error</title></head><body>nginx</body></html>" if page else error_body(route, status, kind="api_error")

    reply = ask(route, status, body, {"Retry-After": "7"} | ({"Content-Type": "text/html"} if page else {}))

    assert (reply.outcome, reply.text, reply.served_model, reply.prompt_tokens) == (OUTCOME_OF_STATUS[status], "", None, None)
    assert f"HTTP {status}" in reply.error
    if status in (429, 503, 529):
        assert reply.retry_after_s == 7.0


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b'{"id": "x", "choices": [', b""], ids=["html", "cut-off", "nothing"])
def test_answer_that_is_no_json_is_a_failed_try(ask, route, body):
    assert ask(route, 200, body).outcome == "transport_error"


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_at_the_address_is_a_failed_try(ask, route):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert ask.call(route, f"http://127.0.0.1:{unused.getsockname()[1]}").outcome == "transport_error"


FLAGGED = "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again with a different prompt."
TOO_LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens."
UNKNOWN = "The model `m-9` does not exist or you do not have access to it."
QUOTA = "You exceeded your current quota, please check your plan and billing details."
RATE = "Rate limit reached for m-1 on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s."
AZURE_FILTER = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt.",
    "type": None, "param": "prompt", "code": "content_filter", "status": 400,
    "innererror": {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {"self_harm": {"filtered": True, "severity": "high"}, "violence": {"filtered": False, "severity": "safe"}},
    },
}  # fmt: skip
OPENROUTER_FLAGGED = {
    "code": 403, "message": "m-1 requires moderation. Your input was flagged for \"self-harm\". No credits were charged.",
    "metadata": {"reasons": ["self-harm"], "flagged_input": "q", "provider_name": "P", "model_slug": "m-1"},
}  # fmt: skip


def openai_error(message, kind="invalid_request_error", code=None):
    return error_body("openai", 0, message, kind, code)


@pytest.mark.parametrize(
    ("routes", "status", "body", "outcome"),
    [
        # A filter
        (OPENAI_LIKE, 400, openai_error("Your request was rejected by our safety system.", code="content_policy_violation"), "blocked_input"),
        (OPENAI_LIKE, 400, openai_error(FLAGGED, code="invalid_prompt"), "blocked_input"),
        (OPENAI_LIKE, 400, {"error": AZURE_FILTER}, "blocked_input"),
        (["deepseek"], 400, openai_error("Content Exists Risk", code="invalid_request_error"), "blocked_input"),
        (["openrouter"], 403, {"error": OPENROUTER_FLAGGED}, "blocked_input"),
        (["anthropic"], 400, error_body("anthropic", 400, "Output blocked by content filtering policy"), "blocked_input"),
        # A key, or an account without money
        (OPENAI_LIKE, 401, openai_error("Incorrect API key provided: sk-ab***yz.", code="invalid_api_key"), "auth_error"),
        (["mistral"], 401, {"message": "Unauthorized", "request_id": "r-1"}, "auth_error"),
        (["azure"], 401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key."}}, "auth_error"),
        (["gemini"], 400, error_body("gemini", 400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT"), "auth_error"),
        (OPENAI_LIKE, 429, openai_error(QUOTA, "insufficient_quota", "insufficient_quota"), "auth_error"),
        (["deepseek"], 402, openai_error("Insufficient Balance", "unknown_error", "invalid_request_error"), "auth_error"),
        (["anthropic"], 400, error_body("anthropic", 400, "Your credit balance is too low to access the Anthropic API."), "auth_error"),
        # A request that stays wrong
        (OPENAI_LIKE, 404, openai_error(UNKNOWN, code="model_not_found"), "rejected"),
        (["azure"], 404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}, "rejected"),
        (["anthropic"], 404, error_body("anthropic", 404, "model: m-9", "not_found_error"), "rejected"),
        (["gemini"], 404, error_body("gemini", 404, "models/m-9 is not found for API version v1beta", "NOT_FOUND"), "rejected"),
        (OPENAI_LIKE, 400, openai_error(TOO_LONG, code="context_length_exceeded"), "rejected"),
        (["anthropic"], 400, error_body("anthropic", 400, "prompt is too long: 210000 tokens > 200000 maximum"), "rejected"),
        (["anthropic"], 413, error_body("anthropic", 413, "Request exceeds the maximum size", "request_too_large"), "rejected"),
        (["gemini"], 400, error_body("gemini", 400, "The input token count (1200000) exceeds the maximum number of tokens allowed."), "rejected"),
        (["hosted_vllm"], 422, {"detail": [{"type": "extra_forbidden", "loc": ["body"], "msg": "Extra inputs are not permitted"}]}, "rejected"),
        (ROUTES, 400, openai_error("messages[0]: 'what is the rate limit of morphine, 429 mg?' cannot be parsed"), "rejected"),
        # A rush of calls, a busy provider, a broken one
        (OPENAI_LIKE, 429, openai_error(RATE, "requests", "rate_limit_exceeded"), "rate_limited"),
        (["azure"], 429, {"error": {"code": "429", "message": "Requests have exceeded call rate limit of your pricing tier."}}, "rate_limited"),
        (["anthropic"], 429, error_body("anthropic", 429, "This request would exceed your rate limit", "rate_limit_error"), "rate_limited"),
        (["gemini"], 429, error_body("gemini", 429, QUOTA, "RESOURCE_EXHAUSTED"), "rate_limited"),  # what it says of a minute's limit, too
        (["anthropic"], 529, error_body("anthropic", 529, "Overloaded", "overloaded_error"), "overloaded"),
        (["gemini"], 503, error_body("gemini", 503, "The model is overloaded. Please try again later.", "UNAVAILABLE"), "overloaded"),
        (OPENAI_LIKE, 503, openai_error("The engine is currently overloaded, please try again later", "server_error"), "overloaded"),
        (OPENAI_LIKE, 500, openai_error("The server had an error while processing your request.", "server_error"), "transport_error"),
        (["gemini"], 500, error_body("gemini", 500, "An internal error has occurred.", "INTERNAL"), "transport_error"),
        (OPENAI_LIKE, 200, {"error": {"code": 502, "message": "Provider returned error"}}, "transport_error"),  # OpenRouter
    ],
)
def test_documented_error(ask, routes, status, body, outcome):
    found = {route: ask(route, status, body, model="openrouter/m-1" if route == "openrouter" else None) for route in routes}

    assert {route: reply.outcome for route, reply in found.items()} == dict.fromkeys(routes, outcome)
