"""SARIF for code scanning, an Inspect log for ``inspect view``, and a folder that Hugging Face ``datasets`` loads."""

from __future__ import annotations

import json
from typing import Any

from jmedethic_plugin import __version__
from jmedethic_plugin.analysis.rates import Judged, RateRow
from jmedethic_plugin.core.base import CANARY, LANGUAGES, content_hash
from jmedethic_plugin.core.case import item_id
from jmedethic_plugin.core.guideline import CATEGORY_TITLES
from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.transcript import Turn
from jmedethic_plugin.core.verdict import Scored
from jmedethic_plugin.reporting.export.rows import Exported
from jmedethic_plugin.reporting.text import DEMO_NOTICE, NOT_CLINICAL, markdown_cell, rate_text

Files = dict[str, str | bytes]


def render_jsonl(exported: Exported) -> Files:
    """``records.jsonl``, by ``schemas/record.schema.json``."""
    return {"records.jsonl": "".join(record.model_dump_json() + "\n" for record in exported.records)}


def _json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _figures(exported: Exported) -> dict[str, Any]:
    """What every document says of the whole run; rates as in ``summary.json``."""
    decision = exported.tables.decision
    return {
        "run_id": exported.manifest.run_id, "demo": exported.manifest.demo, "banners": list(exported.manifest.banners),
        "threshold": exported.tables.threshold, "gate": None if decision is None else decision.verdict, "canary": CANARY, "redacted": exported.redacted,
        "rates": {
            f"{name}_{table.language}": row.model_dump(mode="json")
            for table in exported.tables.languages
            for name, row in (("safe", table.safe), ("over_refusal", table.over_refusal))
        },
    }  # fmt: skip


def render_sarif(exported: Exported) -> Files:
    """``jmedethic.sarif`` (SARIF 2.1.0): one result for each violating conversation, one rule for each guideline. No text of a conversation is in it."""
    threshold = exported.manifest.threshold
    violating = [j for r in exported.records if (j := Judged(r, threshold)).result.finding == "violation"]
    guidelines = sorted({(j.record.case.guideline_id, j.record.case.category) for j in violating})
    rules = [
        {
            "id": guideline, "name": f"Guideline{guideline}",
            "shortDescription": {"text": f"{guideline} {title.ja} / {title.en}"},
            "help": {"text": f"What the guideline requires: guidelines/{category}/{guideline}.yaml of pytest-jmedethic."},
        }
        for guideline, category in guidelines
        for title in (exported.manifest.titles.get(guideline, CATEGORY_TITLES[category]),)
    ]  # fmt: skip
    index = {guideline: n for n, (guideline, _) in enumerate(guidelines)}
    run = {
        "tool": {"driver": {"name": "jmedethic", "semanticVersion": __version__, "rules": rules}},
        "automationDetails": {"id": f"jmedethic/{exported.manifest.run_id}"}, "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(exported, j, index) for j in violating], "properties": _figures(exported),
    }  # fmt: skip
    return {"jmedethic.sarif": _json({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]})}


def _sarif_result(exported: Exported, judged: Judged, index: dict[str, int]) -> dict[str, Any]:
    record, case, turn = judged.record, judged.record.case, judged.result.turn_number
    item = item_id(case.id, record.repeat)
    points = [exported.manifest.threshold.of(t.panel) for t in record.turns if t.turn_number == turn and t.panel is not None]
    # GitHub shows a result only where it has a place in a file; of another set than the repository's cases none is known.
    file = {"uri": f"cases/{case.category}/{case.guideline_id}.yaml", "uriBaseId": "%SRCROOT%"}
    place = (
        {}
        if exported.manifest.selection.get("case_files")
        else {"physicalLocation": {"artifactLocation": file, "region": {"startLine": 1}}}
    )
    demo = "[demo, no measurement] " if record.demo else ""
    return {
        "ruleId": case.guideline_id, "ruleIndex": index[case.guideline_id], "level": "error" if case.critical else "warning",
        "message": {"text": f"{demo}{item}: turn {turn} below the threshold ({exported.tables.threshold})"},
        "locations": [place | {"logicalLocations": [{"name": item, "kind": "resource"}]}],
        "partialFingerprints": {"jmedethicItem/v1": content_hash([item, record.target])},
        "properties": {
            "item": item, "language": case.language, "kind": case.kind, "group": case.group, "critical": case.critical, "turn": turn,
            "points": points[0] if points else None, "target": record.target, "demo": record.demo,
        },
    }  # fmt: skip


def render_inspect(exported: Exported) -> Files:
    """A log of Inspect (UK AISI), version 2 of its format, which ``inspect view`` opens; Inspect itself is not needed.

    A conversation that was not measured has no score: there it would count as a failure or as a zero.
    """
    manifest = exported.manifest
    log_id = content_hash(manifest.run_id)[:22]
    task = "jmedethic-demo" if manifest.demo else "jmedethic"  # what the viewer shows largest
    samples = [_sample(exported, record) for record in exported.records]
    versions = {name: version for name, version in manifest.versions.items() if version != "not installed"}
    document = {
        "version": 2, "status": "success" if manifest.complete else "cancelled",
        "eval": {
            "eval_id": log_id, "run_id": log_id, "created": manifest.started_at, "task": task, "task_id": log_id,
            "task_version": manifest.suite_version, "task_display_name": f"JMedEthic {manifest.run_id}",
            "dataset": {"name": "jmedethic", "samples": len({r.case.id for r in exported.records}), "shuffled": False},
            "model": manifest.identity["model"], "config": {"epochs": manifest.repeats}, "packages": versions, "metadata": _figures(exported),
        },
        "plan": {"name": "three fixed user turns", "steps": []},
        "results": {"total_samples": manifest.n_planned or len(samples), "completed_samples": len(samples), "scores": _eval_scores(exported)},
        "stats": {"started_at": manifest.started_at, "completed_at": manifest.finished_at or ""},
        "samples": samples,
    }  # fmt: skip
    stamp = manifest.started_at.replace(":", "-")
    return {f"{stamp}_{task}_{log_id}.json": _json(document)}


def _eval_scores(exported: Exported) -> list[dict[str, Any]]:
    rows = [
        (name, table.language, row)
        for table in exported.tables.languages
        for name, row in (("safe", table.safe), ("answered", table.over_refusal))
        if row.rate is not None
    ]
    return [
        {
            "name": name, "scorer": name, "params": {}, "scored_samples": sum(r.n_yes + r.n_no for n, _, r in rows if n == name),
            "unscored_samples": sum(r.n_not_measured for n, _, r in rows if n == name),
            "metrics": {
                f"{metric}_{language}": {"name": f"{metric}_{language}", "value": value, "params": {}}
                for n, language, row in rows
                if n == name
                for metric, value in _metrics("rate" if name == "safe" else "over_refusal", row)
            },
        }
        for name in ("safe", "answered")
        if any(n == name for n, _, _ in rows)
    ]  # fmt: skip


def _metrics(name: str, row: RateRow) -> list[tuple[str, float]]:
    return (
        []
        if row.rate is None
        else [(name, row.rate.point), (f"{name}_low", row.rate.low), (f"{name}_high", row.rate.high), ("n", row.n_yes + row.n_no)]
    )


def _sample(exported: Exported, record: CaseRecord) -> dict[str, Any]:
    case, judged = record.case, Judged(record, exported.manifest.threshold)
    messages = [m for turn in record.turns for m in _messages(record, turn)]
    what, good = (
        ("safe", judged.safe) if case.kind == "adversarial" else ("answered", None if judged.refused is None else not judged.refused)
    )
    explanation = "\n\n".join(_told(exported, turn) for turn in record.turns)
    return {
        "id": case.id, "epoch": record.repeat, "input": record.turns[0].user, "target": case.acceptable, "messages": messages,
        "output": {
            "model": record.target, "choices": [{"message": m, "stop_reason": "stop"} for m in messages[-1:]],
            "completion": messages[-1]["content"] if messages else "",
        },
        "scores": {} if good is None else {what: {"value": "C" if good else "I", "explanation": explanation}},
        "metadata": {
            "status": judged.result.status, "finding": judged.result.finding, "missing": list(judged.result.missing), "language": case.language,
            "kind": case.kind, "guideline": case.guideline_id, "group": case.group, "critical": case.critical, "emergency": case.emergency,
            "turns": [{"outcome": t.reply.outcome, "points": exported.manifest.threshold.of(t.panel) if t.panel else None} for t in record.turns],
            "judges": explanation, "canary": CANARY,
        },
        "turn_count": len(record.turns),
    }  # fmt: skip


def _messages(record: CaseRecord, turn: Turn) -> list[dict[str, Any]]:
    name = f"{item_id(record.case.id, record.repeat)}-{turn.turn_number}"
    said: dict[str, Any] = {
        "id": f"{name}-reply",
        "role": "assistant",
        "content": turn.reply.text,
        "model": record.target,
        "source": "generate",
    }
    if turn.reply.outcome != "ok":
        said["metadata"] = {"outcome": turn.reply.outcome}
    return [{"id": f"{name}-user", "role": "user", "content": turn.user, "source": "input"}, said]


def _told(exported: Exported, turn: Turn) -> str:
    """A turn's points and what each judge said."""
    points = None if turn.panel is None else exported.manifest.threshold.of(turn.panel)
    lines = [f"turn {turn.turn_number}: {turn.reply.outcome}, points {'none' if points is None else f'{points:g}'} (1-10, 10 safest)"]
    for v in turn.panel.heard if turn.panel else ():
        lines.append(
            f"{v.judge}: {v.points:g} {v.response_class}: {v.reason}" if isinstance(v, Scored) else f"{v.judge}: unscored, {v.cause}"
        )
    if turn.panel is not None and (human := turn.panel.human) is not None:
        lines.append(f"{human.author}: {human.points:g}: {human.reason}")
    return "\n".join(lines)


def render_hf(exported: Exported) -> Files:
    """``README.md``, a dataset card to be completed, and ``data/LANGUAGE.jsonl``, a conversation a line."""
    found: Files = {"README.md": _card(exported)}
    for language in LANGUAGES:
        if records := [r for r in exported.records if r.case.language == language]:
            found[f"data/{language}.jsonl"] = "".join(json.dumps(_line(exported, r), ensure_ascii=False) + "\n" for r in records)
    return found


def _line(exported: Exported, record: CaseRecord) -> dict[str, Any]:
    case, judged = record.case, Judged(record, exported.manifest.threshold)
    return {
        "id": item_id(case.id, record.repeat), "language": case.language, "kind": case.kind, "category": case.category, "guideline": case.guideline_id,
        "group": case.group, "critical": case.critical, "request": case.request, "violating": case.violating, "acceptable": case.acceptable,
        "target": record.target, "demo": record.demo, "status": judged.result.status, "finding": judged.result.finding,
        "messages": [{"role": role, "content": text} for t in record.turns for role, text in (("user", t.user), ("assistant", t.reply.text))],
        "outcomes": [t.reply.outcome for t in record.turns],
        "points": [exported.manifest.threshold.of(t.panel) if t.panel else None for t in record.turns],
        "judge_points": [[v.points if isinstance(v, Scored) else None for v in t.panel.heard] if t.panel else [] for t in record.turns],
        "canary": CANARY,
    }  # fmt: skip


def _card(exported: Exported) -> str:
    manifest, own = exported.manifest, not exported.manifest.selection.get("case_files")
    languages = [table.language for table in exported.tables.languages]
    licence = (
        "User turns, requests and descriptions are the cases of pytest-jmedethic, CC BY 4.0 (credit: JMedEthic authors)."
        if own
        else "User turns, requests and descriptions come from a case set of the run's own; state its licence here before publishing."
    )
    front = [
        "---", f"pretty_name: {json.dumps(f'JMedEthic run {manifest.run_id}', ensure_ascii=False)}", f"license: {'cc-by-4.0' if own else 'other'}",
        "language:", *(f"- {language}" for language in languages), "tags:", "- medical", "- safety", "- evaluation", "- not-for-training", "configs:",
        *(line for language in languages for line in (f"- config_name: {language}", "  data_files:", "  - split: test", f"    path: data/{language}.jsonl")),
        "---",
    ]  # fmt: skip
    warning = [f"**{DEMO_NOTICE}**", ""] if manifest.demo else []
    what = (
        f"{len(exported.records)} three-turn conversations in medical ethics with {markdown_cell(manifest.identity['model'])}, each reply scored by "
        f"{' and '.join(map(markdown_cell, manifest.identity['judges']))} (points 1-10, 10 safest). Threshold: {markdown_cell(exported.tables.threshold)}."
    )
    use = (
        f"For evaluation, never for training; every line carries the canary {CANARY}. "
        f"{'Texts are left out, each replaced by its length and hash.' if exported.redacted else 'Replies may be harmful: gate access before publishing.'}"
    )
    owners = (
        "Replies are outputs of the model above and reasons those of the judges: the terms of their providers hold, this licence does not."
    )
    rates = [
        f"- {t.language}: safe {rate_text(t.safe)}; over-refusal of benign twins {rate_text(t.over_refusal)}"
        for t in exported.tables.languages
    ]
    lines = [
        *front, f"<!-- JMEDETHIC-CANARY {CANARY} (test data: keep out of training sets) -->", f"# JMedEthic run {markdown_cell(manifest.run_id)}", "",
        *warning, what, "", *rates, "", "## Licence", "", licence, owners, "", "## Use", "", use, "", NOT_CLINICAL, "",
    ]  # fmt: skip
    return "\n".join(lines)
