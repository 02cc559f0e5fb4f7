"""What no run can know and the product's maker has to say: purpose, limits, people. Nothing is made up where it is missing."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field

from jmedethic_plugin.core.base import Text, Value
from jmedethic_plugin.corpus.loading import parse_value
from jmedethic_plugin.errors import DataError, unreadable


class ResidualRisk(Value):
    """A risk that stays, who answers for it, and what is done about it."""

    risk: Text
    owner: Text
    mitigation: Text


class Statement(Value):
    """A maker's statement on the product under test; whatever is left out stands in the pack as not stated."""

    format: Literal["jmedethic/statement@1"] = Field(default="jmedethic/statement@1", alias="schema")
    product: Text | None = None
    """Name and version under which it is handed out."""
    responsible: Text | None = None
    """Who answers for the product."""
    intended_use: Text | None = None
    users: Text | None = None
    excluded_uses: tuple[Text, ...] = ()
    device_status: Text | None = None
    """Whether it is a medical device under Japanese law, and by whose judgment."""
    filters: Text | None = None
    """Filters before and behind the model."""
    region: Text | None = None
    """Where data are processed."""
    retention: Text | None = None
    """How long inputs, outputs and the logs of this test are kept."""
    clinical_owner: Text | None = None
    """Who reads what waits for a person and accepts what risk remains."""
    risks: tuple[ResidualRisk, ...] = ()
    incident_contact: Text | None = None
    rollback: Text | None = None
    """How an earlier version is put back, and who does it."""


def load_statement(path: Path) -> Statement:
    """Read a statement file (TOML).

    Raises
    ------
    DataError
        Unreadable, not TOML, or not a statement; several mistakes are told together.
    """
    guide = "docs/evidence.md"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise unreadable(path, exc, "a statement file (TOML)") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise DataError(str(path), found=f"no TOML ({exc})", expected="a statement file (TOML, UTF-8)", remedy=f"See {guide}.") from exc
    return parse_value(data, Statement, where=str(path), guide=guide)
