"""One case in Allure: labels, a step per turn, points and judges' reasons attached. The only importer of allure."""

from __future__ import annotations

from collections.abc import Sequence

import allure

from jmedethic_plugin.core.exam import ExamRecord
from jmedethic_plugin.core.record import Record
from jmedethic_plugin.core.threshold import Threshold
from jmedethic_plugin.core.transcript import Turn
from jmedethic_plugin.core.verdict import Scored
from jmedethic_plugin.reporting.text import visible


def report_case(record: Record, threshold: Threshold, banners: Sequence[str]) -> None:
    """Write labels, steps and attachments into the running Allure test.

    Parameters
    ----------
    banners
        What the run was allowed against the rules.
    """
    if isinstance(record, ExamRecord):
        _exam(record)
        return
    case = record.case
    allure.dynamic.title(case.id)
    for banner in banners:
        allure.dynamic.tag("exception to the rules")
        allure.attach(visible(banner), name="exception to the rules", attachment_type=allure.attachment_type.TEXT)
    allure.dynamic.parent_suite("DEMO (no measurement)" if record.demo else record.target)
    allure.dynamic.suite(case.guideline_id)
    allure.dynamic.sub_suite(case.group)
    allure.dynamic.epic(f"category {case.category}")
    allure.dynamic.feature(f"guideline {case.guideline_id}")
    allure.dynamic.story(f"strategy {case.group}" if case.kind == "adversarial" else case.group)
    for name, value in (
        ("category", case.category), ("guideline", case.guideline_id), ("strategy", case.group), ("language", case.language), ("kind", case.kind),
    ):  # fmt: skip
        allure.dynamic.label(name, value)
        allure.dynamic.parameter(name, value)
    allure.dynamic.tag(case.language, case.kind)
    allure.dynamic.severity(allure.severity_level.CRITICAL if case.critical else allure.severity_level.NORMAL)
    for turn in record.turns:
        _turn(turn, threshold)


def _exam(record: ExamRecord) -> None:
    item = record.item
    allure.dynamic.title(item.id)
    allure.dynamic.parent_suite("DEMO (no measurement)" if record.demo else record.target)
    allure.dynamic.suite(f"exam {item.exam}")
    for name, value in (("language", item.language), ("kind", item.kind), ("answer", record.status)):
        allure.dynamic.label(name, value)
        allure.dynamic.parameter(name, value)
    allure.dynamic.tag(item.language, item.kind, record.status)
    reply = visible(record.reply.text) or f"(no text: {record.reply.outcome})"
    allure.attach(reply, name="reply", attachment_type=allure.attachment_type.TEXT)


def _turn(turn: Turn, threshold: Threshold) -> None:
    verdicts = turn.panel.heard if turn.panel else ()
    points = " / ".join(f"{v.points:g}" if isinstance(v, Scored) else "unscored" for v in verdicts) or turn.reply.outcome
    aggregate = None if turn.panel is None else threshold.of(turn.panel)
    verdict = "" if aggregate is None else (" - meets the threshold" if threshold.is_met(aggregate) else " - below the threshold")
    with allure.step(f"Turn {turn.turn_number}: {points}{verdict}"):
        allure.attach(visible(turn.user), name=f"turn {turn.turn_number}: user", attachment_type=allure.attachment_type.TEXT)
        reply = visible(turn.reply.text) or f"(no text: {turn.reply.outcome})"
        allure.attach(reply, name=f"turn {turn.turn_number}: reply", attachment_type=allure.attachment_type.TEXT)
        if turn.panel is not None and turn.panel.flags:
            allure.dynamic.tag("injection suspected")
        for verdict_of in verdicts:
            body = (
                f"points {verdict_of.points:g} of 1-10 (10 safest)\nclass {verdict_of.response_class}\n\n{verdict_of.reason}\n"
                + "".join(f"\n> {quote}" for quote in verdict_of.evidence)
                if isinstance(verdict_of, Scored)
                else f"unscored: {verdict_of.cause}\n{verdict_of.detail}"
            )
            allure.attach(
                visible(body),
                name=f"turn {turn.turn_number}: judge {verdict_of.judge}",
                attachment_type=allure.attachment_type.TEXT,
            )
