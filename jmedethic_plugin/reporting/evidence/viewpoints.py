"""Our guidelines and criteria beside the ten viewpoints of Japan's AI Safety Institute (method.md E-20).

The assignment is ours. Neither the institute nor a clinician has checked it, and being assigned is not being covered: most viewpoints ask
for more than a test of conversations can show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from jmedethic_plugin.analysis.rates import RateRow
from jmedethic_plugin.analysis.summary import Tables
from jmedethic_plugin.core.base import CANARY, Bilingual, Value
from jmedethic_plugin.core.gate import CriterionName
from jmedethic_plugin.core.guideline import GuidelineId

SOURCE = {
    "title": "AIセーフティに関する評価観点ガイド",
    "publisher": "AIセーフティ・インスティテュート(AISI Japan)",
    "edition": "1.10",
    "date": "2025-03-28",
    "page": "https://aisi.go.jp/2024/09/18/evaluation_perspectives/",
}
"""Names and elements of the viewpoints as aisev quotes them (github.com/Japan-AISI/aisev, backend/dataset/perspective_details)."""

NOTES = (
    "対応付けは本試験の作成者によるもので、AISIの確認も臨床医の確認も受けていない。AISIによる認定や保証ではない。",
    "「ヘルスケア領域におけるAIセーフティ評価観点ガイド」(2026年4月3日公表)の項目との対応付けは、原文を確認していないため行っていない。",
    "重要要素の名は、AI事業者ガイドライン(第1.2版)第2部Cの共通の指針の、はじめの六項目と同じである。",
)


class Viewpoint(Value):
    """A viewpoint and what this test says of it."""

    number: int
    name: Bilingual
    elements: tuple[str, ...]
    """Key elements of AI safety that the guide ties the viewpoint to."""
    tested: Literal["partly", "not_tested"]
    how: str


VIEWPOINTS: tuple[Viewpoint, ...] = (
    Viewpoint(
        number=1, name=Bilingual(ja="有害情報の出力制御", en="Control of toxic output"), elements=("人間中心", "安全性", "公平性"), tested="partly",
        how="医の倫理に反する依頼に、害となる内容を答えるかどうかを試した。医療以外の有害情報は試していない。",
    ),
    Viewpoint(
        number=2, name=Bilingual(ja="偽誤情報の出力・誘導の防止", en="Prevention of misinformation, disinformation and manipulation"),
        elements=("人間中心", "安全性", "透明性"), tested="partly",
        how="虚偽の記録、診断書、広告、説明を作らせる依頼に応じるかどうかを試した。自発的な誤り(ハルシネーション)は試していない。",
    ),
    Viewpoint(
        number=3, name=Bilingual(ja="公平性と包摂性", en="Fairness and inclusion"), elements=("人間中心", "公平性", "透明性"), tested="partly",
        how="差別的な診療や選別に手を貸すかどうかを試した。利用者の属性による応答の違いは試していない。",
    ),
    Viewpoint(
        number=4, name=Bilingual(ja="ハイリスク利用・目的外利用への対処", en="Addressing high-risk and unintended use"), elements=("人間中心", "安全性"), tested="partly",
        how="すべての会話が医療というハイリスク利用での悪用の試みである。正当な相談まで断らないかも同じ実行で測った。",
    ),
    Viewpoint(
        number=5, name=Bilingual(ja="プライバシー保護", en="Privacy protection"), elements=("プライバシー保護",), tested="partly",
        how="守秘に反する依頼に応じるかどうかを試した。学習データや検索先からの個人情報の漏えいは試していない。",
    ),
    Viewpoint(
        number=6, name=Bilingual(ja="セキュリティ確保", en="Ensuring security"), elements=("セキュリティ確保",), tested="not_tested",
        how="対象システムへの攻撃(プロンプトインジェクション、負荷など)は試していない。",
    ),
    Viewpoint(
        number=7, name=Bilingual(ja="説明可能性", en="Explainability"), elements=("透明性",), tested="not_tested", how="応答の根拠の表示は試していない。",
    ),
    Viewpoint(
        number=8, name=Bilingual(ja="ロバスト性", en="Robustness"), elements=("透明性", "安全性"), tested="partly",
        how="七つの戦略で三回にわたり圧力を強める会話に耐えるかを試した。反復と二言語の比較は、実施した場合だけ示す。文字化けや誤入力は試していない。",
    ),
    Viewpoint(
        number=9, name=Bilingual(ja="データ品質", en="Data quality"), elements=("安全性", "公平性", "透明性"), tested="not_tested",
        how="対象システムの学習データや検索データは調べていない。試験に使った会話文の由来と確認状況は証拠資料に示す。",
    ),
    Viewpoint(
        number=10, name=Bilingual(ja="検証可能性", en="Verifiability"), elements=("透明性",), tested="partly",
        how="この試験そのものは、記録から第三者が再計算できる。対象システムの開発と運用の記録は調べていない。",
    ),
)  # fmt: skip

EVERY_GUIDELINE = (4, 8)
"""Viewpoints that every conversation of the set bears on: misuse in medicine, under pressure that grows over the turns."""

_GUIDELINES: Mapping[int, str] = {
    1: "A08 B13 B19 B20 B21 C02 C03 C04 C06 D05 E04 F05 G05 G10 H03 H07",
    2: "A04 B02 B05 B10 B14 B15 B16 B17 D01 D04 F01 F02 G01 G02 G06 G07 G09 H01 H04 H05",
    3: "A06 B11 B18 C06 D03 D04 E03 F05 G03 G04 G10 H03",
    5: "B06 B08 B09 E01 E02 F03 G03 G08 H06",
}
"""Viewpoints that some guidelines bear on besides."""

CRITERIA: Mapping[CriterionName, tuple[int, ...]] = {
    "safety": (4, 8), "critical": (1, 4), "must_pass": (4, 8), "harmful_on_benign": (1, 4), "emergencies": (4,), "non_inferiority": (8,), "selection": (10,),
    "coverage": (10,), "judges": (10,), "sentinels": (10,), "agreement": (10,), "waivers": (10,),
    # No viewpoint asks for it; without it a system that refuses everything would look best.
    "twins": (), "over_refusal_non_inferiority": (),
}  # fmt: skip


def viewpoints_of(guideline: GuidelineId) -> tuple[int, ...]:
    """Numbers of the viewpoints a guideline bears on."""
    return tuple(sorted({*EVERY_GUIDELINE, *(number for number, ids in _GUIDELINES.items() if guideline in ids.split())}))


def viewpoints_file(tables: Tables, titles: Mapping[str, str]) -> dict[str, Any]:
    """The mapping with this run's counts.

    Parameters
    ----------
    titles
        Of the guidelines, by id, as far as they are known.
    """
    rows = {
        name: {t.language: _counts(row) for t in tables.languages for row in t.by_guideline if row.name == name}
        for name in sorted({row.name for t in tables.languages for row in t.by_guideline})
    }
    criteria = () if tables.decision is None else tables.decision.criteria
    return {
        "format": "jmedethic/aisi-viewpoints@1",
        "canary": CANARY,
        "source": SOURCE,
        "notes": list(NOTES),
        "viewpoints": [
            v.model_dump(mode="json") | {"guidelines": [name for name in rows if v.number in viewpoints_of(name)]} for v in VIEWPOINTS
        ],
        "guidelines": [
            {"id": name, "title": titles.get(name), "viewpoints": list(viewpoints_of(name)), "safe_conversations": counts}
            for name, counts in rows.items()
        ],
        "criteria": [
            {"name": c.name, "language": c.language, "status": c.status, "viewpoints": list(CRITERIA[c.name])} for c in criteria
        ],
    }  # fmt: skip


def _counts(row: RateRow) -> dict[str, int]:
    return {"n": row.n, "safe": row.n_yes, "violated": row.n_no, "not_measured": row.n_not_measured}
