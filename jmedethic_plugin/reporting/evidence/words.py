"""Numbers and facts of a run in Japanese, for readers who are no engineers: counts before percentages (method.md E-31)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from jmedethic_plugin.analysis.comparison import Comparison, Measure
from jmedethic_plugin.analysis.rates import RateRow
from jmedethic_plugin.analysis.summary import Tables
from jmedethic_plugin.core.base import Language
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.core.gate import CriterionName, Status, Verdict
from jmedethic_plugin.core.record import Manifest
from jmedethic_plugin.core.threshold import Threshold
from jmedethic_plugin.reporting.text import percent

LANGUAGES_JA: Mapping[Language, str] = {"ja": "日本語", "en": "英語"}
VERDICTS_JA: Mapping[Verdict, str] = {"PASS": "合格", "FAIL": "不合格", "INCONCLUSIVE": "判定不能"}
STATUSES_JA: Mapping[Status, str] = {"pass": "満たす", "fail": "満たさない", "inconclusive": "判定不能"}
STATUS_CLASSES: Mapping[str, str] = {
    "PASS": "passed", "FAIL": "failed", "INCONCLUSIVE": "not_measured", "pass": "passed", "fail": "failed", "inconclusive": "not_measured",
}  # fmt: skip
CRITERIA_JA: Mapping[CriterionName, str] = {
    "selection": "予定した会話の実施", "coverage": "測定できた割合", "safety": "安全を保った会話の割合", "twins": "正当な相談への過剰な拒否",
    "harmful_on_benign": "正当な相談への有害な回答", "emergencies": "緊急の相談への拒否", "critical": "重大な指針への違反", "must_pass": "必ず合格すべき会話",
    "waivers": "例外の承認", "non_inferiority": "前の版と比べた安全性", "over_refusal_non_inferiority": "前の版と比べた過剰な拒否", "judges": "評価モデルの検定",
    "sentinels": "答えの分かっている回答による監視", "agreement": "二つの評価モデルの一致",
}  # fmt: skip
OUTCOMES_JA: Mapping[str, str] = {
    "ok": "通常の応答", "blocked_input": "入力がフィルターで停止", "blocked_output": "出力がフィルターで停止", "truncated": "途中で切れた応答", "empty": "空の応答",
    "reasoning_only": "思考のみで回答なし", "unexpected_tool_call": "予期しない道具の呼び出し", "transport_error": "通信の失敗", "timeout": "時間切れ", "rate_limited": "頻度の上限",
    "overloaded": "提供者の混雑", "auth_error": "認証の失敗", "rejected": "要求の拒絶", "served_model_mismatch": "別のモデルが応答", "provider_down": "提供者の停止",
    "budget_stop": "費用などの上限で停止", "not_reached": "前のターンで終わり未実施",
}  # fmt: skip


def rate_ja(row: RateRow) -> str:
    """``16会話中15会話(93.8 %、95 %信頼区間 71.7から98.9 %)、測定できず 1会話``."""
    if row.n == 0:
        return "該当する会話なし"
    if row.rate is None:
        return f"{row.n}会話すべて測定できず"
    text = f"{row.n_yes + row.n_no}会話中{row.n_yes}会話({percent(row.rate.point)}、95 %信頼区間 {100 * row.rate.low:.1f}から{100 * row.rate.high:.1f} %)"
    if row.n_not_measured and row.lowest is not None and row.highest is not None:
        text += f"、測定できず {row.n_not_measured}会話(その結果しだいで{100 * row.lowest:.1f}から{100 * row.highest:.1f} %)"
    return text


def compared_ja(comparison: Comparison) -> list[dict[str, str]]:
    """The first pair's rates: name, before, now, difference, n."""
    names: Mapping[Measure, str] = {
        "safe": "安全を保った会話",
        "over_refusal": "過剰な拒否",
        "harmful_on_benign": "正当な相談への有害な回答",
    }

    def share(value: float | None) -> str:
        return "測定できず" if value is None else percent(value)

    def points(e: Estimate | None) -> str:
        return "区間なし" if e is None else f"{100 * e.point + 0.0:+.1f}ポイント({100 * e.low + 0.0:+.1f}から{100 * e.high + 0.0:+.1f})"

    return [
        {
            "name": f"{names[rate.measure]}({LANGUAGES_JA[row.language]})", "before": share(rate.baseline), "now": share(rate.candidate),
            "difference": points(rate.difference), "n": f"{rate.n}会話、測定できた{rate.n_measured}会話",
        }
        for row in comparison.pairs[0].languages
        for rate in row.rates
    ]  # fmt: skip


def threshold_ja(threshold: Threshold) -> str:
    """What every turn must reach."""
    what = {"adjudicated": "裁定後の点数", "mean": "評価モデルの平均点", "min": "低いほうの評価の点数"}[threshold.aggregate]
    filtered = "。提供者のフィルターによる停止は保護とみなす" if threshold.blocked == "safe" else ""
    return f"すべてのターンで{what}が{threshold.bound:g}点{'を超える' if threshold.strict else '以上'}{filtered}(名称 {threshold.profile})"


def deviations_ja(manifest: Manifest, tables: Tables) -> list[str]:
    """What was allowed against the rules, left out or counted otherwise than planned."""
    found = [f"規則からの例外を認めて実行: {banner}" for banner in manifest.banners]
    n, planned = manifest.n_recorded or 0, manifest.n_planned or 0
    if n < planned:
        found.append(f"未完了: 予定した{planned}会話のうち{n}会話のみ実施")
    if manifest.missing_shards:
        found.append(f"分割した実行のうち第{'、第'.join(map(str, manifest.missing_shards))}部を含まない")
    if manifest.shard is not None:
        found.append(f"分割した実行の第{manifest.shard[0]}部({manifest.shard[1]}部のうち)のみ")
    if manifest.n_deselected:
        found.append(f"基準が求める会話のうち{manifest.n_deselected}会話を除外")
    if manifest.sittings and (limit := manifest.sittings[-1].stopped_by):
        # What the gate ends (analysis.curtailment), or a limit of money, calls or time.
        lost = limit.startswith("the gate: ")
        found.append("基準に合格できないことが確定したため、途中で終了" if lost else f"上限({limit})に達したため途中で終了")
    if n_failures := sum(len(s.failures) for s in manifest.sittings):
        found.append(f"会話の外で起きた障害 {n_failures}件")
    if manifest.rejudged_from is not None:
        found.append(f"回答は実行{manifest.rejudged_from}のもので、評価だけをやり直した")
    if not manifest.demo and (unknown := [model for model, family in manifest.families.items() if family is None]):
        found.append(f"系統が不明で、評価モデルの独立性を示せない: {'、'.join(unknown)}")
    if (decision := tables.decision) is not None:
        if not decision.fixed_before:
            found.append("合否の基準が、実行の前に固定されたものではない")
        if decision.pooled:
            found.append(f"同じ候補の以前の実行の会話も合わせて数えた: {'、'.join(decision.pooled)}")
    if manifest.gate is not None:
        if not manifest.gate.approved_by:
            found.append("合否の基準を承認した人の記載がない")
        found += [f"例外の承認: {w.case}、責任者 {w.owner}、理由 {w.reason}、期限 {w.expires}" for w in manifest.gate.waivers]
    return found


def limits_ja(manifest: Manifest, tables: Tables) -> list[str]:
    """What the result does not show."""
    card = manifest.judge_card
    found = [
        "点数は人ではなく言語モデルが付けました。" + (
            "評価モデルの誤りの大きさを調べた検定結果(judge card)は付いていません。" if card is None
            else "評価モデルの検定は、臨床医が付けた正解によるものではありません。" if not card.clinician_labelled
            else "評価モデルは、臨床医が付けた正解で検定されています。"
        ),
        "決まった文面の三回のやり取りだけを試しました。手を変える人や長い会話では、結果はこれより悪くなりえます。",
        "診断や治療の正しさ、分かりやすさ、情報セキュリティ、画像・音声・検索・外部の道具は試していません。",
        "提供者が同じ名前のままモデルやフィルターを変えると、この結果は当てはまらなくなります。",
    ]  # fmt: skip
    if not manifest.selection.get("case_files"):
        found.append("会話文は公開されているため、対象モデルが学習の際に読んでいた可能性を否定できません。")
    if missing := [LANGUAGES_JA[language] for language in LANGUAGES_JA if language not in {t.language for t in tables.languages}]:
        found.append(f"{'、'.join(missing)}では試していません。ある言語の結果は、別の言語の結果の代わりになりません。")
    if manifest.gate is None:
        found.insert(0, "合否の基準がないため、使用してよいかどうかは示していません。")
    return found


def judge_card_ja(manifest: Manifest) -> str:
    """What is known of the judges' own error, in one sentence."""
    card = manifest.judge_card
    if card is None:
        return "検定結果(judge card)の指定なし。評価モデルの誤りの大きさは分かっていません"
    labels = "臨床医が付けた正解による" if card.clinician_labelled else "臨床医が付けた正解ではない"
    faults = f"、不適格の理由 {len(card.faults)}件" if card.faults else ""
    return f"{'不適格' if card.faults else '適格'}({labels}{faults})、{card.created}作成、{card.expires}まで有効"


def public_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured with what, without addresses and without the system prompt's words."""
    prompt = identity.get("system_prompt")
    kept = {k: v for k, v in identity.items() if k not in ("system_prompt", "api_base", "judge_api_base")}
    return kept | {
        "system_prompt_sha256": None if prompt is None else hashlib.sha256(str(prompt).encode("utf-8", "surrogatepass")).hexdigest(), "own_address": identity.get("api_base") is not None,
        "judges_own_address": identity.get("judge_api_base") is not None,
    }  # fmt: skip
