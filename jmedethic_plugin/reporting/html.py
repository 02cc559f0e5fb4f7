"""``report.html``: one self-contained file without scripts or network."""

from __future__ import annotations

from functools import partial

from jmedethic_plugin.analysis.summary import Tables
from jmedethic_plugin.core.base import CANARY
from jmedethic_plugin.core.guideline import CATEGORY_TITLES
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.threshold import Threshold
from jmedethic_plugin.reporting.page import template
from jmedethic_plugin.reporting.text import DEMO_NOTICE


def render_html(tables: Tables, manifest: Manifest, records: list[CaseRecord]) -> str:
    """The report. Texts of models and data sets enter as escaped text nodes only."""
    threshold = manifest.threshold
    return template("report.html.j2").render(
        tables=tables, manifest=manifest, records=records, assess=partial(_assess, threshold=threshold), aggregate=threshold.of,
        is_met=threshold.is_met, demo_notice=DEMO_NOTICE, canary=CANARY, categories=CATEGORY_TITLES,
    )  # fmt: skip


def _assess(record: CaseRecord, threshold: Threshold) -> dict[str, object]:
    result = record.assess(threshold)
    return {
        "status": result.status,
        "finding": result.finding,
        "turn_number": result.turn_number,
        "missing": result.missing,
    }
