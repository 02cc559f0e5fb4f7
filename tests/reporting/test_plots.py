"""Figures: the summary's numbers, Japanese that can be read, the same bytes each time."""

from __future__ import annotations

import importlib.util
import json
import xml.etree.ElementTree as ET

import pytest

from jmedethic_plugin.analysis.figures import point_pairs
from jmedethic_plugin.analysis.paper import Conversation
from jmedethic_plugin.analysis.sheet import StudiedModel, StudiedRun
from jmedethic_plugin.analysis.study import RunRow, study_tables
from jmedethic_plugin.analysis.summary import summarize
from jmedethic_plugin.core.base import CANARY
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.reporting.study import render_json

pytest.importorskip("matplotlib", reason="the extra plots is not installed")

from jmedethic_plugin.reporting.plots import canvas, run, study

HOSTILE = "m$x_1$\u202e\U0001f600<b>\n"


@pytest.fixture(scope="module")
def shown(exported):
    pairs = {t.language: point_pairs(exported.records, t.language) for t in exported.tables.languages}
    return run.Shown(exported.tables, pairs, exported.manifest.titles, (), demo=False)


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def draw(name, shown):
    title, function = run.FIGURES[name]
    with canvas.style():
        return function(title, shown)


def test_a_run_has_every_figure_twice_the_same(exported, tmp_path):
    parts = [
        {p.name: p.read_bytes() for p in run.write_plots(tmp_path / part, exported.manifest, exported.tables, exported.records)} for part in ("a", "b")
    ]

    assert parts[0] == parts[1]
    assert set(parts[0]) == {f"{name}.{kind}" for name in run.FIGURES for kind in ("svg", "png")}
    for name, content in parts[0].items():
        assert CANARY.encode() in content, name
        if name.endswith(".svg"):
            assert b"<dc:date>" not in content
            assert not list(ET.fromstring(content).iter("{http://www.w3.org/2000/svg}text")), "letters are outlines: no viewer needs the font"


def test_figures_say_what_the_summary_says(exported, shown):
    tables = exported.tables.languages

    boxes = [f"{row.points.median:.2f} / {row.points.mean:.2f}" for t in tables for row in t.turns]
    assert texts(draw("turns", shown)) == boxes
    cells = [f"{c.n_violated}/{c.n - c.n_not_measured}" + (f"+{c.n_not_measured}" if c.n_not_measured else "") for t in tables for c in t.cells]
    assert texts(draw("guidelines", shown)) == cells
    by = [f"{p.violated_by.n_yes}/{p.violated_by.n_yes + p.violated_by.n_no}" for t in tables for p in t.progression.first_violation]
    assert texts(draw("first-violation", shown)) == by
    limits = [f"{e.point:+.2f}" for t in tables for e in (t.judges.mean_difference, t.judges.limit_low, t.judges.limit_high)]
    assert texts(draw("judges", shown)) == limits
    assert texts(draw("languages", shown))[:2] == [f"{t.safe.n_yes}/{t.safe.n_yes + t.safe.n_no}" for t in tables]
    marks = [line.get_xydata().tolist()[0] for line in draw("frontier", shown).axes[0].lines if line.get_marker() in ("o", "s")]
    assert marks == [[100 * t.over_refusal.rate.point, 100 * t.benign.violation.rate.point] for t in tables]


def test_every_figure_tells_over_refusal_beside_safety(exported, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(run, "save", lambda figure, folder, name, title: drawn.setdefault(name, figure.get_supxlabel()) and [])

    run.write_plots(tmp_path, exported.manifest, exported.tables, exported.records)

    assert set(drawn) == set(run.FIGURES)
    for notes in drawn.values():
        said = notes.replace("\n", "").replace(" ", "")
        for t in exported.tables.languages:
            assert f"安全safe{t.safe.n_yes}/{t.safe.n_yes + t.safe.n_no}=" in said
            assert f"過剰拒否over-refusal{t.over_refusal.n_yes}/{t.over_refusal.n_yes + t.over_refusal.n_no}=" in said


def test_pairs_are_the_turns_of_the_agreement(exported):
    for table in exported.tables.languages:
        assert sum(pair.n for pair in point_pairs(exported.records, table.language)) == table.judges.n_complete


def test_a_run_without_numbers_for_a_figure_has_none(exported, shown):
    records = [r for r in exported.records if r.case.language == "ja" and r.case.kind == "adversarial"]
    alone = shown._replace(tables=summarize(records, exported.manifest.threshold))

    assert [name for name in run.FIGURES if draw(name, alone) is None] == ["frontier", "languages"]


def test_names_from_outside_are_drawn_harmlessly(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "FIGURES", {"turns": run.FIGURES["turns"]})
    manifest = exported.manifest.model_copy(update={"identity": {"model": HOSTILE, "judges": []}, "demo": True, "banners": (HOSTILE,)})

    run.write_plots(tmp_path, manifest, exported.tables, exported.records)

    with canvas.style():
        assert canvas.label(HOSTILE) == "m$x_1$<U+202E><U+1F600><b> "


def test_a_glyph_that_the_font_lacks_is_an_error(tmp_path):
    with canvas.style():
        figure, (axes,) = canvas.sheet("t", [], size=(2.0, 2.0), demo=False)
        axes.set_title("\U0001f600")

        with pytest.raises(UserWarning, match="Glyph 128512"):
            canvas.save(figure, tmp_path, "x", "t")


def test_the_font_has_every_character_of_the_titles(corpus):
    with canvas.style():
        for text in (*(g.title.ja for g in corpus.guidelines.values()), *(s.title.ja for s in corpus.strategies.values())):
            assert canvas.label(text) == text


def test_without_a_japanese_font_nothing_is_drawn(monkeypatch):
    monkeypatch.setattr(canvas, "find_spec", lambda name: None)
    monkeypatch.setattr(canvas, "FAMILIES", ("No Such Font",))

    with pytest.raises(ConfigError, match="no font with Japanese glyphs"):
        canvas.japanese_font.__wrapped__()


def test_the_packaged_font_comes_before_installed_ones():
    if importlib.util.find_spec("matplotlib_fontja") is None:
        pytest.skip("matplotlib-fontja is not installed")

    assert canvas.japanese_font() == "IPAexGothic"


@pytest.fixture(scope="module")
def study_file(exported, tmp_path_factory):
    own = [Conversation.of(record) for record in exported.records]
    models = [
        StudiedModel(id=f"m/{n}", group=group, family="f", size_b=n, exam_accuracy_ja=0.5)
        for n, group in enumerate(("open", "medical", "commercial"), 1)
    ]
    tables = study_tables("s", [RunRow(model="m", id="m", group="open", run="r", state="finished", n_recorded=1, n_planned=1, detail="")], [StudiedRun(m, own) for m in models], demo=False)  # fmt: skip
    path = tmp_path_factory.mktemp("study") / "study.json"
    path.write_text(render_json(tables), encoding="utf-8")
    return path


def test_a_study_has_the_papers_figures_twice_the_same(study_file, tmp_path):
    parts = [
        {p.name: p.read_bytes() for p in study.write_study_plots(tmp_path / part, study.read_study(study_file), with_paper=False)} for part in ("a", "b")
    ]

    assert parts[0] == parts[1]
    assert set(parts[0]) == {f"{name}.{kind}" for name in ("turn-means", "turns", "scale", "helpfulness") for kind in ("svg", "png")}


def test_the_papers_models_stand_in_the_figure_only_when_asked_for(study_file):
    shown = study.read_study(study_file)

    def points(*, with_paper):
        with canvas.style():
            figure = study._helpfulness("t", shown, with_paper=with_paper)
        return len(figure.axes[0].containers), "比較できません" in figure.get_supxlabel()

    assert points(with_paper=False) == (0, False)
    assert points(with_paper=True) == (22, True)


def test_a_studys_boxes_are_those_of_its_file(study_file):
    shown = study.read_study(study_file)
    title, function = study.FIGURES["turns"]
    with canvas.style():
        figure = function(title, shown)
    sheet = next(s for s in json.loads(study_file.read_text(encoding="utf-8"))["sheets"] if s["name"] == "turns")

    expected = [f"{row['median']:.2f} / {row['mean']:.2f}" for row in sheet["rows"] if row["model"] == "all models"]
    assert texts(figure) == expected


@pytest.mark.parametrize("content", ["", "{}", '{"name": "s", "demo": false, "banners": [], "sheets": []}'])
def test_a_broken_study_file_is_named(tmp_path, content):
    (tmp_path / "study.json").write_text(content, encoding="utf-8")

    with pytest.raises(ConfigError, match=r"study\.json: found no readable study"):
        study.read_study(tmp_path / "study.json")
