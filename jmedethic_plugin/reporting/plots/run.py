"""Figures of one run: every number is one of its tables', or of `analysis.figures` where tables do not go into such detail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jmedethic_plugin.analysis.figures import PointPair, point_pairs
from jmedethic_plugin.analysis.paper import TurnBox
from jmedethic_plugin.analysis.rates import RateRow
from jmedethic_plugin.analysis.summary import LanguageTable, Tables
from jmedethic_plugin.core.base import Bilingual, Language
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.core.guideline import CATEGORY_TITLES, strategy_order
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.verdict import MAX_POINTS, MIN_POINTS
from jmedethic_plugin.reporting.palette import HEAT, LIGHT, heat_step
from jmedethic_plugin.reporting.plots.canvas import (
    BLACK,
    GREEN,
    GREY,
    LANGUAGE_MARKS,
    LANGUAGE_TITLES,
    NAVY,
    ORANGE,
    POINTS_AXIS,
    SKY,
    SOFT,
    label,
    save,
    sheet,
    style,
)
from jmedethic_plugin.reporting.text import rate_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Shown(NamedTuple):
    """What the figures of a run are drawn from."""

    tables: Tables
    pairs: Mapping[Language, tuple[PointPair, ...]]
    titles: Mapping[str, Bilingual]
    """Of guidelines and strategies, by id."""
    notes: tuple[str, ...]
    """Which run, which threshold."""
    demo: bool


def write_plots(folder: Path, manifest: Manifest, tables: Tables, records: Sequence[CaseRecord]) -> list[Path]:
    """All figures that the run has numbers for, into a folder."""
    written: list[Path] = []
    with style():
        model, run = label(manifest.identity["model"]), label(manifest.run_id)
        notes = [f"対象 target {model}   実行 run {run}   基準 threshold {label(tables.threshold)}"]
        # Never a safety number without its over-refusal number.
        notes += [
            f"{LANGUAGE_TITLES[t.language]}: 安全 safe {rate_text(t.safe)}; 過剰拒否 over-refusal {rate_text(t.over_refusal)}"
            for t in tables.languages
        ]
        notes += [f"注意 {label(banner)}" for banner in manifest.banners]
        pairs = {table.language: point_pairs(records, table.language) for table in tables.languages}
        shown = Shown(tables, pairs, manifest.titles, tuple(notes), manifest.demo)
        folder.mkdir(parents=True, exist_ok=True)
        for name, (title, draw) in FIGURES.items():
            if (figure := draw(title, shown)) is not None:
                written += save(figure, folder, name, title.replace("\n", " / "))
    return written


def draw_boxes(axes: Axes, boxes: Sequence[TurnBox]) -> None:
    """Box plots as in the paper's Figure 4a: whiskers of 1.5 interquartile ranges, orange median, dashed green mean."""
    known = [b for b in boxes if b.median is not None and b.mean is not None]
    axes.bxp(
        [{"q1": b.q1, "med": b.median, "q3": b.q3, "mean": b.mean, "whislo": b.whisker_low, "whishi": b.whisker_high} for b in known],
        positions=[b.turn_number for b in known], widths=0.5, showfliers=False, showmeans=True, meanline=True, patch_artist=True,
        boxprops={"facecolor": LIGHT["panel"], "edgecolor": BLACK}, medianprops={"color": ORANGE, "linewidth": 2.5},
        meanprops={"color": GREEN, "linestyle": "--", "linewidth": 2}, whiskerprops={"color": BLACK}, capprops={"color": BLACK},
    )  # fmt: skip
    for b in known:
        axes.annotate(
            f"{b.median:.2f} / {b.mean:.2f}", (b.turn_number + 0.28, b.median or 0), xytext=(2, 0), textcoords="offset points", fontsize=8, va="center"
        )  # fmt: skip
    ticks = [f"{b.turn_number}\nn = {b.n}\n採点なし {b.n_unscored + b.n_not_judged}" for b in boxes]
    axes.set_xticks([b.turn_number for b in boxes], ticks)
    axes.set_xlim(0.5, len(boxes) + 0.8)
    axes.set_ylim(MIN_POINTS - 0.3, MAX_POINTS + 0.3)
    axes.set_yticks(range(1, 11))
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("ターン turn")


BOX_NOTE = "箱: 四分位、ひげ: 四分位範囲の1.5倍以内、橙: 中央値、緑破線: 平均(数字は 中央値 / 平均)  box quartiles, whiskers 1.5 IQR, orange median, dashed green mean; 単位 unit: ターン turn"


def _turns(title: str, shown: Shown) -> Figure | None:
    found = [table for table in shown.tables.languages if table.safe.n]
    if not found:
        return None
    figure, panels = sheet(title, [BOX_NOTE, *shown.notes], len(found), size=(5.6, 5.0), demo=shown.demo)
    for axes, table in zip(panels, found, strict=True):
        axes.set_title(LANGUAGE_TITLES[table.language], loc="left")
        draw_boxes(axes, [box for box in shown.tables.paper.turns if box.language == table.language])
    panels[0].set_ylabel(POINTS_AXIS)
    return figure


def _heat_map(title: str, shown: Shown) -> Figure | None:
    from matplotlib.patches import Patch

    found = [table for table in shown.tables.languages if table.cells]
    if not found:
        return None
    guidelines = sorted({cell.guideline_id for t in found for cell in t.cells})
    strategies = strategy_order(cell.strategy for t in found for cell in t.cells)
    notes = [
        "数字: 違反のあった会話 / 測定した会話(+は測定なしの数)。斜線: 測定なし、空白: 実施なし  violated / measured conversations, +n not measured; hatched: not measured, blank: not played",
        *shown.notes,
    ]
    size = (3.6 + 0.62 * len(strategies), 3.0 + 0.21 * len(guidelines))
    figure, panels = sheet(title, notes, len(found), size=size, demo=shown.demo)
    for axes, table in zip(panels, found, strict=True):
        _cells(axes, table, guidelines, strategies)
        axes.set_xticks(
            range(len(strategies)), [_title(shown, s) for s in strategies], rotation=40, ha="right", rotation_mode="anchor", fontsize=8
        )
    panels[0].set_yticks(range(len(guidelines)), [f"{g} {_title(shown, g)}" if g in shown.titles else g for g in guidelines], fontsize=7)
    shares = ("0 %", "25 %まで", "50 %まで", "75 %まで", "75 %超")
    handles = [Patch(facecolor=ground, edgecolor=GREY, label=name) for (ground, _), name in zip(HEAT, shares, strict=True)]
    figure.legend(handles=handles, title="違反のあった会話の割合 share violated", loc="outside right upper")
    return figure


def _title(shown: Shown, name: str) -> str:
    """In Japanese; a run of an earlier release has no titles and shows the id."""
    return label(shown.titles[name].ja) if name in shown.titles else name


def _cells(axes: Axes, table: LanguageTable, guidelines: Sequence[str], strategies: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    for cell in table.cells:
        x, y = strategies.index(cell.strategy), guidelines.index(cell.guideline_id)
        n = cell.n - cell.n_not_measured
        ground, ink = HEAT[heat_step(cell.n_violated / n)] if n else ("none", BLACK)
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=ground, edgecolor="white" if n else SOFT, hatch=None if n else "////"))
        more = f"+{cell.n_not_measured}" if cell.n_not_measured else ""
        axes.text(x, y, f"{cell.n_violated}/{n}{more}", ha="center", va="center", fontsize=7, color=ink)
    axes.set_title(LANGUAGE_TITLES[table.language], loc="left")
    axes.set_xlim(-0.5, len(strategies) - 0.5)
    axes.set_ylim(len(guidelines) - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    # A line where a category of guidelines begins.
    for y in range(1, len(guidelines)):
        if guidelines[y][0] != guidelines[y - 1][0]:
            axes.axhline(y - 0.5, color=GREY, linewidth=0.8)


def _cross(axes: Axes, language: Language, x: float | Estimate, y: float | Estimate, name: str | None = None) -> None:
    """A language's mark at a place; an estimate is a share and has its interval."""
    (x_at, x_arms), (y_at, y_arms) = _arms(x), _arms(y)
    axes.errorbar(
        [x_at], [y_at], xerr=x_arms, yerr=y_arms, capsize=4, linestyle="none", label=name, zorder=4, **LANGUAGE_MARKS[language]
    )  # fmt: skip


def _arms(value: float | Estimate) -> tuple[float, list[list[float]] | None]:
    if isinstance(value, float):
        return value, None
    # An interval's end may lie a rounding error on the wrong side of the point.
    return 100 * value.point, [[100 * max(0.0, value.point - value.low)], [100 * max(0.0, value.high - value.point)]]


def _counts(axes: Axes, row: RateRow, language: Language, **place: Any) -> None:
    axes.annotate(
        f"{row.n_yes}/{row.n_yes + row.n_no}", textcoords="offset points", fontsize=8, color=LANGUAGE_MARKS[language]["color"], va="center",
        annotation_clip=False, zorder=5, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1}, **place,
    )  # fmt: skip


def _first_violation(title: str, shown: Shown) -> Figure | None:
    found = [t for t in shown.tables.languages if t.safe.n]
    if not found:
        return None
    notes = [
        "印: そのターンまでに基準を下回った会話の割合、縦線: 95 %区間(指針を単位)、数字: 件数 / 測定した会話  share of conversations below the threshold by that turn, 95 % CI clustered by guideline",
        *shown.notes,
    ]
    figure, (axes,) = sheet(title, notes, size=(8.2, 5.0), demo=shown.demo)
    for k, table in enumerate(found):
        shift = 0.09 * (2 * k - len(found) + 1)
        rows = [
            (p.turn_number + shift, p.violated_by, rate)
            for p in table.progression.first_violation
            if (rate := p.violated_by.rate) is not None
        ]
        axes.plot([x for x, _, _ in rows], [100 * rate.point for _, _, rate in rows], color=LANGUAGE_MARKS[table.language]["color"])
        for n, (x, row, rate) in enumerate(rows):
            _cross(axes, table.language, x, rate, None if n else LANGUAGE_TITLES[table.language])
            side = 1 if shift >= 0 else -1
            _counts(axes, row, table.language, xy=(x, 100 * rate.point), xytext=(9 * side, 0), ha="left" if side > 0 else "right")
    axes.set_xticks([p.turn_number for p in found[0].progression.first_violation])
    axes.set_xlim(0.6, 3.4)
    axes.set_ylim(-3, 103)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("ターン turn")
    axes.set_ylabel("違反に至った会話(%) violated by then, %")
    axes.legend(loc="upper left")
    return figure


def _frontier(title: str, shown: Shown) -> Figure | None:
    found = [t for t in shown.tables.languages if t.over_refusal.rate is not None and t.benign.violation.rate is not None]
    if not found:
        return None
    notes = [
        "十字: 95 %区間(指針を単位)。斜線: J = 1 - 違反率 - 過剰拒否率 が等しい線  crosses: 95 % CI clustered by guideline; diagonals: equal J = 1 - VR - ORR"
    ]
    for t in found:
        v, o, estimate = t.benign.violation, t.over_refusal, t.benign.index.estimate
        index = (
            "" if estimate is None else f"、J(指針ごとの平均) {estimate.point:+.2f}(95 %区間 {estimate.low:+.2f} から {estimate.high:+.2f})"
        )
        notes.append(
            f"{LANGUAGE_TITLES[t.language]}: 違反 VR {v.n_yes}/{v.n_yes + v.n_no}、過剰拒否 ORR {o.n_yes}/{o.n_yes + o.n_no}{index}"
        )
    figure, (axes,) = sheet(title, [*notes, *shown.notes], size=(7.4, 7.2), demo=shown.demo)
    for j in (-0.5, 0.0, 0.5):
        axes.plot([0, 100], [100 * (1 - j), -100 * j], color=SOFT if j else GREY, linestyle="-" if j else "--", linewidth=1.2, zorder=1)
        axes.annotate(
            f"J = {j:+.1f}" if j else "J = 0", (50 * (1 - j), 50 * (1 - j)), xytext=(2, 2), textcoords="offset points", rotation=-45,
            rotation_mode="anchor", fontsize=8, color=GREY, ha="center", va="bottom",
        )  # fmt: skip
    for x, y, text, ha in (
        (0, 0, "理想 ideal", "left"), (100, 0, "すべて拒否 always refuse", "right"), (0, 100, "すべて応諾 always comply", "left"),
    ):  # fmt: skip
        axes.plot([x], [y], marker="D", color=GREY, markersize=7, clip_on=False, zorder=3)
        axes.annotate(
            text, (x, y), xytext=(8 if ha == "left" else -8, 8 if y else -14), textcoords="offset points", ha=ha, fontsize=9, color=GREY
        )
    if len(found) == 2:
        axes.plot(
            [100 * t.over_refusal.rate.point for t in found if t.over_refusal.rate],
            [100 * t.benign.violation.rate.point for t in found if t.benign.violation.rate], color=BLACK, linewidth=1, zorder=2,
        )  # fmt: skip
    for t in found:
        if t.over_refusal.rate is not None and t.benign.violation.rate is not None:
            _cross(axes, t.language, t.over_refusal.rate, t.benign.violation.rate, LANGUAGE_TITLES[t.language])
    axes.set_xlim(-4, 104)
    axes.set_ylim(-8, 108)
    axes.set_aspect("equal")
    axes.set_xlabel("過剰拒否率(%) over-refusal of legitimate questions, %")
    axes.set_ylabel("違反率(%) violation rate, %")
    axes.legend(loc="upper right")
    return figure


def _judges(title: str, shown: Shown) -> Figure | None:
    found = [(t.language, t.judges, pairs) for t in shown.tables.languages if t.judges is not None and (pairs := shown.pairs[t.language])]
    if not found:
        return None
    notes = [
        "点: ターン、大きさ: 件数。実線: 差の平均、破線: 一致の限界(±1.96 SD)、帯: 95 %区間(指針を単位とするブートストラップ)  dots: turns, area: count; line: mean difference, dashed: limits of agreement, bands: 95 % CI",
        "一致は妥当性ではありません  agreement is not validity",
        *shown.notes,
    ]
    figure, panels = sheet(title, notes, len(found), size=(5.8, 5.0), demo=shown.demo)
    most = max(p.n for _, _, pairs in found for p in pairs)
    for axes, (language, a, pairs) in zip(panels, found, strict=True):
        axes.scatter(
            [(p.first + p.second) / 2 for p in pairs], [p.first - p.second for p in pairs], s=[300 * p.n / most for p in pairs],
            color=SKY, edgecolor=NAVY, linewidth=0.6, alpha=0.75, zorder=3,
        )  # fmt: skip
        for line, dashes in ((a.mean_difference, "-"), (a.limit_low, "--"), (a.limit_high, "--")):
            if line is not None:
                axes.axhspan(line.low, line.high, color=ORANGE, alpha=0.18, linewidth=0)
                axes.axhline(line.point, color=BLACK, linestyle=dashes, linewidth=1.4)
                axes.annotate(
                    f"{line.point:+.2f}", (1, line.point), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
                    fontsize=9, va="center", annotation_clip=False,
                )  # fmt: skip
        axes.set_title(f"{LANGUAGE_TITLES[language]}   n = {a.n_complete} ターン turns", loc="left")
        axes.set_xlim(MIN_POINTS - 0.3, MAX_POINTS + 0.3)
        axes.set_xticks(range(1, 11))
        axes.set_xlabel("二つの評価の平均 mean of the two judges")
    panels[0].set_ylabel("第一 - 第二(点) first minus second, points")
    reach = max(abs(p.first - p.second) for _, _, pairs in found for p in pairs) + 1
    panels[0].set_ylim(-reach, reach)
    return figure


def _languages(title: str, shown: Shown) -> Figure | None:
    c = shown.tables.cross_lingual
    if c is None:
        return None
    ja, en = shown.tables.languages
    d = c.difference
    interval = (
        ""
        if d is None
        else f"、安全率の差(日本語 - 英語) {100 * d.point:+.1f} ポイント(95 %区間 {100 * d.low:+.1f} から {100 * d.high:+.1f})"
    )
    notes = [
        f"同じ場面 {c.n} 件: 両方で安全 {c.n_both_safe}、英語でのみ安全 {c.n_only_en}、日本語でのみ安全 {c.n_only_ja}、どちらでも安全でない {c.n_neither}、測定なし {c.n_not_measured}{interval}",
        "横線: 95 %区間(指針を単位)、数字: 安全な会話 / 測定した会話  95 % CI clustered by guideline; safe / measured conversations",
        *shown.notes,
    ]
    names = {name: _title(shown, name) for name in strategy_order(row.name for t in (ja, en) for row in t.by_strategy)} | {
        category: f"{category} {title.ja}" for category, title in CATEGORY_TITLES.items()
    }
    rows: list[tuple[str, dict[Language, RateRow]]] = [("全体 all", {"ja": ja.safe, "en": en.safe})]
    for key, name in names.items():
        found: dict[Language, RateRow] = {t.language: row for t in (ja, en) for row in (*t.by_strategy, *t.by_category) if row.name == key}
        if found:
            rows.append((name, found))
    figure, (axes,) = sheet(title, notes, size=(9.0, 2.6 + 0.42 * len(rows)), demo=shown.demo)
    for y, (_, by_language) in enumerate(rows):
        for language, row in by_language.items():
            if row.rate is not None:
                at = y + (-0.17 if language == "ja" else 0.17)
                _cross(axes, language, row.rate, at, None if y else LANGUAGE_TITLES[language])
                _counts(axes, row, language, xy=(1, at), xycoords=("axes fraction", "data"), xytext=(6, 0))
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-3, 103)
    axes.set_xlabel("安全な会話(%) safe conversations, %")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


FIGURES: dict[str, tuple[str, Callable[[str, Shown], Figure | None]]] = {
    "turns": ("ターンごとの点数\nPoints of each turn, adversarial conversations", _turns),
    "guidelines": ("指針と戦略ごとの違反\nViolated conversations by guideline and strategy", _heat_map),
    "first-violation": ("最初の違反までの経過\nConversations violated by each turn", _first_violation),
    "frontier": ("安全性と過剰拒否\nSafety against over-refusal", _frontier),
    "judges": ("二つの評価モデルの一致(Bland-Altman)\nAgreement of the two judges", _judges),
    "languages": ("日本語と英語\nJapanese beside English, adversarial conversations", _languages),
}
"""By file name: title and what draws it; None where the run has no numbers for it."""
