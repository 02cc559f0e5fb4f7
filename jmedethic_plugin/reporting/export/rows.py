"""A run as two flat tables, one row for each conversation and one for each turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from jmedethic_plugin.analysis.rates import Judged
from jmedethic_plugin.analysis.summary import Tables
from jmedethic_plugin.core.base import CANARY, Language, Value
from jmedethic_plugin.core.case import Kind, item_id
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.threshold import Finding, Status
from jmedethic_plugin.core.transcript import Outcome, Turn
from jmedethic_plugin.core.verdict import ResponseClass, Scored, UnscoredCause

SCHEMA_VERSION = 1
"""Of the columns; goes up when one changes its meaning or goes."""


class Exported(NamedTuple):
    """What is exported."""

    manifest: Manifest
    tables: Tables
    records: list[CaseRecord]
    redacted: bool
    """The records hold no texts any more."""


class ConversationRow(Value):
    """One conversation; each repeat is one."""

    run_id: str
    demo: bool
    """Scripted models: the row measures nothing."""
    item: str
    """Case and repeat, as in the reports."""
    case_id: str
    repeat: int
    language: Language
    kind: Kind
    category: str
    guideline_id: str
    group: str
    """Strategy, or ``benign_<level>``."""
    twin_of: str | None
    expected: str | None
    emergency: bool
    critical: bool
    review_status: str
    role: str | None
    authority: str | None
    politeness: str | None
    setting: str | None
    severity: str | None
    target: str
    threshold: str
    status: Status
    finding: Finding | None
    deciding_turn: int | None
    missing: str
    """Why it was not measured."""
    safe: bool | None
    """Of an adversarial conversation; None on benign ones and where not measured."""
    refused: bool | None
    """Of a benign one."""
    lowest_points: float | None
    """Over its turns, by the threshold's aggregate."""
    request: str
    canary: str


class TurnRow(Value):
    """One turn. Judges sit in the order of the run; the third is heard where two disagree."""

    run_id: str
    demo: bool
    item: str
    case_id: str
    repeat: int
    language: Language
    kind: Kind
    guideline_id: str
    group: str
    turn_number: int
    outcome: Outcome
    served_model: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    latency_s: float
    attempts: int
    points: float | None
    """1-10, 10 safest: the aggregate the run's threshold looks at."""
    points_mean: float | None
    points_min: float | None
    how: Literal["agreed", "third", "lowest", "human", "unread", "unscored"] | None
    """How adjudicated points came about; None for another aggregate, or without a verdict."""
    violated: bool | None
    refused: bool | None
    """Any judge called the reply a refusal."""
    judge_1: str | None
    judge_1_points: float | None
    judge_1_class: ResponseClass | None
    judge_1_unscored: UnscoredCause | None
    judge_1_reason: str | None
    judge_2: str | None
    judge_2_points: float | None
    judge_2_class: ResponseClass | None
    judge_2_unscored: UnscoredCause | None
    judge_2_reason: str | None
    judge_3: str | None
    judge_3_points: float | None
    judge_3_class: ResponseClass | None
    judge_3_unscored: UnscoredCause | None
    judge_3_reason: str | None
    human_author: str | None
    human_points: float | None
    human_reason: str | None
    user: str
    reply: str
    canary: str


def conversation_rows(exported: Exported) -> Iterator[ConversationRow]:
    """In the order of the records."""
    manifest = exported.manifest
    for record in exported.records:
        judged, case = Judged(record, manifest.threshold), record.case
        points = [p for t in record.turns if t.panel is not None and (p := manifest.threshold.of(t.panel)) is not None]
        factors = (
            dict.fromkeys(("role", "authority", "politeness", "setting", "severity")) if case.factors is None else case.factors.model_dump()
        )
        adversarial = case.kind == "adversarial"
        yield ConversationRow(
            **_head(manifest, record), category=case.category, twin_of=case.twin_of, expected=case.expected, emergency=case.emergency,
            critical=case.critical, review_status=case.review_status, **factors, target=record.target, threshold=str(manifest.threshold),
            status=judged.result.status, finding=judged.result.finding, deciding_turn=judged.result.turn_number,
            missing="; ".join(judged.result.missing), safe=judged.safe if adversarial else None, refused=None if adversarial else judged.refused,
            lowest_points=min(points, default=None), request=case.request, canary=CANARY,
        )  # fmt: skip


def turn_rows(exported: Exported) -> Iterator[TurnRow]:
    """In the order of the records."""
    for record in exported.records:
        for turn in record.turns:
            yield _turn_row(exported.manifest, record, turn)


def _head(manifest: Manifest, record: CaseRecord) -> dict[str, Any]:
    case = record.case
    return {
        "run_id": manifest.run_id, "demo": record.demo, "item": item_id(case.id, record.repeat), "case_id": case.id, "repeat": record.repeat,
        "language": case.language, "kind": case.kind, "guideline_id": case.guideline_id, "group": case.group,
    }  # fmt: skip


def _turn_row(manifest: Manifest, record: CaseRecord, turn: Turn) -> TurnRow:
    reply, panel, threshold = turn.reply, turn.panel, manifest.threshold
    seats: dict[str, Any] = {}
    heard = (None, None, None) if panel is None else (*(*panel.verdicts, None)[:2], panel.third)
    for seat, verdict in enumerate(heard, 1):
        scored = verdict if isinstance(verdict, Scored) else None
        seats |= {
            f"judge_{seat}": verdict.judge if verdict else None, f"judge_{seat}_points": scored.points if scored else None,
            f"judge_{seat}_class": scored.response_class if scored else None,
            f"judge_{seat}_unscored": None if verdict is None or isinstance(verdict, Scored) else verdict.cause,
            f"judge_{seat}_reason": None if verdict is None else verdict.reason if isinstance(verdict, Scored) else verdict.detail,
        }  # fmt: skip
    human = panel.human if panel else None
    return TurnRow(
        **_head(manifest, record), turn_number=turn.turn_number, outcome=reply.outcome, served_model=reply.served_model,
        finish_reason=reply.finish_reason, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens, cost_usd=reply.cost_usd,
        latency_s=reply.latency_s, attempts=reply.attempts, points=threshold.of(panel) if panel else None, points_mean=panel.mean if panel else None,
        points_min=panel.min if panel else None, how=threshold.adjudicate(panel).how if panel and threshold.has_queue else None,
        violated=threshold.violated(turn), refused=panel.refused if panel else None, **seats, human_author=human.author if human else None,
        human_points=human.points if human else None, human_reason=human.reason if human else None, user=turn.user, reply=reply.text, canary=CANARY,
    )  # fmt: skip
