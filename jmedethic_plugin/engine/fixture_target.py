"""A target that a user's fixture provides: a callable, or the address of a server that the fixture started.

Fixtures live in the process that runs the items, the engine in the controller. So the engine asks a *host*: the callable itself where both
are one process, a line to a worker where they are not.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from jmedethic_plugin.core.text import printable
from jmedethic_plugin.core.transcript import Message, Reply
from jmedethic_plugin.engine.ports import ChatModel, Price, Sampling
from jmedethic_plugin.errors import ConfigError

FIXTURE_PREFIX = "fixture/"

TargetFunction = Callable[[Sequence[Mapping[str, str]]], Awaitable[str | Reply] | str | Reply]
"""Takes the conversation as ``[{"role": "user", "content": "..."}, ...]`` and returns the answer."""


class Host(Protocol):
    """Something that can answer for the target."""

    async def complete(self, messages: tuple[Message, ...], sampling: Sampling) -> Reply:
        """Answer the last message."""
        ...


def is_fixture_id(model_id: str) -> bool:
    """Whether an id says that the fixture ``target`` provides the target."""
    return model_id.startswith(FIXTURE_PREFIX)


class FixtureTarget:
    """The target behind whatever hosts there are; waits for the first."""

    is_demo = False

    def __init__(self, model_id: str, url_model: Callable[[str], ChatModel], price: Price | None) -> None:
        self.model_id = model_id
        self._url_model = url_model
        self._price = price
        self._hosts: dict[Host, int] = {}
        self._some = asyncio.Event()

    def identity(self) -> dict[str, Any]:
        """The name the user gave; what stands behind it is the user's to keep the same."""
        return {"model": self.model_id}

    def price(self) -> Price | None:
        """The given price."""
        return self._price

    def add(self, provided: TargetFunction | str | Host) -> Host:
        """A host more; returns it, for `remove`. On the engine's loop."""
        host: Host
        if isinstance(provided, str):
            host = self._url_model(provided)
        elif callable(provided):
            host = _CallableHost(provided)
        else:
            host = provided
        self._hosts[host] = 0
        self._some.set()
        return host

    def remove(self, host: Host) -> None:
        """A host is gone. On the engine's loop."""
        self._hosts.pop(host, None)
        if not self._hosts:
            self._some.clear()

    async def complete(self, messages: tuple[Message, ...], sampling: Sampling) -> Reply:
        """Ask the host that has the fewest calls open."""
        await self._some.wait()
        host = min(self._hosts, key=lambda h: self._hosts[h])
        self._hosts[host] += 1
        try:
            return await host.complete(messages, sampling)
        finally:
            if host in self._hosts:
                self._hosts[host] -= 1


class _CallableHost:
    def __init__(self, function: TargetFunction) -> None:
        self._function = function

    async def complete(self, messages: tuple[Message, ...], sampling: Sampling) -> Reply:
        return await call_target(self._function, [{"role": m.role, "content": m.content} for m in messages])


async def call_target(function: TargetFunction, messages: Sequence[Mapping[str, str]]) -> Reply:
    """Call a user's function; an exception is a failed try, a text an answer."""
    try:
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
            answer: Any = await function(messages)  # type: ignore[misc]  # just looked at
        else:
            answer = await asyncio.to_thread(function, messages)
    except asyncio.CancelledError:
        raise
    except Exception as exc:  # whatever a product under test raises is an outcome of the call
        return Reply(outcome="transport_error", error=f"the fixture target raised {type(exc).__name__}")
    if isinstance(answer, Reply):
        return answer
    if not isinstance(answer, str):
        return Reply(outcome="rejected", error=f"the fixture target returned {type(answer).__name__}, not text or a Reply")
    return Reply(outcome="ok" if answer.strip() else "empty", text=printable(answer))


def check_provided(provided: object, model_id: str) -> None:
    """Raise `ConfigError` unless option and fixture agree."""
    if is_fixture_id(model_id) and provided is None:
        raise ConfigError(
            f"--model {model_id}: the fixture 'target' provides nothing. Override it in conftest.py (scope 'session') and return an async function, or a URL."
        )
    if provided is not None and not is_fixture_id(model_id):
        raise ConfigError(
            f"the fixture 'target' is overridden, but --model is {model_id!r}. Write --model {FIXTURE_PREFIX}NAME to test what it provides."
        )
    if provided is not None and not isinstance(provided, str) and not callable(provided):
        raise ConfigError(
            f"the fixture 'target' returned {type(provided).__name__}; expected a function, or the URL of an OpenAI-compatible server."
        )
