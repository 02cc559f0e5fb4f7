"""The published JSON Schemas of every file format, made from the models that read and write them."""

from __future__ import annotations

import json
from typing import Any, Literal

from jmedethic_plugin.analysis.summary import Summary
from jmedethic_plugin.core.base import CANARY, Value
from jmedethic_plugin.core.card import CardFile
from jmedethic_plugin.core.case import CaseFile
from jmedethic_plugin.core.exam import ExamRecord
from jmedethic_plugin.core.gate import Gate
from jmedethic_plugin.core.guideline import GuidelineFile, StrategyFile
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.corpus.jsonl import CaseLine
from jmedethic_plugin.corpus.labelled import LabelledLine, StarterFile
from jmedethic_plugin.reporting.export.rows import ConversationRow, TurnRow

# What people write may leave out what has a default; what the suite writes holds every field.
SCHEMAS: dict[str, tuple[type[Value], Literal["validation", "serialization"], str]] = {
    "record": (CaseRecord, "serialization", "a line of records.jsonl"),
    "exam-record": (ExamRecord, "serialization", "a line of exam.jsonl, without given and status"),
    "summary": (Summary, "serialization", "summary.json"),
    "run": (Manifest, "serialization", "run.json"),
    "judge-card": (CardFile, "serialization", "card.json"),
    "conversation-row": (ConversationRow, "serialization", "a row of conversations.csv and conversations.parquet"),
    "turn-row": (TurnRow, "serialization", "a row of turns.csv and turns.parquet"),
    "gate": (Gate, "validation", "a gate file (TOML)"),
    "cases": (CaseFile, "validation", "cases/CATEGORY/GUIDELINE.yaml"),
    "case-line": (CaseLine, "validation", "a line of a JSONL case set"),
    "guideline": (GuidelineFile, "validation", "guidelines/CATEGORY/GUIDELINE.yaml"),
    "strategies": (StrategyFile, "validation", "guidelines/strategies.yaml"),
    "labelled-answer": (LabelledLine, "validation", "a line of a labelled set"),
    "judge-starter": (StarterFile, "validation", "judges/starter/STRATEGY.yaml"),
}
"""By name: the model, whose side the schema takes, and the file it describes."""


def render_schema(name: str) -> str:
    """One schema as text (JSON Schema 2020-12)."""
    model, mode, what = SCHEMAS[name]
    schema: dict[str, Any] = model.model_json_schema(mode=mode)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:jmedethic:schema:{name}", "$comment": f"{what}; canary {CANARY}",
    }  # fmt: skip
    return json.dumps(head | schema, ensure_ascii=False, indent=1) + "\n"
