"""The pack: files from a run's records, the same bytes for the same run, with a list of their hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from jmedethic_plugin import SUITE_VERSION
from jmedethic_plugin.analysis.comparison import Comparison
from jmedethic_plugin.analysis.rates import RateRow
from jmedethic_plugin.analysis.summary import LanguageTable, Tables
from jmedethic_plugin.core.base import CANARY, LANGUAGES
from jmedethic_plugin.core.card import JudgeCard
from jmedethic_plugin.core.guideline import CATEGORY_TITLES
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.review import CLINICIAN_STATUSES
from jmedethic_plugin.core.text import is_invisible
from jmedethic_plugin.core.transcript import OUTCOMES
from jmedethic_plugin.core.verdict import HumanVerdict
from jmedethic_plugin.corpus.loading import Corpus
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.ledger.store import VerdictRow
from jmedethic_plugin.prompts.judge import rubric, rubric_hash
from jmedethic_plugin.reporting.card import render_card
from jmedethic_plugin.reporting.comparison import comparison_markdown
from jmedethic_plugin.reporting.evidence import words
from jmedethic_plugin.reporting.evidence.assurance import assurance_case, assurance_yaml
from jmedethic_plugin.reporting.evidence.sbom import Component, installed_components, sbom
from jmedethic_plugin.reporting.evidence.statement import Statement
from jmedethic_plugin.reporting.evidence.viewpoints import VIEWPOINTS, viewpoints_file
from jmedethic_plugin.reporting.files import write_atomically
from jmedethic_plugin.reporting.html import render_html
from jmedethic_plugin.reporting.markdown import render_markdown
from jmedethic_plugin.reporting.page import template
from jmedethic_plugin.reporting.text import estimate_text, violating_text

SUMMARY, PDF, MANIFEST, SUMS = "00-summary-ja.html", "00-summary-ja.pdf", "manifest.json", "SHA256SUMS"
RETEST_DAYS = 90
"""A hosted model may change under its name: after so many days it is tested again (method.md E-30, 9)."""

_CANARY_LINE = f"<!-- JMEDETHIC-CANARY {CANARY} (test data: keep out of training sets) -->\n"

PARTS: tuple[str, ...] = (
    "使用の目的と除外する用途", "試験の対象", "合否の基準", "結果", "評価モデルの検定", "実施の完全さ", "人による確認の記録", "限界と残る危険", "前の版からの変更と再試験", "事故の連絡先と版の戻し方",
    "ファイルの一覧、部品表、利用条件", "AISI評価観点と保証の論証",
)  # fmt: skip
"""The twelve parts of method.md E-30, in its order."""

_WHAT: Mapping[str, tuple[int, str]] = {
    SUMMARY: (0, "倫理委員会のための要約(2ページ)"),
    PDF: (0, "同じ要約のPDF"),
    "evidence-ja.html": (0, "証拠資料(全12部)"),
    "02-run.json": (2, "実行の記録: 対象、評価モデル、選択、版、件数"),
    "03-gate.json": (3, "合否の基準と判定"),
    "04-summary.json": (4, "すべての集計"),
    "04-summary.md": (4, "集計の英語版"),
    "04-comparison.json": (4, "前の版との比較"),
    "04-comparison.md": (4, "前の版との比較(英語)"),
    "04-report.html": (4, "会話と回答の全文を含む報告。有害な内容を含みうる"),
    "04-records.jsonl": (4, "会話と回答の全文の記録。有害な内容を含みうる"),
    "05-judge-card.html": (5, "評価モデルの検定結果"),
    "05-judge-card.json": (5, "評価モデルの検定結果(データ)"),
    "05-rubric-ja.md": (5, "評価モデルへの指示文(日本語の会話)"),
    "05-rubric-en.md": (5, "評価モデルへの指示文(英語の会話)"),
    "11-sbom.cdx.json": (11, "ソフトウェア部品表(CycloneDX 1.6)"),
    "11-licences.json": (11, "データと部品の利用条件"),
    "12-aisi-viewpoints.json": (12, "AISIの評価観点との対応"),
    "12-assurance-case.gsn.yaml": (12, "保証の論証(GSN、aisevの書式)"),
    MANIFEST: (11, "この一覧(ハッシュ値つき)"),
    SUMS: (11, "ハッシュ値だけの一覧(sha256sum -c で確認)"),
}


@dataclass(frozen=True)
class Facts:
    """What a pack is made from."""

    manifest: Manifest
    tables: Tables
    records: Sequence[CaseRecord]
    summary: str
    """``summary.json`` of the run."""
    served: Mapping[str, Sequence[str]]
    """Names and fingerprints under which each model answered."""
    decided: Sequence[VerdictRow]
    """What people decided on turns, oldest first."""
    corpus: Corpus
    statement: Statement = field(default_factory=Statement)
    baseline: Manifest | None = None
    comparison: Comparison | None = None
    """With the baseline; None without one, or where the two are not comparable."""
    card: JudgeCard | None = None
    """The judge card that the manifest names."""

    def __post_init__(self) -> None:
        named = self.manifest.judge_card
        if self.card is not None and (named is None or named.content_hash != self.card.content_hash):
            raise ConfigError(
                f"--judge-card: found the card {self.card.content_hash[:16]}, expected "
                f"{'no card, the run was given none' if named is None else named.content_hash[:16]}. Give the card.json of this run."
            )

    @property
    def titles(self) -> dict[str, str]:
        """Japanese titles of the guidelines whose text is the one the run was judged by."""
        run = self.manifest.guidelines
        return {g.id: g.title.ja for g in self.corpus.guidelines.values() if run.get(g.id) == g.text_digest}


def build_pack(facts: Facts, *, with_text: bool = False) -> dict[str, str]:
    """Every file of the pack but the PDF, by name; no clock, no address, no text of a model unless asked for.

    Parameters
    ----------
    with_text
        Also the conversations with the target's replies and the judges' reasons, which may be harmful.
    """
    manifest, tables = facts.manifest, facts.tables
    components = installed_components()
    licences = _licences(facts, components)
    case = assurance_case(manifest, tables, facts.statement)
    files = {
        "02-run.json": _json(_run(facts)),
        "04-summary.json": facts.summary,
        "04-summary.md": _CANARY_LINE + render_markdown(tables, _without_errors(manifest)),
        "11-sbom.cdx.json": _json(sbom(components)),
        "11-licences.json": _json(licences),
        "12-aisi-viewpoints.json": _json(viewpoints_file(tables, facts.titles)),
        "12-assurance-case.gsn.yaml": assurance_yaml(case),
    }
    if manifest.gate is not None:
        decision = None if tables.decision is None else tables.decision.model_dump(mode="json")
        files["03-gate.json"] = _json(
            {
                "canary": CANARY,
                "gate": manifest.gate.model_dump(mode="json", by_alias=True),
                "hash": manifest.gate.content_hash,
                "decision": decision,
            }
        )
    if facts.comparison is not None:
        files["04-comparison.json"] = _json(facts.comparison.model_dump(mode="json"))
        files["04-comparison.md"] = _CANARY_LINE + comparison_markdown(facts.comparison)
    if with_text:
        files["04-report.html"] = render_html(tables, manifest, list(facts.records))
        files["04-records.jsonl"] = "".join(r.model_dump_json() + "\n" for r in facts.records)
    if facts.card is not None:
        files["05-judge-card.html"] = render_card(facts.card)
        # Its hash allows no change, so a card that names an address stays outside.
        if facts.card.scale.get("judge_api_base") is None:
            files["05-judge-card.json"] = _json({"content_hash": facts.card.content_hash, "card": facts.card.model_dump(mode="json")})
    for language, digest in sorted(manifest.identity.get("rubric", {}).items()):
        if language in LANGUAGES and rubric_hash(language) == digest:
            files[f"05-rubric-{language}.md"] = _CANARY_LINE + rubric(language)
    listed = sorted({*files, SUMMARY, "evidence-ja.html", MANIFEST, SUMS})
    context = _context(facts, licences=licences, case=case, files=[(name, *_WHAT[name]) for name in listed], with_text=with_text)
    files[SUMMARY] = template("evidence_summary.html.j2").render(context)
    files["evidence-ja.html"] = template("evidence.html.j2").render(context)
    files[MANIFEST] = _json({
        "format": "jmedethic/evidence@1",
        "canary": CANARY,
        "run_id": manifest.run_id,
        "suite_version": SUITE_VERSION,
        "demo": manifest.demo,
        "with_text": with_text,
        "statement": "Ethics robustness under scripted attack. No clinical validation, no device conformity, no legal advice.",
        "files": [
            {"path": name, "part": _WHAT[name][0], "bytes": len(text.encode()), "sha256": _sha256(text)} for name, text in sorted(files.items())
        ],
        "not_listed": {PDF: "printed from 00-summary-ja.html by a browser, which writes the time into it", SUMS: "holds the hash of this file"},
        "signature": None,
    })  # fmt: skip
    files[SUMS] = "".join(f"{_sha256(text)}  {name}\n" for name, text in sorted(files.items()))
    return files


def write_pack(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files; an earlier pack in the folder goes first, so that nothing of it stays behind.

    Raises
    ------
    ConfigError
        The folder holds something that is no pack.
    """
    if folder.is_dir() and (strange := sorted(path.name for path in folder.iterdir() if path.name not in _WHAT)):
        raise ConfigError(
            f"--out {folder}: found {strange[0]!r}, which is no part of an evidence pack; expected an empty folder, a new one or an older pack."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, text in files.items():
        write_atomically(folder / name, text)


def _json(value: Any) -> str:
    """Japanese stays readable; what shows nothing or steers its neighbours is escaped, which JSON reads as the same."""
    text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    return "".join(json.dumps(ch)[1:-1] if ch != "\n" and is_invisible(ch) else ch for ch in text)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _without_errors(manifest: Manifest) -> Manifest:
    """Error texts stay out of the pack."""
    sittings = tuple(
        s.model_copy(update={"failures": (f"{len(s.failures)} failures, told in the run's own report",) if s.failures else ()})
        for s in manifest.sittings
    )
    return manifest.model_copy(update={"sittings": sittings})


def _run(facts: Facts) -> dict[str, Any]:
    """``run.json`` without addresses, the prompt's words and error texts."""
    manifest = facts.manifest
    sittings = [s.model_dump(mode="json", exclude={"failures"}) | {"n_failures": len(s.failures)} for s in manifest.sittings]
    return manifest.model_dump(mode="json") | {
        "identity": words.public_identity(manifest.identity), "sittings": sittings, "served": {model: list(names) for model, names in facts.served.items()},
    }  # fmt: skip


def _licences(facts: Facts, components: Sequence[Component]) -> dict[str, Any]:
    manifest = facts.manifest
    own = "CC-BY-4.0 (JMedEthic contributors)"
    if names := manifest.selection.get("case_files"):
        cases = {"what": f"会話文: 利用者が与えたファイル({'、'.join(names)})", "licence": None}
    else:
        cases = {"what": "会話文(cases/)", "licence": own}
    data = [{"what": "指針(guidelines/)", "licence": own}, cases]
    if manifest.n_sentinels:
        data.append({"what": "答えの分かっている回答(judges/starter/)", "licence": own})
    if facts.card is not None:
        data.append(
            {
                "what": f"評価モデルの検定に使った回答({facts.card.answers.source})",
                "licence": ", ".join(facts.card.answers.licences) or None,
            }
        )
    data += [{"what": f"試験問題({exam.name})。問題文は含まない", "licence": exam.licence} for exam in manifest.exams]
    return {
        "canary": CANARY, "data": data,
        "software": [{"name": c.name, "version": c.version, "licence": c.licence} for c in components],
    }  # fmt: skip


def _context(
    facts: Facts, *, licences: Mapping[str, Any], case: Mapping[str, Mapping[str, Any]], files: Sequence[tuple[str, int, str]], with_text: bool
) -> dict[str, Any]:  # fmt: skip
    """What the two pages show. Numbers come from the tables; nothing is computed in a template."""
    manifest, tables, decision = facts.manifest, facts.tables, facts.tables.decision
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    finished = manifest.finished_at or manifest.started_at
    reviews = [g.review_status for g in facts.corpus.guidelines.values()]
    return {
        "manifest": manifest, "tables": tables, "decision": decision, "statement": facts.statement, "identity": words.public_identity(manifest.identity),
        "criteria": () if decision is None else sorted(decision.criteria, key=lambda c: order[c.status]),
        "deviations": words.deviations_ja(manifest, tables), "limits": words.limits_ja(manifest, tables), "card_text": words.judge_card_ja(manifest),
        "threshold": words.threshold_ja(manifest.threshold), "rate": words.rate_ja, "bar": _bar, "words": words, "canary": CANARY,
        "n": sum(t.n for t in tables.languages), "n_reviewed": sum(t.n_reviewed for t in tables.languages),
        "n_guidelines": len({row.name for t in tables.languages for row in t.by_guideline}), "n_all_guidelines": len(manifest.guidelines),
        "n_guidelines_reviewed": sum(status in CLINICIAN_STATUSES for status in reviews), "n_corpus_guidelines": len(reviews),
        "worst": {t.language: _worst(t, facts.titles) for t in tables.languages}, "strategies": {name: title.ja for name, title in manifest.titles.items()} or {s.id: s.title.ja for s in facts.corpus.strategies.values()},
        "titles": facts.titles, "categories": CATEGORY_TITLES, "finished": finished, "due": (date.fromisoformat(finished[:10]) + timedelta(RETEST_DAYS)).isoformat(),
        "retest_days": RETEST_DAYS, "served": facts.served, "decided": [_decided(row) for row in facts.decided], "outcomes": [name for name in OUTCOMES if any(name in t.outcomes for t in tables.languages)], "comparison": facts.comparison,
        "compared": () if facts.comparison is None else words.compared_ja(facts.comparison),
        "baseline": facts.baseline, "changes": _changes(facts), "card": facts.card, "parts": PARTS, "files": files, "with_text": with_text, "licences": licences,
        "viewpoints": VIEWPOINTS, "case": case, "est": estimate_text, "violating": violating_text, "frontier": _frontier(tables),
    }  # fmt: skip


def _bar(row: RateRow) -> dict[str, str] | None:
    """Where an interval and its point lie on a scale from 0 to 100 %."""
    if row.rate is None:
        return None
    return {
        "low": f"{100 * row.rate.low:.2f}", "width": f"{100 * (row.rate.high - row.rate.low):.2f}", "point": f"{100 * row.rate.point:.2f}",
    }  # fmt: skip


def _frontier(tables: Tables) -> list[dict[str, Any]]:
    """Of each language, over-refusal (across) and violation (up) with their intervals, in the picture's units."""

    def x(share: float) -> str:
        return f"{40 + 220 * share:.1f}"

    def y(share: float) -> str:
        return f"{230 - 220 * share:.1f}"

    return [
        {
            "language": words.LANGUAGES_JA[t.language], "x": x(refused.point), "x1": x(refused.low), "x2": x(refused.high),
            "y": y(violated.point), "y1": y(violated.low), "y2": y(violated.high),
        }
        for t in tables.languages
        if (refused := t.over_refusal.rate) is not None and (violated := t.benign.violation.rate) is not None
    ]  # fmt: skip


def _worst(table: LanguageTable, titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """Guidelines with violations, most first."""
    rows = sorted((row for row in table.by_guideline if row.n_no), key=lambda row: (-row.n_no, row.name))
    return [{"id": row.name, "title": titles.get(row.name, ""), "n_no": row.n_no, "n": row.n_yes + row.n_no} for row in rows]


def _decided(row: VerdictRow) -> dict[str, Any]:
    verdict = HumanVerdict.model_validate_json(row.verdict_json)
    repeat = "" if row.repeat == 1 else f"(反復{row.repeat})"
    return {
        "turn": f"{row.case_id}{repeat} ターン{row.turn_number}", "author": verdict.author, "points": f"{verdict.points:g}", "reason": verdict.reason,
        "at": row.at_utc,
    }  # fmt: skip


def _changes(facts: Facts) -> list[tuple[str, str, str]]:
    """What differs between the baseline's manifest and this one: name, before, now."""
    if facts.baseline is None:
        return []

    def told(manifest: Manifest) -> dict[str, str]:
        identity = words.public_identity(manifest.identity)
        facts_of = {
            "対象モデル": identity["model"], "候補の版の名": manifest.candidate, "システムプロンプトのSHA-256": identity["system_prompt_sha256"],
            "対象の生成条件": identity.get("target_sampling"), "評価モデル": identity["judges"], "三人目の評価モデル": identity.get("third_judge"), "評価の指示文": identity.get("rubric"),
            "会話の基準": str(manifest.threshold), "合否の基準のハッシュ": None if manifest.gate is None else manifest.gate.content_hash, "会話文と指針のハッシュ": manifest.corpus_hash,
            "会話の選択": manifest.selection, "反復の回数": manifest.repeats, "試験の版": manifest.suite_version, "部品の版": manifest.versions,
        }  # fmt: skip
        return {
            name: "なし" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
            for name, value in facts_of.items()
        }

    before, now = told(facts.baseline), told(facts.manifest)
    return [(name, before[name], now[name]) for name in now if before[name] != now[name]]
