"""What the engine asks of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

from jmedethic_plugin.core.transcript import Message, Reply

ModelRole = Literal["target", "judge", "writer", "embedder"]
"""A writer makes what a benchmark is made of: requests, strategies, conversations, translations. An embedder answers with a vector, as JSON."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Parameters that can change an answer; part of the ledger key. None leaves the provider's default."""

    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    schema: Mapping[str, Any] | None = None
    """Ask for JSON of this schema where the provider offers it, else for any JSON object where it offers that."""

    def longer(self, times: int) -> Sampling:
        """The same with so many times the tokens; where nothing limits them, the same."""
        return replace(self, max_tokens=None if self.max_tokens is None else times * self.max_tokens)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for keys and manifests."""
        return {
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "schema": None if self.schema is None else dict(self.schema),
        } | ({} if self.top_p is None else {"top_p": self.top_p})  # absent where not set: keys of earlier releases stand


EXAM_SAMPLING = Sampling(temperature=0.1, top_p=0.9, max_tokens=2048)
"""For exam questions, as in the paper (v2, section 4), whatever conversations are sampled with."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """What so many tokens cost, in US dollars."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1_000_000


class ChatModel(Protocol):
    """One model behind one address.

    A failed call is a `Reply` with its outcome, not an exception. One call is one try: the engine alone tries again.
    """

    model_id: str
    is_demo: bool

    def identity(self) -> dict[str, Any]:
        """What distinguishes this model's answers from another's: id and address, no key."""
        ...

    def price(self) -> Price | None:
        """What the provider asks, None when that is not known."""
        ...

    async def complete(self, messages: tuple[Message, ...], sampling: Sampling) -> Reply:
        """Answer the last message."""
        ...


class BatchError(Exception):
    """A provider did not do what a batch needs.

    Parameters
    ----------
    final
        The provider has refused, so nothing was handed in and nothing is to be had; otherwise it is not known.
    """

    def __init__(self, detail: str, *, final: bool) -> None:
        super().__init__(detail)
        self.final = final


@dataclass(frozen=True, slots=True)
class BatchState:
    """What the provider says of a batch."""

    status: str
    ended: bool
    output_file_id: str | None
    """Where the replies are, when it has ended; None without any."""


@runtime_checkable
class BatchModel(Protocol):
    """A model whose provider may take batches. What is asked of the provider may raise `BatchError`."""

    def takes_batches(self) -> bool:
        """Whether the provider is one of those whose batches are known."""
        ...

    def batch_line(self, key: str, messages: tuple[Message, ...], sampling: Sampling) -> str:
        """The call as a line of a batch, without a line end."""
        ...

    async def hand_in_file(self, lines: bytes) -> str:
        """Upload lines; the file's id."""
        ...

    async def hand_in_batch(self, file_id: str) -> str:
        """Have a file's lines answered; the batch's id. From here on it costs money."""
        ...

    async def find_batch(self, file_id: str) -> str | None:
        """The batch that was made of a file, if one was."""
        ...

    async def batch_state(self, batch_id: str) -> BatchState:
        """How far a batch is."""
        ...

    async def batch_replies(self, file_id: str) -> Mapping[str, Reply]:
        """Replies by key; lines that failed are not among them. A reply's cost is that of a live call."""
        ...
