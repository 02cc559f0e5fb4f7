"""Estimates: never a bare number."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jmedethic_plugin.core.base import Value


class Estimate(Value):
    """A number with its interval, its n and how it was computed."""

    point: float
    low: float
    high: float
    confidence: float
    n: Annotated[int, Field(ge=1)]
    method: str
    n_eff: float | None = None
    """How many independent observations the n are worth, where clusters were taken into account."""
