"""Which models are related: the same vendor or the same base model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from jmedethic_plugin.core.base import Value


class FamilyRow(Value):
    """A family and the model names that belong to it."""

    family: str
    patterns: tuple[str, ...]
    """Shell patterns for the last part of a model id, lower case."""


class Families(Value):
    """The table of ``judges/families.yaml``."""

    format: Literal["jmedethic/families@1"] = Field(alias="schema")
    families: tuple[FamilyRow, ...]
    providers: Mapping[str, str]

    def of(self, model_id: str, *, own_address: bool, given: Mapping[str, str]) -> str | None:
        """The family of a model, several joined by ``+`` (who trained it, and on what base); None when nothing tells.

        Parameters
        ----------
        own_address
            The model is called at an address of one's own, so the id's provider says how, not whose.
        given
            Families the user stated, by model id; they come first.
        """
        if model_id in given:
            return given[model_id]
        provider, _, name = model_id.lower().partition("/")
        name = name.rsplit("/", 1)[-1] or provider
        names = [name]
        if provider.startswith("bedrock"):  # eu.anthropic.claude-...: a region and a vendor may stand in front
            names += [tail for n in (1, 2) if (tail := ".".join(name.split(".")[n:]))]
        found = [row.family for row in self.families if any(fnmatchcase(n, pattern) for n in names for pattern in row.patterns)]
        return "+".join(found) or (None if own_address else self.providers.get(provider))


def related(
    families: Mapping[str, str | None], target: str, judges: Sequence[str], *, names: tuple[str, str] = ("the target", "the judge")
) -> list[str]:  # fmt: skip
    """Sentences on who is of whose family: a judge and the target, two judges; ``names`` says what the two are where they are something else."""
    found = []
    for i, judge in enumerate(judges):
        for other in (target, *judges[:i]):
            if shared := families_of(families[judge]) & families_of(families[other]):
                what = names[0] if other == target else names[1]
                found.append(f"{names[1]} {judge!r} and {what} {other!r} are of one family ({', '.join(sorted(shared))})")
    return found


def families_of(joined: str | None) -> set[str]:
    """The families that `Families.of` joined."""
    return set() if joined is None else set(joined.split("+"))


_MONTH, _DAY = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_DATED = re.compile(
    rf"20\d\d-{_MONTH}-{_DAY}(?!\d)|(?<!\d)20\d\d{_MONTH}{_DAY}(?!\d)|[-@](?:{_MONTH}{_DAY}|[23]\d{_MONTH})(?!\d)"
    # Numbered snapshots, where the provider has them: elsewhere they are sizes and product names (deepseek-v3, llama-405).
    r"|(?:^|/)(?:gemini|vertex_ai|google)/.*-\d{3}$|^bedrock.*-v?\d+:\d+$"
)


def is_dated(model_id: str) -> bool:
    """Whether an id names one snapshot (``...-2024-07-18``, ``...-20250929``, ``...-2411``, Google's ``...-001``) and not whatever is served today."""
    return "latest" not in model_id and _DATED.search(model_id) is not None
