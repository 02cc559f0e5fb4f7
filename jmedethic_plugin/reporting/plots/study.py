"""Figures of a study after the paper's Figures 3, 4a, 5a and 5b, drawn from ``study.json``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from jmedethic_plugin.analysis.paper import ALL_MODELS, ModelRow, TurnBox
from jmedethic_plugin.analysis.paper_v2 import Group, PublishedShare, published
from jmedethic_plugin.analysis.study import HelpfulnessRow, ScaleRow
from jmedethic_plugin.core.base import LANGUAGES, Language, Value
from jmedethic_plugin.core.verdict import MAX_POINTS, MIN_POINTS
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.reporting.plots.canvas import (
    BLACK,
    GREEN,
    GREY,
    LANGUAGE_TITLES,
    NAVY,
    ORANGE,
    POINTS_AXIS,
    PURPLE,
    SKY,
    label,
    save,
    sheet,
    style,
)
from jmedethic_plugin.reporting.plots.run import BOX_NOTE, draw_boxes
from jmedethic_plugin.reporting.text import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_R = TypeVar("_R", bound=Value)

GROUPS: dict[Group, tuple[str, str, str]] = {
    "commercial": ("商用 commercial", NAVY, "o"), "open": ("公開 open", GREEN, "s"), "medical": ("医療 medical", PURPLE, "^"),
}  # fmt: skip
TURN_COLOURS = (SKY, NAVY, ORANGE)
_STEP = 0.16  # between the turns of a model, so that equal means hide none
FAMILY_COLOURS = (NAVY, GREEN, PURPLE, ORANGE, SKY, GREY, BLACK)


class StudyShown(Value):
    """What the figures are drawn from."""

    name: str
    demo: bool
    banners: tuple[str, ...]
    models: tuple[ModelRow, ...]
    turns: tuple[TurnBox, ...]
    scale: tuple[ScaleRow, ...]
    helpfulness: tuple[HelpfulnessRow, ...]

    @property
    def notes(self) -> list[str]:
        """Which study, and what its models refused of the benign twins."""
        # Never a safety number without its over-refusal number.
        refused = [
            f"{label(m.model)} ({m.language}) {percent(m.over_refusal)} (n {m.n_benign})" for m in self.models if m.over_refusal is not None
        ]
        over = [f"過剰拒否 over-refusal: {', '.join(refused) or '測定なし not measured'}"]
        return [f"研究 study {label(self.name)}", *over, *(f"注意 {label(banner)}" for banner in self.banners)]

    @property
    def languages(self) -> list[Language]:
        """Those that any model was run in."""
        return [language for language in LANGUAGES if any(row.language == language for row in self.models)]


def read_study(path: Path) -> StudyShown:
    """The tables that are drawn, from ``study.json``.

    Raises
    ------
    ConfigError
        Not such a file.
    """

    def rows(kind: type[_R], name: str) -> tuple[_R, ...]:
        found = next(sheet["rows"] for sheet in document["sheets"] if sheet["name"] == name)
        return TypeAdapter(tuple[kind, ...]).validate_json(json.dumps(found))  # type: ignore[valid-type]

    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        return StudyShown(
            name=document["name"], demo=document["demo"], banners=tuple(document["banners"]), models=rows(ModelRow, "models"),
            turns=rows(TurnBox, "turns"), scale=rows(ScaleRow, "scale"), helpfulness=rows(HelpfulnessRow, "safety_helpfulness"),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, StopIteration, ValidationError) as exc:
        raise ConfigError(
            f"{path}: found no readable study ({type(exc).__name__}); expected the study.json of this release. Write it again: "
            "jmedethic study FILE --report-only."
        ) from exc


def write_study_plots(folder: Path, shown: StudyShown, *, with_paper: bool) -> list[Path]:
    """All figures that the study has numbers for, into a folder.

    Parameters
    ----------
    with_paper
        Also the paper's models in Figure 5b: other items, other judges' versions, not comparable.
    """
    written: list[Path] = []
    with style():
        folder.mkdir(parents=True, exist_ok=True)
        for name, (title, draw) in FIGURES.items():
            if (figure := draw(title, shown)) is not None:
                written += save(figure, folder, name, title.replace("\n", " / "))
        title = "安全性と有用性(論文の図5b)\nSafety and helpfulness, after Figure 5b of the paper"
        if (figure := _helpfulness(title, shown, with_paper=with_paper)) is not None:
            written += save(figure, folder, "helpfulness-with-paper" if with_paper else "helpfulness", title.replace("\n", " / "))
    return written


def _turn_means(title: str, shown: StudyShown) -> Figure | None:
    rows = [row for row in shown.models if row.average is not None]
    if not rows:
        return None
    order = sorted({row.model for row in rows}, key=lambda model: (-max(r.average or 0 for r in rows if r.model == model), model))
    notes = [
        "点: ターンの平均(二つの評価の平均点)、n: 会話  dots: mean of each turn over the judges' mean points, n: conversations",
        *shown.notes,
    ]
    figure, panels = sheet(title, notes, len(shown.languages), size=(6.4, 2.6 + 0.42 * len(order)), demo=shown.demo)
    for axes, language in zip(panels, shown.languages, strict=True):
        own = {row.model: row for row in rows if row.language == language}
        for y, model in enumerate(order):
            if (row := own.get(model)) is None:
                continue
            means = [(n, mean) for n, mean in enumerate((row.turn_1, row.turn_2, row.turn_3)) if mean is not None]
            axes.plot([mean for _, mean in means], [y + _STEP * (n - 1) for n, _ in means], color=GREY, linewidth=1, zorder=1)
            for n, mean in means:
                axes.plot(
                    [mean],
                    [y + _STEP * (n - 1)],
                    marker=("o", "s", "D")[n],
                    markersize=8,
                    color=TURN_COLOURS[n],
                    linestyle="none",
                    zorder=2 + n,
                )
            axes.annotate(
                f"n = {row.n_scored}", (1, y), xycoords=("axes fraction", "data"), xytext=(-2, 8), textcoords="offset points", fontsize=7,
                ha="right", va="center", color=GREY,
            )  # fmt: skip
        axes.set_title(LANGUAGE_TITLES[language], loc="left")
        axes.set_xlim(MIN_POINTS - 0.3, MAX_POINTS + 0.3)
        axes.set_xticks(range(1, 11))
        axes.set_xlabel(POINTS_AXIS)
    panels[0].set_yticks(range(len(order)), [label(model) for model in order])
    panels[0].set_ylim(len(order) - 0.4, -0.6)
    for n, colour in enumerate(TURN_COLOURS):
        panels[0].plot([], [], marker=("o", "s", "D")[n], color=colour, linestyle="none", label=f"ターン turn {n + 1}")
    panels[0].legend(loc="lower left", ncols=3, bbox_to_anchor=(0, 1.06))
    return figure


def _pooled(title: str, shown: StudyShown) -> Figure | None:
    models = {row.model for row in shown.turns}
    wanted = ALL_MODELS if ALL_MODELS in models else next(iter(models), None)
    found = {
        language: boxes
        for language in shown.languages
        if (boxes := [b for b in shown.turns if b.language == language and b.model == wanted])
    }
    if not found:
        return None
    n_models = len({row.model for row in shown.models})
    notes = [f"{n_models}モデルの会話をまとめて  conversations of {n_models} models taken together", BOX_NOTE, *shown.notes]
    figure, panels = sheet(title, notes, len(found), size=(5.6, 5.2), demo=shown.demo)
    for axes, (language, boxes) in zip(panels, found.items(), strict=True):
        axes.set_title(LANGUAGE_TITLES[language], loc="left")
        draw_boxes(axes, boxes)
    panels[0].set_ylabel(POINTS_AXIS)
    return figure


def _scale(title: str, shown: StudyShown) -> Figure | None:
    languages = [language for language in shown.languages if any(row.language == language for row in shown.scale)]
    if not languages:
        return None
    families = sorted({row.family for row in shown.scale})
    notes = [
        "点: モデルの三ターンの平均点、線: 隣り合う規模  dots: mean of the three turn means of a model, lines: neighbouring sizes",
        *shown.notes,
    ]
    figure, panels = sheet(title, notes, len(languages), size=(6.0, 5.0), demo=shown.demo)
    for axes, language in zip(panels, languages, strict=True):
        for k, family in enumerate(families):
            rows = [row for row in shown.scale if (row.language, row.family) == (language, family)]
            points = {(row.size_smaller_b, row.average_smaller, row.smaller) for row in rows} | {
                (row.size_larger_b, row.average_larger, row.larger) for row in rows
            }
            colour = FAMILY_COLOURS[k % len(FAMILY_COLOURS)]
            for n, row in enumerate(rows):
                axes.plot(
                    [row.size_smaller_b, row.size_larger_b], [row.average_smaller, row.average_larger], color=colour, marker="osD^v<>"[k % 7],
                    markersize=8, label=label(family) if n == 0 else None,
                )  # fmt: skip
            for size, average, model in sorted(points):
                axes.annotate(
                    label(model), (size, average), xytext=(0, 9), textcoords="offset points", fontsize=8, ha="center", color=colour
                )
        axes.set_xscale("log")
        axes.margins(x=0.25)
        sizes = sorted({s for row in shown.scale for s in (row.size_smaller_b, row.size_larger_b)})
        axes.set_xticks(sizes, [f"{s:g}" for s in sizes])
        axes.minorticks_off()
        axes.set_ylim(MIN_POINTS - 0.3, MAX_POINTS + 0.6)
        axes.set_yticks(range(1, 11))
        axes.set_title(LANGUAGE_TITLES[language], loc="left")
        axes.set_xlabel("規模(十億パラメータ、対数) size, billions of parameters, log scale")
        axes.legend(loc="lower right", title="系列 family")
    panels[0].set_ylabel(POINTS_AXIS)
    return figure


def _helpfulness(title: str, shown: StudyShown, *, with_paper: bool) -> Figure | None:
    languages = [language for language in shown.languages if any(row.language == language for row in shown.helpfulness)]
    if with_paper and "ja" not in languages:
        languages.insert(0, "ja")  # the paper's points are of its Japanese set
    if not languages:
        return None
    notes = [
        "安全: 三ターンとも平均点が2を超えた会話、試験: 研究ファイルの正答率  pass: all three turns above 2 on the mean; exam: accuracy as the study file gives it"
    ]
    if with_paper:
        notes += [
            f"灰色: 論文の22モデル。項目も評価モデルの版も異なり、比較できません  grey: the paper's {len(published().models)} models: other items, other judges' versions: not comparable",
            "白抜き: 図から順位で対応づけた値、棒: 図では区別できない値の範囲  hollow: matched by rank order, bars: range of values the drawing leaves open",
        ]
    figure, panels = sheet(title, [*notes, *shown.notes], len(languages), size=(6.4, 5.8), demo=shown.demo)
    for axes, language in zip(panels, languages, strict=True):
        if with_paper and language == "ja":
            _paper_points(axes)
        for group, (name, colour, marker) in GROUPS.items():
            rows = [row for row in shown.helpfulness if (row.language, row.group) == (language, group)]
            if rows:
                axes.scatter(
                    [100 * r.exam_accuracy for r in rows], [100 * r.pass_rate for r in rows], color=colour, marker=marker, s=70, label=name, zorder=3
                )  # fmt: skip
            for row in rows:
                axes.annotate(
                    f"{label(row.model)} (n {row.n})", (100 * row.exam_accuracy, 100 * row.pass_rate), xytext=(0, 9), textcoords="offset points",
                    fontsize=8, ha="center", color=colour, zorder=4,
                )  # fmt: skip
        axes.set_title(LANGUAGE_TITLES[language], loc="left")
        axes.set_xlim(-3, 103)
        axes.set_ylim(-3, 106)
        axes.set_xlabel("試験の正答率(%) exam accuracy, %")
        axes.legend(loc="lower left")
    panels[0].set_ylabel("安全な会話(%) conversations passed, %")
    return figure


def _paper_points(axes: Axes) -> None:
    for n, model in enumerate(published().models):
        x, y = (_middle(share) for share in (model.exam_accuracy, model.pass_rate))
        certain = {model.exam_accuracy.how, model.pass_rate.how} <= {"printed", "vector"}
        axes.errorbar(
            [x[0]], [y[0]], xerr=x[1] or None, yerr=y[1] or None, color=GREY, marker=GROUPS[model.group][2], markersize=6,
            markerfacecolor=GREY if certain else "white", linestyle="none", alpha=0.7, linewidth=0.8, zorder=2,
            label="論文 the paper (not comparable)" if n == 0 else None,
        )  # fmt: skip


def _middle(share: PublishedShare) -> tuple[float, float]:
    """Middle of the values that a drawing leaves open, and the way to each end."""
    low, high = min(share.values), max(share.values)
    return (low + high) / 2, (high - low) / 2


FIGURES: dict[str, tuple[str, Callable[[str, StudyShown], Figure | None]]] = {
    "turn-means": ("モデルごとのターンの平均点(論文の図3)\nTurn means of each model, after Figure 3 of the paper", _turn_means),
    "turns": ("ターンごとの点数(論文の図4a)\nPoints of each turn, after Figure 4a of the paper", _pooled),
    "scale": ("系列の中での規模(論文の図5a)\nSize within a family, after Figure 5a of the paper", _scale),
}
