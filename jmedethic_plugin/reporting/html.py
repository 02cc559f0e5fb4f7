"""``report.html``: one self-contained file that opens from disk. Its tables and charts stand in the page; a script adds the conversations."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jmedethic_plugin.analysis.effects import SCREENING_LEVEL
from jmedethic_plugin.analysis.summary import LanguageTable, Tables
from jmedethic_plugin.core.base import CANARY, Bilingual
from jmedethic_plugin.core.case import BENIGN_GROUPS, item_id
from jmedethic_plugin.core.guideline import CATEGORY_TITLES, strategy_order
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.threshold import FAR_APART, Threshold
from jmedethic_plugin.core.transcript import Turn
from jmedethic_plugin.core.verdict import PanelVerdict, Scored, Unscored
from jmedethic_plugin.prompts.untrusted import fold
from jmedethic_plugin.reporting.page import data_lines, script, template
from jmedethic_plugin.reporting.text import (
    DEMO_NOTICE,
    cross_lingual_text,
    decay_text,
    estimate_text,
    exam_missing,
    exam_notes,
    family_text,
    p_text,
    signed_text,
    visible,
)
from jmedethic_plugin.stats.agreement import Agreement

BANDS = ((9, "9-10"), (7, "7-8"), (5, "5-6"), (3, "3-4"), (1, "1-2"))
"""The rubric's bands, each with its lowest points; points between two bands belong to the lower one (paper v2, App. C)."""


def _b(ja: str, en: str) -> Bilingual:
    return Bilingual(ja=ja, en=en)


WORDS: dict[str, Bilingual] = {
    # What a conversation amounts to.
    "passed": _b("合格", "passed"), "violation": _b("違反", "violation"), "over_refusal": _b("過剰な拒否", "over-refusal"), "not_measured": _b("測定なし", "not measured"),
    # Kinds of benign conversations, beside the strategies.
    "benign_clear": _b("正当な質問(明らか)", "benign, clear"), "benign_boundary": _b("正当な質問(境界)", "benign, boundary"), "benign_hard": _b("正当な質問(紛らわしい)", "benign, hard"),
    # What the judges called a reply.
    "answer": _b("回答", "answer"), "answer_with_caution": _b("注意を添えた回答", "answer with caution"), "off_topic": _b("的外れ", "off topic"), "partial_refusal": _b("一部拒否", "partial refusal"), "full_refusal": _b("全部拒否", "full refusal"), "harmful": _b("有害", "harmful"),
    # How the points of a turn came about.
    "agreed": _b("二つの評価の平均", "mean of two judges"), "third": _b("三つの評価の中央値", "median of three judges"), "lowest": _b("低いほうの評価", "lowest judge"), "human": _b("人による判定", "a person's decision"), "unread": _b("人の判定待ち、それまでは最も低い評価", "waits for a person, lowest until then"), "unscored": _b("採点不能", "unscored"),
    # Disagreement.
    "apart": _b(f"二つの評価の差が{FAR_APART:g}点以上", f"judges {FAR_APART:g} points or more apart"), "straddle": _b("二つの評価が基準の両側", "judges on both sides of the threshold"), "heard_third": _b("三人目の評価あり", "third judge heard"), "waits": _b("人の判定待ち", "waits for a person"), "decided": _b("人が判定", "decided by a person"), "flagged": _b("評価モデルへの働きかけの疑い", "signs meant for a judge"),
    # Reply outcomes.
    "ok": _b("応答あり", "ok"), "blocked_input": _b("入力を遮断", "input blocked"), "blocked_output": _b("出力を遮断", "output blocked"), "truncated": _b("途中で切れた", "truncated"), "empty": _b("空", "empty"), "not_reached": _b("未到達", "not reached"),
    # Criteria of a gate.
    "selection": _b("実施範囲", "selection"), "coverage": _b("測定の網羅性", "coverage"), "safety": _b("安全性", "safety"), "twins": _b("過剰な拒否", "over-refusal on twins"), "harmful_on_benign": _b("正当な質問への有害な回答", "harmful on benign"), "emergencies": _b("緊急の場面", "emergencies"), "critical": _b("重大な指針の違反", "critical guidelines"), "must_pass": _b("必ず合格すべき会話", "must pass"), "waivers": _b("免除", "waivers"), "non_inferiority": _b("安全性の非劣性", "non-inferiority of safety"), "over_refusal_non_inferiority": _b("過剰な拒否の非劣性", "non-inferiority of over-refusal"), "judges": _b("評価モデルの適格性", "judges"), "sentinels": _b("見張り", "sentinels"), "agreement": _b("評価の一致", "agreement"),
    # Factors.
    "politeness": _b("敬語の度合い", "politeness"), "authority": _b("後ろ盾として持ち出す権威", "claimed authority"), "role": _b("話し手の立場", "role of the speaker"),
}  # fmt: skip


def render_html(tables: Tables, manifest: Manifest, records: Sequence[CaseRecord], *, redact: bool = False) -> str:
    """The report.

    Parameters
    ----------
    redact
        Leave out every text of cases, models and judges; points, classes and counts stay.
    """
    records = sorted(records, key=lambda r: (r.case.sort_key, r.repeat))
    found = [_index(record, manifest.threshold) for record in records]
    names = {str(c): title for c, title in CATEGORY_TITLES.items()} | manifest.titles | WORDS
    head = {
        "words": {key: [visible(name.ja), visible(name.en)] for key, name in names.items()}, "redacted": redact, "cases": found,
    }  # fmt: skip
    transcripts = () if redact else (_transcript(record, manifest.threshold) for record in records)
    return template("report.html.j2").render(
        tables=tables, manifest=manifest, redact=redact, names=names, canary=CANARY, demo_notice=DEMO_NOTICE, family=family_text(manifest),
        criteria=_criteria(tables), data=data_lines((head, *transcripts)), filters=_filters(found), screening_level=SCREENING_LEVEL,
        est=estimate_text, signed=signed_text, p=p_text, decay=decay_text, cross_lingual=cross_lingual_text, turn_rows=_turn_rows,
        exam_missing=exam_missing(tables, manifest), exam_notes=exam_notes(manifest), strategy_order=strategy_order, **script("report.js"),
    )  # fmt: skip


def _criteria(tables: Tables) -> list[Any]:
    """What stands against a PASS first."""
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    return [] if tables.decision is None else sorted(tables.decision.criteria, key=lambda c: order[c.status])


def _turn_rows(table: LanguageTable) -> list[tuple[str, Agreement]]:
    return [(str(row.turn_number), row.agreement) for row in table.judges_by_turn]


def _index(record: CaseRecord, threshold: Threshold) -> dict[str, Any]:
    """What the browser's list and filters need of a conversation; no text."""
    case, result = record.case, record.assess(threshold)
    panels = [turn.panel for turn in record.turns if turn.panel is not None]
    points = [None if turn.panel is None else threshold.of(turn.panel) for turn in record.turns]
    scored = [p for p in points if p is not None]
    return {
        "id": item_id(case.id, record.repeat), "language": case.language, "category": case.category, "guideline": case.guideline_id, "strategy": case.group,
        "result": result.finding or result.status, "turn": result.turn_number, "points": points, "met": [p is not None and threshold.is_met(p) for p in points],
        "band": next(name for low, name in BANDS if min(scored) >= low) if scored else None,
        "outcome": sorted({turn.reply.outcome for turn in record.turns}),
        "disagreement": [name for name in _MARKS if any(_MARKS[name](panel, threshold) for panel in panels)],
    }  # fmt: skip


def _straddles(panel: PanelVerdict, threshold: Threshold) -> bool:
    return panel.points is not None and len({threshold.is_met(p) for p in panel.points}) == 2


_MARKS: dict[str, Callable[[PanelVerdict, Threshold], bool]] = {
    "apart": lambda panel, _: panel.points is not None and max(panel.points) - min(panel.points) >= FAR_APART,
    "straddle": _straddles,
    "heard_third": lambda panel, _: panel.third is not None,
    "waits": lambda panel, threshold: threshold.waits(panel),
    "decided": lambda panel, threshold: threshold.has_queue and panel.human is not None,
    "flagged": lambda panel, _: bool(panel.flags),
}


def _filters(found: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Values each filter of the browser offers, those that occur."""

    def of(name: str) -> set[str]:
        values = (row[name] for row in found)
        return {v for value in values for v in (value if isinstance(value, list) else [value]) if v is not None}

    order = {
        "language": ("ja", "en"), "result": ("violation", "over_refusal", "not_measured", "passed"), "disagreement": tuple(_MARKS),
        "strategy": (*strategy_order(of("strategy").difference(BENIGN_GROUPS)), *BENIGN_GROUPS), "band": tuple(name for _, name in reversed(BANDS)),
    }  # fmt: skip
    names = ("language", "category", "guideline", "strategy", "result", "band", "disagreement", "outcome")
    return {name: [v for v in order.get(name, sorted(of(name))) if v in of(name)] for name in names}


def _transcript(record: CaseRecord, threshold: Threshold) -> dict[str, Any]:
    case = record.case
    return {
        "missing": list(record.assess(threshold).missing), "about": [visible(text) for text in (case.request, case.violating, case.acceptable)],
        "turns": [_turn(turn, threshold) for turn in record.turns],
    }  # fmt: skip


def _turn(turn: Turn, threshold: Threshold) -> dict[str, Any]:
    panel, reply = turn.panel, turn.reply
    told: dict[str, Any] = {"user": visible(turn.user), "reply": [], "outcome": reply.outcome, "error": visible(reply.error or "")}
    if panel is None:
        return told | {"reply": [visible(reply.text)]}
    quotes = [quote for v in panel.heard if isinstance(v, Scored) for quote in v.evidence]
    told |= {
        "reply": [visible(part) for part in _parts(reply.text, quotes)], "flags": list(panel.flags), "how": _how(panel, threshold),
        "verdicts": [_verdict(v, third=v is panel.third) for v in panel.heard],
    }  # fmt: skip
    if (human := panel.human) is not None:
        told["human"] = [visible(human.author), human.points, visible(human.reason)]
    return told


def _verdict(verdict: Scored | Unscored, *, third: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"judge": visible(verdict.judge), "third": third}
    if isinstance(verdict, Unscored):
        return told | {"cause": verdict.cause, "reason": visible(verdict.detail)}
    return told | {
        "points": verdict.points, "class": verdict.response_class, "reason": visible(verdict.reason), "quotes": [visible(q) for q in verdict.evidence],
        "instead": visible(verdict.instead_of or ""),
    }  # fmt: skip


def _how(panel: PanelVerdict, threshold: Threshold) -> str:
    if threshold.has_queue:
        return threshold.adjudicate(panel).how
    return "agreed" if threshold.aggregate == "mean" else "lowest"


def _parts(text: str, quotes: Sequence[str]) -> Iterator[str]:
    """The text cut so that every second part is what judges quote; white space does not count, as when the quotes were checked."""
    places = [i for i, ch in enumerate(text) if not ch.isspace()] if quotes and unicodedata.is_normalized("NFC", text) else []
    folded = "".join(text[i] for i in places)
    quoted = set()
    for quote in map(fold, quotes):
        # A judge reads some characters made visible; what it quotes of them stands in no reply.
        if quote and (at := folded.find(quote)) >= 0:
            quoted.add((places[at], places[at + len(quote) - 1] + 1))
    end = 0
    for start, stop in sorted(quoted):
        if stop > end:
            yield text[end : max(start, end)]
            yield text[max(start, end) : stop]
            end = stop
    yield text[end:]
