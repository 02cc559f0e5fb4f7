"""What was said: messages, replies with their outcome, turns."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.verdict import PanelVerdict

Outcome = Literal[
    "ok", "blocked_input", "blocked_output", "truncated", "empty", "reasoning_only", "unexpected_tool_call", "transport_error",
    "timeout", "rate_limited", "overloaded", "auth_error", "rejected", "served_model_mismatch", "provider_down", "budget_stop", "not_reached",
]  # fmt: skip
"""Closed list of what can come back for a turn (method.md D.1). A refusal in words is ``ok``: judges classify it."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

JUDGED_OUTCOMES: frozenset[Outcome] = frozenset({"ok", "truncated"})
"""Only these hold text that a user would see, so only these are judged."""

BLOCKED_OUTCOMES: frozenset[Outcome] = frozenset({"blocked_input", "blocked_output"})
"""A filter of the provider answered, not the model."""

REUSABLE_OUTCOMES: frozenset[Outcome] = frozenset({"ok", "truncated"})
"""Only these answer a later call with the same key; blocked and failed replies are recorded and asked again."""


class Message(Value):
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


class Reply(Value):
    """What a model returned for one request."""

    outcome: Outcome
    text: str = ""
    """Text a user would see; empty unless the outcome is ok, truncated or blocked_output."""
    finish_reason: str | None = None
    served_model: str | None = None
    fingerprint: str | None = None
    """The provider's name for the configuration that answered (OpenAI's system_fingerprint)."""
    reasoning: str | None = None
    """The provider's reasoning field, kept apart; never judged, never fed back."""
    prompt_tokens: Annotated[int, Field(ge=0)] | None = None
    completion_tokens: Annotated[int, Field(ge=0)] | None = None
    cost_usd: Annotated[float, Field(ge=0)] | None = None
    latency_s: Annotated[float, Field(ge=0)] = 0.0
    """Of the last try."""
    retry_after_s: Annotated[float, Field(ge=0)] | None = None
    """How long the provider asked to be left alone."""
    attempts: Annotated[int, Field(ge=0)] = 1
    error: str | None = None
    """Why there is no usable text; never holds a key."""

    def __repr__(self) -> str:  # replies may hold harmful text
        return f"Reply({self.outcome!r}, {len(self.text)} characters)"

    __str__ = __repr__


class Turn(Value):
    """A user message, the target's reply to it, and the panel's verdict on the reply."""

    turn_number: Annotated[int, Field(ge=1)]
    user: str
    reply: Reply
    panel: PanelVerdict | None
    """None when there was nothing to judge."""

    def __repr__(self) -> str:
        return f"Turn({self.turn_number}, {self.reply!r}, {self.panel!r})"

    __str__ = __repr__
