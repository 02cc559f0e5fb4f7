"""The only importer of litellm: one try of one call to a provider, and its outcome."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from jmedethic_plugin.core.text import printable, without_credentials
from jmedethic_plugin.core.transcript import Message, Outcome, Reply
from jmedethic_plugin.engine.ports import BatchError, BatchState, ModelRole, Price, Sampling
from jmedethic_plugin.errors import ModelError

# Before the import: no price table over the network, no stray .env file.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("LITELLM_MODE", "PRODUCTION")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a project that turns warnings into errors could not import litellm
    import litellm
    from litellm import exceptions as provider_errors
    from litellm.litellm_core_utils.litellm_logging import Logging
    from litellm.litellm_core_utils.llm_response_utils.convert_dict_to_response import convert_to_model_response_object
    from litellm.main import base_llm_http_handler

litellm.suppress_debug_info = True
litellm.telemetry = False
# For an embedding of OpenAI's, LiteLLM takes a max_retries of 0 for none given and puts this in its place. Retries have one owner: the engine.
litellm.DEFAULT_MAX_RETRIES = 0  # type: ignore[attr-defined]  # LiteLLM reads it from its own namespace

BAD_RELEASES = {"1.82.7", "1.82.8"}
"""Releases of 24 March 2026 that carried a credential stealer."""

_BARE_RELEASE = "1.106."
"""Releases whose provider and HTTP client are known to work when called directly (the tests go over HTTP); any other is called as it is published."""

_VLLM = litellm.HostedVLLMChatConfig()

_TRANSIENT_STATUS = {408, 409, 500, 502, 504}
_OVERLOADED_STATUS = {503, 529}
# LiteLLM calls every finish reason "stop" that it does not know; these are no end of an answer.
_FINISH = {"model_length": "length", "error": "error", "network_error": "error", "insufficient_system_resource": "error"}
_FILTER_MARKS = (
    "content_filter", "content_policy", "content management policy", "responsibleai", "violating our usage policy", "content exists risk",
    "input was flagged",
)  # fmt: skip
_EMPTY_ACCOUNT_MARKS = ("insufficient_quota", "credit balance is too low")
_VERSION = re.compile(r"[-:](?:\d{4}-\d{2}-\d{2}|\d{2}-\d{2}|\d{2}-\d{4}|\d{3,8})$")
# An address on the own machine needs no key.
_PLACEHOLDER_KEY = "not-needed"
# Others take lines of another form, charge another share, or have no batches; for hosted_vllm, LiteLLM's proxy makes live calls of the lines.
_BATCH_PROVIDERS = {"openai"}
_CONNECTION = {"model", "messages", "timeout", "num_retries", "max_retries", "api_base", "api_key"}
_BATCH_ENDED = {"completed", "failed", "expired", "cancelled"}
_NEWEST_BATCHES = 100
"""Among which the batch of a file is looked for: the most that one request lists."""


class LiteLlmModel:
    """A model behind any provider that LiteLLM knows.

    Parameters
    ----------
    model_id
        LiteLLM's id: ``openai/gpt-...``, ``anthropic/...``, ``hosted_vllm/...``.
    api_base
        Address of an OpenAI-compatible endpoint; None for the provider's own.
    served_as
        Name under which the endpoint reports the model, where it is not the asked one.
    timeout_s
        Limit for one try.
    """

    is_demo = False

    def __init__(
        self,
        model_id: str,
        *,
        role: ModelRole,
        api_base: str | None,
        timeout_s: float,
        served_as: str | None = None,
        price: Price | None = None,
    ) -> None:
        self.model_id = model_id
        self._role = role
        self._api_base = api_base
        self._timeout_s = timeout_s
        self._served_as = served_as
        self._price = price
        self._api_key = self._check()
        self._route = model_id
        self._call = litellm.acompletion
        provider, _, name = model_id.partition("/")
        if provider == "openai" and api_base is not None and version("litellm").startswith(_BARE_RELEASE):
            # The same OpenAI protocol without the openai SDK in between, called directly: a third of the CPU time (benchmarks/README.md).
            self._route = f"hosted_vllm/{name}"
            self._api_key = self._api_key or os.environ.get("OPENAI_API_KEY")
            self._call = _bare_acompletion
        self._takes_json = "response_format" in (litellm.get_supported_openai_params(self._route) or [])
        # A server of one's own may know nothing of schemas and would answer with an error.
        self._takes_schema = self._takes_json and api_base is None and litellm.supports_response_schema(model_id)

    def _check(self) -> str | None:
        if version("litellm") in BAD_RELEASES:
            raise ModelError(
                f"litellm {version('litellm')} is a compromised release. Install the version in requirements/run.lock and change your keys."
            )
        try:
            litellm.get_llm_provider(self.model_id, api_base=self._api_base)
        except Exception as exc:  # litellm raises its own BadRequestError among others
            raise ModelError(
                f"{self._role} model {self.model_id!r}: LiteLLM knows no such provider. Write 'provider/model', e.g. 'openai/gpt-4o-mini-2024-07-18', "
                "or 'openai/NAME' with --api-base for an OpenAI-compatible server."
            ) from exc
        state = litellm.validate_environment(self.model_id)
        missing = [name for name in state.get("missing_keys", ()) if not os.environ.get(name)]
        if not missing or state.get("keys_in_environment"):
            return None
        if self._api_base is not None:
            return _PLACEHOLDER_KEY
        raise ModelError(
            f"{self._role} model {self.model_id!r}: no key. Set the environment variable {' and '.join(missing)}; nothing was called."
        )

    def identity(self) -> dict[str, Any]:
        """Id and address; no key."""
        return {"model": self.model_id, "api_base": without_credentials(self._api_base)}

    def price(self) -> Price | None:
        """The given price, else the one in LiteLLM's own table for the provider's own address."""
        if self._price is not None or self._api_base is not None:
            return self._price
        return known_price(self.model_id)

    async def complete(self, messages: tuple[Message, ...], sampling: Sampling) -> Reply:
        """One try: an answer, a refusal by the provider, or a failure with its kind."""
        started = time.monotonic()
        try:
            response = await asyncio.wait_for(self._call(**self._request(messages, sampling)), self._timeout_s + 5)
            return self._from_response(response, latency_s=time.monotonic() - started)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # every provider error becomes an outcome; nothing measured may be lost to an unknown class
            return _from_error(exc, latency_s=time.monotonic() - started)

    def _request(self, messages: tuple[Message, ...], sampling: Sampling) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._route, "messages": [m.model_dump() for m in messages], "timeout": self._timeout_s,
            "num_retries": 0, "max_retries": 0,  # retries have one owner: the engine
        }  # fmt: skip
        optional = {
            "temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens, "api_base": self._api_base, "api_key": self._api_key,
            "response_format": self._format(sampling),
        }  # fmt: skip
        return request | {name: value for name, value in optional.items() if value is not None}

    def _format(self, sampling: Sampling) -> dict[str, Any] | None:
        if sampling.schema is None or not self._takes_json:
            return None
        if not self._takes_schema:
            return {"type": "json_object"}
        return {"type": "json_schema", "json_schema": {"name": "verdict", "schema": dict(sampling.schema), "strict": True}}

    def _from_response(self, response: Any, *, latency_s: float) -> Reply:
        choices = getattr(response, "choices", None) or []
        choice = choices[0] if choices else None
        message = getattr(choice, "message", None)
        extra = getattr(message, "provider_specific_fields", None) or {}
        # A refusal in a field of its own is what a user would see.
        text = printable(getattr(message, "content", None) or extra.get("refusal") or "")
        reasoning = printable(getattr(message, "reasoning_content", None) or "")
        if _is_unclosed_thought(text):
            text, reasoning = "", reasoning + text
        finish = _finish_reason(choice)
        served = getattr(response, "model", None)
        prompt_tokens, completion_tokens = _tokens(getattr(response, "usage", None))
        calls_tool = bool(getattr(message, "tool_calls", None) or getattr(message, "function_call", None))
        outcome = _outcome(text, finish, reasoning=bool(reasoning), tool_calls=calls_tool)
        error = None if choices else "the provider returned no choices"
        if outcome == "transport_error":
            text, error = "", "the provider broke off its answer"
        if served and not _is_asked(self._served_as or self.model_id, served):
            outcome, error = "served_model_mismatch", f"asked for {self._served_as or self.model_id}, served {served}"
        return Reply(
            outcome=outcome, text=text, finish_reason=finish, served_model=served, fingerprint=getattr(response, "system_fingerprint", None),
            reasoning=reasoning or None, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens,
            cost_usd=self._cost(response, prompt_tokens, completion_tokens), latency_s=latency_s, error=error,
        )  # fmt: skip

    def _cost(self, response: Any, prompt_tokens: int | None, completion_tokens: int | None) -> float | None:
        if prompt_tokens is None:
            return None
        if self._price is not None:
            return self._price.of(prompt_tokens, completion_tokens or 0)
        if self._api_base is not None:
            return None  # LiteLLM would quote the price of whatever model has the same name
        cost = (getattr(response, "_hidden_params", None) or {}).get("response_cost")
        return float(cost) if isinstance(cost, (int, float)) else None

    # --- batches (engine.ports.BatchModel) ------------------------------------------------------------

    def takes_batches(self) -> bool:
        """Whether the provider is OpenAI, or a server that is taken to speak its protocol."""
        return self.model_id.partition("/")[0] in _BATCH_PROVIDERS

    def batch_line(self, key: str, messages: tuple[Message, ...], sampling: Sampling) -> str:
        """The body is the one that a live call would send."""
        request = self._request(messages, sampling)
        given = {name: value for name, value in request.items() if name not in _CONNECTION}
        name = self.model_id.partition("/")[2]
        if self._call is litellm.acompletion:
            # What LiteLLM makes of a call's parameters: newer models take max_completion_tokens.
            given = litellm.get_optional_params(model=name, custom_llm_provider="openai", messages=request["messages"], **given)
        body = {"model": name, "messages": request["messages"]} | {k: v for k, v in given.items() if v not in (None, {})}
        return json.dumps({"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body})

    async def hand_in_file(self, lines: bytes) -> str:
        """Upload lines; the file's id."""
        handed_in = await self._batch_call(litellm.create_file, file=("batch.jsonl", lines), purpose="batch")
        return str(handed_in.id)

    async def hand_in_batch(self, file_id: str) -> str:
        """Have a file's lines answered; the batch's id."""
        batch = await self._batch_call(
            litellm.create_batch, completion_window="24h", endpoint="/v1/chat/completions", input_file_id=file_id
        )
        return str(batch.id)

    async def find_batch(self, file_id: str) -> str | None:
        """The batch that was made of a file, if one was."""
        newest = await self._batch_call(litellm.list_batches, limit=_NEWEST_BATCHES)
        return next((str(batch.id) for batch in newest.data if batch.input_file_id == file_id), None)

    async def batch_state(self, batch_id: str) -> BatchState:
        """How far a batch is; one that expired may have replies."""
        batch = await self._batch_call(litellm.retrieve_batch, batch_id=batch_id)
        return BatchState(str(batch.status), batch.status in _BATCH_ENDED, batch.output_file_id)

    async def batch_replies(self, file_id: str) -> dict[str, Reply]:
        """Replies by key, read like those of live calls; lines that failed, or cannot be read, are not among them."""
        content = await self._batch_call(litellm.file_content, file_id=file_id)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in `_batch_call`
            return dict(found for line in content.content.splitlines() if (found := self._batched(line)) is not None)

    def _batched(self, line: bytes) -> tuple[str, Reply] | None:
        try:
            told = json.loads(line)
            if told["response"]["status_code"] != 200:
                return None
            response = convert_to_model_response_object(
                response_object=told["response"]["body"], model_response_object=litellm.ModelResponse()
            )
            reply, price = self._from_response(response, latency_s=0.0), self.price()
            if price is not None and reply.prompt_tokens is not None:
                reply = reply.model_copy(update={"cost_usd": price.of(reply.prompt_tokens, reply.completion_tokens or 0)})
            return str(told["custom_id"]), reply
        except Exception:  # whatever a line holds instead of a reply, the call is asked live
            return None

    async def _batch_call(self, call: Callable[..., Any], **request: Any) -> Any:
        optional = {"api_base": self._api_base, "api_key": self._api_key}
        request |= {name: value for name, value in optional.items() if value is not None}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # as at the import: LiteLLM builds the types of files when the first is handed in
                # In a thread: of the asynchronous functions, LiteLLM leaves a client behind that outlives the loop.
                return await asyncio.to_thread(call, custom_llm_provider="openai", timeout=self._timeout_s, max_retries=0, **request)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # as in `complete`
            failed = _from_error(exc, latency_s=0.0)
            raise BatchError(failed.error or failed.outcome, final=failed.outcome == "rejected") from exc


class LiteLlmEmbedder(LiteLlmModel):
    """An embedding model. Its reply is the vector of the last message as JSON, so that limits, budget and ledger hold for it as for any call."""

    async def complete(self, messages: tuple[Message, ...], sampling: Sampling) -> Reply:
        """One try."""
        started = time.monotonic()
        optional = {"api_base": self._api_base, "api_key": self._api_key}
        try:
            call = litellm.aembedding(
                model=self._route, input=[messages[-1].content], timeout=self._timeout_s, num_retries=0, max_retries=0, encoding_format="float",
                **{name: value for name, value in optional.items() if value is not None},
            )  # fmt: skip
            response = await asyncio.wait_for(call, self._timeout_s + 5)
            vector = [float(number) for number in response.data[0]["embedding"]]
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # as in `LiteLlmModel.complete`
            return _from_error(exc, latency_s=time.monotonic() - started)
        prompt_tokens, _ = _tokens(getattr(response, "usage", None))
        return Reply(
            outcome="ok" if vector else "empty", text=json.dumps(vector) if vector else "", served_model=getattr(response, "model", None),
            prompt_tokens=prompt_tokens, completion_tokens=0, cost_usd=self._cost(response, prompt_tokens, 0), latency_s=time.monotonic() - started,
        )  # fmt: skip


async def _bare_acompletion(*, model: str, messages: list[Any], num_retries: int, max_retries: int, **request: Any) -> Any:
    """LiteLLM's provider, its HTTP client and its reading of replies and errors, without the two functions above them.

    Those price, cache, log and look for tools, bridges and routers; none of it is used here, and it takes more than half of the CPU time of a call.
    """
    provider, _, name = model.partition("/")
    now = datetime.now(UTC)
    log = Logging(model=name, messages=messages, stream=False, call_type="acompletion", start_time=now, litellm_call_id="", function_id="")
    connection = {name: request.pop(name) for name in ("api_base", "api_key", "timeout")}
    try:
        # What is left goes over the wire as it is: an OpenAI-compatible server takes OpenAI's own names.
        return await base_llm_http_handler.completion(
            model=name, messages=messages, custom_llm_provider=provider, acompletion=True, optional_params=request, litellm_params={},
            model_response=litellm.ModelResponse(), encoding=None, logging_obj=log, provider_config=_VLLM, **connection,
        )  # fmt: skip
    except Exception as exc:
        raise litellm.exception_type(model=name, original_exception=exc, custom_llm_provider=provider) from exc


def known_price(model_id: str) -> Price | None:
    """The price in LiteLLM's table, as it was when that release was made."""
    try:
        info = litellm.get_model_info(model_id)
    except Exception:  # litellm raises a bare Exception for a model it does not know
        return None
    prompt, completion = info.get("input_cost_per_token"), info.get("output_cost_per_token")
    # A missing entry comes back as zero; no hosted model is free.
    return Price(prompt * 1e6, completion * 1e6) if prompt and completion else None


def _tokens(usage: Any) -> tuple[int | None, int | None]:
    """Prompt and completion tokens; LiteLLM writes zeros where nothing was counted, but no prompt has none."""
    prompt = getattr(usage, "prompt_tokens", None) or None
    return prompt, None if prompt is None else getattr(usage, "completion_tokens", None)


def _is_asked(asked: str, served: str) -> bool:
    """Providers answer an undated name with the dated one and the other way round; two dates, or another name, are another model."""
    asked, served = (
        name.rsplit("/", 1)[-1].lower().replace("@", "-").removesuffix("-latest").removesuffix(":latest") for name in (asked, served)
    )
    return asked == served or _VERSION.sub("", served) == asked or _VERSION.sub("", asked) == served


def _finish_reason(choice: Any) -> str | None:
    told = (getattr(choice, "provider_specific_fields", None) or {}).get("native_finish_reason", "")
    return _FINISH.get(told) or getattr(choice, "finish_reason", None)


def _is_unclosed_thought(text: str) -> bool:
    """Whether the answer never began. Text in front of a tag, or of a closing tag alone, is visible and stays."""
    return text.lstrip().startswith(("<think>", "<thinking>")) and "</think" not in text


def _outcome(text: str, finish: str | None, *, reasoning: bool, tool_calls: bool) -> Outcome:
    if finish == "error":
        return "transport_error"
    if finish in ("content_filter", "refusal"):
        return "blocked_output"
    if finish == "length":
        return "truncated" if text.strip() else "reasoning_only" if reasoning else "empty"
    if not text.strip():
        return "unexpected_tool_call" if tool_calls else "reasoning_only" if reasoning else "empty"
    return "ok"


def _from_error(exc: Exception, *, latency_s: float) -> Reply:
    # LiteLLM reads the class, and with it the status, off the text: a 400 that quotes "rate limit" becomes a 429. The first exception knows.
    chain = tuple(_causes(exc))
    status = next((s for e in reversed(chain) if isinstance(s := getattr(e, "status_code", None), int)), None)
    told = " ".join(map(str, chain)).lower()
    outcome: Outcome
    if any(isinstance(e, json.JSONDecodeError) for e in chain):
        outcome = "transport_error"  # a page of something in between, whatever status LiteLLM makes of it
    elif isinstance(exc, provider_errors.ContentPolicyViolationError) or (status in (400, 403) and _names(_FILTER_MARKS, told)):
        outcome = "blocked_input"
    elif isinstance(exc, (provider_errors.Timeout, TimeoutError)):
        outcome = "timeout"
    elif isinstance(exc, (provider_errors.AuthenticationError, provider_errors.PermissionDeniedError)) or status in (401, 402, 403):
        outcome = "auth_error"
    elif status in (400, 429) and _names(_EMPTY_ACCOUNT_MARKS, told):
        outcome = "auth_error"  # no rush of calls
    elif status == 429:
        outcome = "rate_limited"
    elif status in _OVERLOADED_STATUS:
        outcome = "overloaded"
    elif isinstance(status, int) and 400 <= status < 500 and status not in _TRANSIENT_STATUS:
        outcome = "rejected"
    else:
        outcome = "transport_error"
    # Provider texts may echo the request; the class and status are enough to act on and can hold no key.
    detail = type(exc).__name__ + (f" (HTTP {status})" if isinstance(status, int) else "")
    return Reply(outcome=outcome, error=detail, latency_s=latency_s, retry_after_s=_retry_after_s(exc))


def _retry_after_s(exc: Exception) -> float | None:
    headers = getattr(exc, "litellm_response_headers", None) or getattr(getattr(exc, "response", None), "headers", None) or {}
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, TypeError, ValueError):
        return None


def _names(marks: tuple[str, ...], text: str) -> bool:
    return any(mark in text for mark in marks)


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The exception and what it was raised from, the first one last."""
    seen: set[int] = set()
    cause: BaseException | None = exc
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
