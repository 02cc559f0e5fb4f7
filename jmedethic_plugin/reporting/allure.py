"""One case in Allure: labels, a step per turn with points and judges' reasons; and the files that go with a run's results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import allure

from jmedethic_plugin.analysis.summary import Tables
from jmedethic_plugin.core.exam import ExamRecord
from jmedethic_plugin.core.guideline import CATEGORY_TITLES
from jmedethic_plugin.core.record import CaseRecord, Manifest, Record
from jmedethic_plugin.core.threshold import Threshold, ThresholdFailure
from jmedethic_plugin.core.transcript import Outcome, Turn
from jmedethic_plugin.core.verdict import Scored
from jmedethic_plugin.errors import NotMeasuredError
from jmedethic_plugin.reporting.files import write_atomically
from jmedethic_plugin.reporting.text import DEMO_NOTICE, points_text, rate_text, visible

PROVIDER_FAULTS: tuple[Outcome, ...] = (
    "transport_error", "timeout", "rate_limited", "overloaded", "auth_error", "rejected", "served_model_mismatch", "provider_down",
)  # fmt: skip

# Allure 2 wants the whole message matched and puts a result into every category that fits; Allure 3 searches, and the first that fits counts.
CATEGORIES = [
    {"name": name, "matchedStatuses": statuses, "messageRegex": rf"[\s\S]*{pattern}[\s\S]*"}
    for name, statuses, pattern in (
        ("評価への介入の疑い Injection suspected", ["failed", "broken"], "Injection suspected"),
        ("基準未満 Below the threshold", ["failed"], "below the threshold"),
        ("正当な質問の拒否 Over-refusal", ["failed"], "refused a legitimate question"),
        ("提供元の障害 Provider fault", ["broken"], rf"not measured[\s\S]*\b({'|'.join(PROVIDER_FAULTS)})\b"),
        ("測定なし Unscored or not measured", ["broken"], "not measured"),
    )
]


def report_case(record: Record, threshold: Threshold, banners: Sequence[str]) -> None:
    """Write labels, steps and attachments into the running Allure test.

    Parameters
    ----------
    banners
        What the run was allowed against the rules.
    """
    for banner in banners:
        allure.dynamic.tag("exception to the rules")
        _attach("exception to the rules", banner)
    allure.dynamic.title(record.case_id)
    allure.dynamic.parent_suite("DEMO (no measurement)" if record.demo else visible(record.target))
    # Not part of an item's history, which goes on over candidates.
    for name, value in (("target", record.target), ("repeat", str(record.repeat)), ("status", record.assess(threshold).status)):
        allure.dynamic.parameter(name, visible(value), excluded=True)
    if isinstance(record, ExamRecord):
        _exam(record)
    else:
        _case(record, threshold)


def _case(record: CaseRecord, threshold: Threshold) -> None:
    case, title = record.case, CATEGORY_TITLES[record.case.category]
    allure.dynamic.suite(case.guideline_id)
    allure.dynamic.sub_suite(case.group)
    allure.dynamic.epic(f"{case.category} {title.ja} {title.en}")
    allure.dynamic.feature(f"guideline {case.guideline_id}")
    allure.dynamic.story(f"strategy {case.group}" if case.kind == "adversarial" else case.group)
    for name, value in (
        ("category", case.category), ("guideline", case.guideline_id), ("strategy", case.group), ("language", case.language), ("kind", case.kind),
    ):  # fmt: skip
        allure.dynamic.label(name, value)
        allure.dynamic.parameter(name, value)
    allure.dynamic.tag(case.language, case.kind)
    if any(turn.panel is not None and turn.panel.flags for turn in record.turns):
        allure.dynamic.tag("injection suspected")
    allure.dynamic.severity(allure.severity_level.CRITICAL if case.critical else allure.severity_level.NORMAL)
    for turn in record.turns:
        # A step takes its colour from the exception that leaves it; the test's own is `require`'s.
        with suppress(ThresholdFailure, NotMeasuredError):
            _turn(turn, threshold)


def _exam(record: ExamRecord) -> None:
    item = record.item
    allure.dynamic.suite(f"exam {visible(item.exam)}")
    for name, value in (("language", item.language), ("kind", item.kind), ("answer", record.status)):
        allure.dynamic.label(name, value)
        allure.dynamic.parameter(name, value, excluded=name == "answer")
    allure.dynamic.tag(item.language, item.kind, record.status)
    _attach("reply", record.reply.text or f"(no text: {record.reply.outcome})")


def _turn(turn: Turn, threshold: Threshold) -> None:
    aggregate = None if turn.panel is None else threshold.of(turn.panel)
    verdict = "" if aggregate is None else (" - meets the threshold" if threshold.is_met(aggregate) else " - below the threshold")
    with allure.step(f"Turn {turn.turn_number}: {points_text(turn)}{verdict}"):
        _attach(f"turn {turn.turn_number}: user", turn.user)
        _attach(f"turn {turn.turn_number}: reply", turn.reply.text or f"(no text: {turn.reply.outcome})")
        for verdict_of in turn.panel.heard if turn.panel else ():
            body = (
                f"points {verdict_of.points:g} of 1-10 (10 safest)\nclass {verdict_of.response_class}\n\n{verdict_of.reason}\n"
                + "".join(f"\n> {quote}" for quote in verdict_of.evidence)
                if isinstance(verdict_of, Scored)
                else f"unscored: {verdict_of.cause}\n{verdict_of.detail}"
            )
            _attach(f"turn {turn.turn_number}: judge {verdict_of.judge}", body)
        violated = threshold.violated(turn)
        if violated:
            raise ThresholdFailure(f"points (1-10, 10 safest): {points_text(turn)}; required: {threshold}")
        if violated is None:
            raise NotMeasuredError(f"not measured: {points_text(turn)}")


def _attach(name: str, text: str) -> None:
    allure.attach(visible(text), name=visible(name), attachment_type=allure.attachment_type.TEXT)


def write_run_files(folder: Path, tables: Tables, manifest: Manifest, environ: Mapping[str, str]) -> None:
    """Categories, environment with the gate's verdict, and executor, into the folder of the results; for Allure 3 its configuration, too.

    Parameters
    ----------
    environ
        Where the run took place: GitHub's and GitLab's own variables.
    """
    write_atomically(folder / "categories.json", json.dumps(CATEGORIES, ensure_ascii=False, indent=1) + "\n")
    # Allure 3 takes categories from its configuration alone: allure awesome --config allure-results/allurerc.json
    write_atomically(folder / "allurerc.json", json.dumps({"categories": CATEGORIES}, ensure_ascii=False, indent=1) + "\n")
    write_atomically(folder / "environment.properties", "".join(f"{k}={_property(v)}\n" for k, v in _environment(tables, manifest)))
    write_atomically(folder / "executor.json", json.dumps(_executor(manifest, environ), ensure_ascii=False, indent=1) + "\n")


def _environment(tables: Tables, manifest: Manifest) -> list[tuple[str, str]]:
    decision = tables.decision
    gate = "none" if manifest.gate is None else f"{manifest.gate.name}: decided when the parts are merged"
    return [
        *([("demo", DEMO_NOTICE)] if manifest.demo else []),
        *((f"exception_{n}", banner) for n, banner in enumerate(manifest.banners, 1)),
        ("gate", gate if decision is None else f"{decision.gate}: {decision.verdict}"),
        *([] if decision is None else [("gate_hash", decision.gate_hash)]),
        *(row for t in tables.languages for row in ((f"safe_{t.language}", rate_text(t.safe)), (f"over_refusal_{t.language}", rate_text(t.over_refusal)))),
        ("target", str(manifest.identity["model"])), ("judges", ", ".join(map(str, manifest.identity["judges"]))),
        ("threshold", tables.threshold), ("run", manifest.run_id), ("suite_version", manifest.suite_version), ("corpus_hash", manifest.corpus_hash),
        *((f"version_{name}", number) for name, number in sorted(manifest.versions.items())),
    ]  # fmt: skip


def _property(value: str) -> str:
    """Of a Java properties file: one line, ASCII."""
    escaped = visible(value).replace("\\", "\\\\").replace("\n", " ").replace("\t", " ")
    utf16 = escaped.encode("utf-16-be")
    units = (int.from_bytes(utf16[i : i + 2]) for i in range(0, len(utf16), 2))
    return "".join(chr(unit) if unit < 127 else f"\\u{unit:04x}" for unit in units)


def _executor(manifest: Manifest, environ: Mapping[str, str]) -> dict[str, str | int]:
    if environ.get("GITHUB_ACTIONS") == "true":
        url = f"{environ.get('GITHUB_SERVER_URL')}/{environ.get('GITHUB_REPOSITORY')}/actions/runs/{environ.get('GITHUB_RUN_ID')}"
        name, kind, number = "GitHub Actions", "github", environ.get("GITHUB_RUN_NUMBER", "")
    elif environ.get("GITLAB_CI") == "true":
        name, kind, number, url = "GitLab CI", "gitlab", environ.get("CI_PIPELINE_IID", ""), environ.get("CI_PIPELINE_URL", "")
    else:
        return {"name": "JMedEthic", "type": "local", "buildName": manifest.run_id}
    order: dict[str, str | int] = {"buildOrder": int(number)} if number.isdecimal() else {}
    return {"name": name, "type": kind, "buildName": f"{manifest.run_id} #{number}", "buildUrl": url, **order}
