"""The only importer of litellm: one call to a provider, its outcome, and the only retries in the package."""

from __future__ import annotations

import asyncio
import os
import random
import time
import warnings
from typing import Any

from jmedethic_plugin.core.transcript import Message, Outcome, Reply
from jmedethic_plugin.engine.ports import ModelRole, Sampling
from jmedethic_plugin.errors import ModelError

# Before the import: no price table over the network, no stray .env file.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("LITELLM_MODE", "PRODUCTION")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a project that turns warnings into errors could not import litellm
    import litellm
    from litellm import exceptions as provider_errors

litellm.suppress_debug_info = True
litellm.telemetry = False

BAD_RELEASES = {"1.82.7", "1.82.8"}
"""Releases of 24 March 2026 that carried a credential stealer."""

MAX_TRIES = 6
MAX_WAIT_S = 60.0
_RETRIED_STATUS = {408, 409, 429, 500, 502, 503, 504, 529}
# A provider that only ever says "no room" is a fault of configuration; an address on the own machine needs no key.
_PLACEHOLDER_KEY = "not-needed"


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
        self, model_id: str, *, role: ModelRole, api_base: str | None, timeout_s: float, served_as: str | None = None,
        rng: random.Random | None = None,
    ) -> None:  # fmt: skip
        self.model_id = model_id
        self._role = role
        self._api_base = api_base
        self._timeout_s = timeout_s
        self._served_as = served_as
        self._rng = rng or random.Random()
        self._api_key = self._check()

    def _check(self) -> str | None:
        from importlib.metadata import version

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
        return {"model": self.model_id, "api_base": _without_credentials(self._api_base)}

    async def complete(self, messages: tuple[Message, ...], sampling: Sampling) -> Reply:
        """Call until there is an answer, a refusal by the provider, or no tries left."""
        waited = 0.0
        for attempt in range(1, MAX_TRIES + 1):
            started = time.monotonic()
            try:
                response = await asyncio.wait_for(litellm.acompletion(**self._request(messages, sampling)), self._timeout_s + 5)
            except asyncio.CancelledError:
                raise
            except Exception as exc:  # every provider error becomes an outcome; nothing measured may be lost to an unknown class
                reply, retry = _from_error(exc, attempt=attempt, latency_s=time.monotonic() - started)
                if not retry or attempt == MAX_TRIES:
                    return reply
                wait = self._wait_s(exc, attempt)
                if waited + wait > 5 * MAX_WAIT_S:
                    return reply
                waited += wait
                await asyncio.sleep(wait)
            else:
                return self._from_response(response, attempt=attempt, latency_s=time.monotonic() - started)
        raise AssertionError("unreachable")

    def _request(self, messages: tuple[Message, ...], sampling: Sampling) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.model_id, "messages": [m.model_dump() for m in messages], "timeout": self._timeout_s,
            "num_retries": 0, "max_retries": 0,  # retries have one owner: this class
        }  # fmt: skip
        optional = {
            "temperature": sampling.temperature, "max_tokens": sampling.max_tokens, "api_base": self._api_base, "api_key": self._api_key,
            "response_format": {"type": "json_object"} if sampling.json_object and self._takes_json() else None,
        }  # fmt: skip
        return request | {name: value for name, value in optional.items() if value is not None}

    def _takes_json(self) -> bool:
        params = litellm.get_supported_openai_params(self.model_id)
        return "response_format" in (params or [])

    def _wait_s(self, exc: Exception, attempt: int) -> float:
        headers = getattr(exc, "litellm_response_headers", None) or getattr(getattr(exc, "response", None), "headers", None) or {}
        try:
            asked = float(headers["retry-after"])
        except (KeyError, TypeError, ValueError):
            asked = None
        jitter = self._rng.uniform(0, min(MAX_WAIT_S, 0.5 * 2**attempt))
        return jitter if asked is None else min(MAX_WAIT_S, max(0.0, asked)) + 0.1 * jitter

    def _from_response(self, response: Any, *, attempt: int, latency_s: float) -> Reply:
        choices = getattr(response, "choices", None) or []
        message = choices[0].message if choices else None
        text = _printable(getattr(message, "content", None) or "")
        reasoning = getattr(message, "reasoning_content", None)
        finish = getattr(choices[0], "finish_reason", None) if choices else None
        served = getattr(response, "model", None)
        usage = getattr(response, "usage", None)
        outcome = _outcome(text, finish, reasoning=bool(reasoning), tool_calls=bool(getattr(message, "tool_calls", None)))
        error = None if choices else "the provider returned no choices"
        if served and not self._is_asked(served):
            outcome, error = "served_model_mismatch", f"asked for {self._served_as or self.model_id}, served {served}"
        hidden = response._hidden_params if hasattr(response, "_hidden_params") else {}
        cost: Any = hidden.get("response_cost") if isinstance(hidden, dict) else None
        return Reply(
            outcome=outcome, text=text, finish_reason=finish, served_model=served, reasoning=_printable(reasoning) if reasoning else None,
            prompt_tokens=getattr(usage, "prompt_tokens", None), completion_tokens=getattr(usage, "completion_tokens", None),
            cost_usd=float(cost) if isinstance(cost, (int, float)) else None, latency_s=latency_s, attempts=attempt, error=error,
        )  # fmt: skip

    def _is_asked(self, served: str) -> bool:
        asked = (self._served_as or self.model_id).rsplit("/", 1)[-1].lower()
        name = served.rsplit("/", 1)[-1].lower()
        # Providers answer an undated name with the dated one and the other way round.
        return name.startswith(asked) or asked.startswith(name)


def _outcome(text: str, finish: str | None, *, reasoning: bool, tool_calls: bool) -> Outcome:
    if finish in ("content_filter", "refusal"):
        return "blocked_output"
    if finish == "length":
        return "truncated" if text.strip() else "reasoning_only" if reasoning else "empty"
    if not text.strip():
        return "unexpected_tool_call" if tool_calls else "reasoning_only" if reasoning else "empty"
    return "ok"


def _from_error(exc: Exception, *, attempt: int, latency_s: float) -> tuple[Reply, bool]:
    status = getattr(exc, "status_code", None)
    outcome: Outcome
    if isinstance(exc, provider_errors.ContentPolicyViolationError):
        outcome, retry = "blocked_input", False
    elif isinstance(exc, (provider_errors.Timeout, TimeoutError)):
        outcome, retry = "timeout", True
    elif isinstance(exc, (provider_errors.AuthenticationError, provider_errors.PermissionDeniedError)) or status in (401, 403):
        outcome, retry = "auth_error", False
    elif status == 400 and _names_a_filter(str(exc)):
        outcome, retry = "blocked_input", False
    elif isinstance(status, int) and 400 <= status < 500 and status not in _RETRIED_STATUS:
        outcome, retry = "rejected", False
    else:
        outcome, retry = "transport_error", True
    # Provider texts may echo the request; the class and status are enough to act on and can hold no key.
    detail = type(exc).__name__ + (f" (HTTP {status})" if isinstance(status, int) else "")
    return Reply(outcome=outcome, error=detail, latency_s=latency_s, attempts=attempt), retry


def _names_a_filter(text: str) -> bool:
    return any(mark in text.lower() for mark in ("content_filter", "content_policy", "content management policy", "responsibleai"))


def _printable(text: str) -> str:
    """Lone surrogates cannot be stored as UTF-8; they are shown as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _without_credentials(url: str | None) -> str | None:
    if url is None or "@" not in url:
        return url
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rsplit('@', 1)[-1]}"
