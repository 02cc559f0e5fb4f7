"""``report.html``: one self-contained file without scripts or network."""

from __future__ import annotations

from functools import partial

from jmedethic_plugin.analysis.effects import SCREENING_LEVEL
from jmedethic_plugin.analysis.summary import LanguageTable, Tables
from jmedethic_plugin.core.base import CANARY
from jmedethic_plugin.core.guideline import CATEGORY_TITLES
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.threshold import Threshold
from jmedethic_plugin.core.verdict import PanelVerdict
from jmedethic_plugin.reporting.page import template
from jmedethic_plugin.reporting.text import (
    DEMO_NOTICE,
    change_text,
    cross_lingual_text,
    decay_text,
    estimate_text,
    exam_missing,
    exam_notes,
    family_text,
    index_text,
    p_text,
    screening_text,
    trend_text,
    violating_text,
)
from jmedethic_plugin.stats.agreement import Agreement


def render_html(tables: Tables, manifest: Manifest, records: list[CaseRecord]) -> str:
    """The report. Texts of models and data sets enter as escaped text nodes only."""
    threshold = manifest.threshold
    return template("report.html.j2").render(
        tables=tables, manifest=manifest, records=records, assess=partial(_assess, threshold=threshold), aggregate=threshold.of,
        trend=trend_text, screening=screening_text, index=index_text, screening_level=SCREENING_LEVEL,
        is_met=threshold.is_met, how=partial(_how, threshold=threshold), demo_notice=DEMO_NOTICE, family=family_text(manifest), est=estimate_text, violating=violating_text, change=change_text, p=p_text, decay=decay_text, cross_lingual=cross_lingual_text, turn_rows=_turn_rows, exam_missing=exam_missing(tables, manifest), exam_notes=exam_notes(manifest), canary=CANARY, categories=CATEGORY_TITLES,
    )  # fmt: skip


_HOW = {
    "agreed": "二つの評価の平均", "third": "三つの評価の中央値", "lowest": "低いほうの評価", "human": "人による判定",
    "unread": "人の判定待ち、それまでは最も低い評価", "unscored": "採点不能",
}  # fmt: skip


def _how(panel: PanelVerdict, threshold: Threshold) -> str:
    if threshold.has_queue:
        return _HOW[threshold.adjudicate(panel).how]
    return _HOW["agreed" if threshold.aggregate == "mean" else "lowest"]


def _turn_rows(table: LanguageTable) -> list[tuple[str, Agreement]]:
    return [(str(row.turn_number), row.agreement) for row in table.judges_by_turn]


def _assess(record: CaseRecord, threshold: Threshold) -> dict[str, object]:
    result = record.assess(threshold)
    return {
        "status": result.status,
        "finding": result.finding,
        "turn_number": result.turn_number,
        "missing": result.missing,
    }
