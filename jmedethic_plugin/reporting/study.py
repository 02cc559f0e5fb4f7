"""A study's tables as JSON, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import json

from jmedethic_plugin.analysis.sheet import Sheet
from jmedethic_plugin.analysis.study import StudyTables
from jmedethic_plugin.core.base import CANARY
from jmedethic_plugin.reporting.review_sheet import inert
from jmedethic_plugin.reporting.text import DEMO_NOTICE, NOT_CLINICAL, markdown_cell

MAX_ROWS = 60
"""Rows of a table that the page shows; all are in its CSV."""


def render_json(tables: StudyTables) -> str:
    """``study.json``."""
    document = {"schema_version": 1, "canary": CANARY, **tables.model_dump(mode="json")}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def render_csv(sheet: Sheet) -> str:
    """One table; without rows, its header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(sheet.columns)
    for row in sheet.rows:
        values = row.model_dump(mode="json")
        writer.writerow([inert(value) if isinstance(value := values[name], str) else value for name in sheet.columns])
    return out.getvalue()


def render_markdown(tables: StudyTables) -> str:
    """``study.md``: numbers and names, no text of models."""
    lines = [f"# Study: {markdown_cell(tables.name)}", ""]
    if tables.demo:
        lines += [f"> **{DEMO_NOTICE}**", ""]
    for banner in tables.banners:
        lines += [f"> **{markdown_cell(banner)}**", ""]
    lines += [f"{tables.label[0].upper()}{tables.label[1:]}. No decision rests on these tables; see the reports of each run.", ""]
    for sheet in tables.sheets:
        lines += [
            f"## {markdown_cell(sheet.title)}",
            "",
            f"`{sheet.name}`; in the paper: {sheet.paper}; n = {sheet.n}, unit: {sheet.unit}. {markdown_cell(sheet.method)}.",
            "",
        ]
        if sheet.empty is not None:
            lines += [f"Empty: {sheet.empty}.", ""]
            continue
        lines += [f"| {' | '.join(sheet.columns)} |", f"|{' --- |' * len(sheet.columns)}"]
        for row in sheet.rows[:MAX_ROWS]:
            values = row.model_dump(mode="json")
            lines.append(f"| {' | '.join(_shown(values[name]) for name in sheet.columns)} |")
        more = len(sheet.rows) - MAX_ROWS
        lines += ["", f"{more} more rows in `tables/{sheet.name}.csv`.", ""] if more > 0 else [""]
    return "\n".join([*lines, NOT_CLINICAL, ""])


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) >= 0.001 or value == 0 else f"{value:.1e}"
    return "-" if value is None else markdown_cell(str(value))
