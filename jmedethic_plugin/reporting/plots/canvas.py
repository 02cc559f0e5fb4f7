"""The sheet every figure is drawn on: fonts, colours, title, notes, and files without clock or chance."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from jmedethic_plugin.core.base import CANARY, Language
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.reporting.files import write_atomically
from jmedethic_plugin.reporting.palette import LIGHT
from jmedethic_plugin.reporting.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Marks that are no judgement: Okabe and Ito's (2008) hues, darker where they are text. Safe, violation and the rest are `reporting.palette`'s.
ORANGE, SKY, GREEN, PURPLE = "#E69F00", "#56B4E9", "#00795A", "#A0527F"
BLACK, GREY, SOFT, NAVY = LIGHT["fg"], LIGHT["muted"], LIGHT["line"], LIGHT["accent"]
LANGUAGE_MARKS: dict[Language, dict[str, Any]] = {
    "ja": {"color": NAVY, "marker": "o", "markersize": 7}, "en": {"color": GREEN, "marker": "s", "markersize": 8, "markerfacecolor": "none"},
}  # fmt: skip
"""The English mark is hollow, so that one on top of a Japanese one hides nothing."""
LANGUAGE_TITLES = {"ja": "日本語 Japanese", "en": "英語 English"}
POINTS_AXIS = "点数(10が最も安全) points, 10 safest"

FAMILIES = (
    "Noto Sans CJK JP", "Noto Sans JP", "Source Han Sans JP", "IPAexGothic", "BIZ UDGothic", "Hiragino Sans", "Yu Gothic", "Meiryo",
)  # fmt: skip
"""Looked for among the installed fonts where the one that comes with the extra is not there."""


@cache
def japanese_font() -> str:
    """Family of a font with Japanese glyphs: IPAexGothic from the package ``matplotlib-fontja``, so that figures do not depend on the machine, else an installed one.

    Raises
    ------
    ConfigError
        No matplotlib, or no such font: squares in the place of Japanese are never drawn.
    """
    try:
        from matplotlib import font_manager
    except ModuleNotFoundError as exc:
        raise ConfigError("plots: found no matplotlib; install the extra: pip install 'pytest-jmedethic[plots]'.") from exc
    # Found without being imported: importing it would change the settings of the whole process.
    if (spec := find_spec("matplotlib_fontja")) is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "fonts" / "ipaexg.ttf"
        font_manager.fontManager.addfont(path)
        return font_manager.FontProperties(fname=path).get_name()
    installed = {font.name for font in font_manager.fontManager.ttflist}
    for family in FAMILIES:
        if family in installed:
            return family
    raise ConfigError(
        f"plots: found no font with Japanese glyphs; looked for the package matplotlib-fontja and for {', '.join(FAMILIES)}. "
        "Install the extra: pip install 'pytest-jmedethic[plots]'."
    )


def label(text: str) -> str:
    """A name from outside as the figures can show it: characters that are invisible or not in the font as ``<U+1F600>``."""
    from matplotlib import font_manager

    face = font_manager.get_font(font_manager.findfont(japanese_font()))
    shown = visible(text).replace("\n", " ").replace("\t", " ")
    return "".join(ch if face.get_char_index(ord(ch)) else f"<U+{ord(ch):04X}>" for ch in shown)


@contextmanager
def style() -> Iterator[None]:
    """Settings of every figure, for the time being.

    A glyph that the font lacks is an error.
    """
    family = japanese_font()
    import matplotlib as mpl

    settings: dict[Any, Any] = {
        "font.family": [family], "font.size": 10, "axes.titlesize": 11, "axes.labelsize": 10, "legend.fontsize": 9, "legend.frameon": False,
        "text.color": BLACK, "axes.labelcolor": BLACK, "xtick.color": BLACK, "ytick.color": BLACK, "axes.edgecolor": GREY, "grid.color": LIGHT["panel"],
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True, "axes.unicode_minus": False,
        "text.parse_math": False, "svg.fonttype": "path", "svg.hashsalt": CANARY, "figure.facecolor": "white", "savefig.facecolor": "white",
    }  # fmt: skip
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()  # a matplotlibrc of the machine changes no figure
        mpl.rcParams.update(settings)
        warnings.filterwarnings("error", message="Glyph .* missing from")
        yield


def sheet(title: str, notes: Sequence[str], n_panels: int = 1, *, size: tuple[float, float], demo: bool) -> tuple[Figure, list[Axes]]:
    """A figure with its title above, panels beside each other with one y axis, and what a reader must know of the numbers below.

    Parameters
    ----------
    size
        Inches of one panel.
    demo
        Say in colour that the numbers measure nothing.
    """
    from matplotlib.figure import Figure

    width = size[0] * n_panels
    lines = [line for note in notes for line in _wrapped(note, int(width / _INCHES_A_COLUMN))]
    figure = Figure(figsize=(width, size[1] + _INCHES_A_LINE * len(lines)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)  # type: ignore[union-attr, call-arg]
    axes = figure.subplots(1, n_panels, squeeze=False, sharey=True)
    if demo:
        title += "\nデモ: 測定ではありません  DEMO: measures nothing"
    figure.suptitle(title, x=0.012, ha="left", fontsize=13, linespacing=1.4, color=LIGHT["violation"] if demo else BLACK)
    figure.supxlabel("\n".join(lines), x=0.012, ha="left", fontsize=8, color=GREY, linespacing=1.5)
    return figure, list(axes[0])


_INCHES_A_COLUMN = 0.058
"""Half the width of a Japanese character of the notes, with a reserve: a column of a terminal."""
_INCHES_A_LINE = 0.17


def _wrapped(text: str, columns: int) -> list[str]:
    """Lines of at most so many columns, broken at spaces and between Japanese characters."""
    lines = [""]
    for part in re.findall(r"[!-~]+ ?|.", text):
        if cell_len(lines[-1] + part) > columns:
            lines.append("")
        lines[-1] += part
    return lines


def save(figure: Figure, folder: Path, name: str, title: str) -> list[Path]:
    """``NAME.svg``, its letters as outlines, and ``NAME.png``; both name what they show and carry the canary."""
    written = []
    metadata: dict[str, dict[str, str | None]] = {
        "svg": {"Title": title, "Description": CANARY, "Date": None, "Creator": "jmedethic"},
        "png": {"Title": title, "Description": CANARY, "Software": "jmedethic"},
    }
    for kind, said in metadata.items():
        out = io.BytesIO()
        figure.savefig(out, format=kind, dpi=160, metadata=said)
        written.append(folder / f"{name}.{kind}")
        write_atomically(written[-1], out.getvalue())
    return written
