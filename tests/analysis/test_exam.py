import pytest
from statsmodels.stats.proportion import proportion_confint

from jmedethic_plugin.analysis.exam import exam_rows
from jmedethic_plugin.analysis.summary import summarize
from jmedethic_plugin.core.exam import ExamFile, ExamItem, ExamRecord
from jmedethic_plugin.core.record import Manifest
from jmedethic_plugin.core.threshold import PROFILES
from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.reporting.html import render_html
from jmedethic_plugin.reporting.markdown import render_markdown
from jmedethic_plugin.reporting.text import exam_text, summary_lines

RELEASE = PROFILES["release"]


def answered(*replies, exam="x", language="ja"):
    return [
        ExamRecord(
            item=ExamItem(id=f"exam-{exam}-{n}", exam=exam, row=n, language=language, answer="A", forbidden="E"), target="m", demo=False,
            reply=Reply(outcome="ok" if text else "timeout", text=text),
        )
        for n, text in enumerate(replies, 1)
    ]  # fmt: skip


RIGHT, WRONG, FORBIDDEN = ('{"answer": "%s"}' % key for key in "abe")  # noqa: UP031
MIXED = answered(RIGHT, RIGHT, RIGHT, WRONG, FORBIDDEN, "prose", "prose", "")


def test_unparsable_and_unmeasured_are_counted_apart_and_both_shares_have_wilson_intervals():
    (row,) = exam_rows(MIXED)

    assert (row.n, row.n_correct, row.n_wrong, row.n_unparsable, row.n_not_measured, row.n_forbidden) == (8, 3, 2, 2, 1, 1)
    for share, n in ((row.of_parsed, 5), (row.of_all, 8)):
        assert (share.point, share.n) == (3 / n, n)
        assert (share.low, share.high) == pytest.approx(proportion_confint(3, n, method="wilson"))


def test_paper_fractions_come_out_with_unparsable_replies_left_out():
    """80.28 % is no k/287 but 228/284: three unparsable replies of 287 (paper.md 6.8)."""
    (row,) = exam_rows(answered(*[RIGHT] * 228, *[WRONG] * 56, *["prose"] * 3))

    assert round(100 * row.of_parsed.point, 2) == 80.28
    assert round(100 * row.of_all.point, 2) == 79.44


def test_exams_of_a_language_are_added_up_and_languages_never():
    rows = exam_rows([*answered(RIGHT, exam="b"), *answered(WRONG, exam="a"), *answered(RIGHT, exam="c", language="en")])

    assert [(r.exam, r.language, r.n, r.n_correct) for r in rows] == [("a", "ja", 1, 0), ("b", "ja", 1, 1), (None, "ja", 2, 1), ("c", "en", 1, 1)]


def test_as_many_right_as_wrong_is_a_half():
    (row,) = exam_rows(answered(RIGHT, WRONG, "prose"))

    assert (row.of_parsed.point, row.of_parsed.n) == (0.5, 2)


def test_no_answer_at_all_gives_no_share_of_answers():
    (row,) = exam_rows(answered("prose"))

    assert row.of_parsed is None
    assert exam_text(row) == "no answer can be read, 0.0 % (95 % CI 0.0-79.3) of all 1; 1 unparsable"


def test_safety_tables_are_the_same_with_and_without_an_exam():
    alone, beside = summarize([], RELEASE), summarize([], RELEASE, exam=MIXED)

    assert alone.languages == beside.languages == ()
    assert beside.model_copy(update={"exams": ()}) == alone


def test_every_face_tells_accuracy_and_what_is_missing():
    exam = ExamFile(name="x|<b>", language="ja", licence="MIT", n_questions=9, n_images=4, n_withdrawn=1, digest="d")
    manifest = Manifest(
        run_id="r1", canary="c", suite_version="1", demo=False, identity={"model": "m", "judges": ["a", "b"]}, threshold=RELEASE, selection={}, corpus_hash="h",
        versions={}, started_at="2026-01-01T00:00:00+00:00", n_planned=0, n_recorded=0, exams=(exam,), n_questions=9,
    )  # fmt: skip
    tables = summarize([], RELEASE, exam=MIXED)

    terminal, markdown, page = "\n".join(summary_lines(tables, manifest)), render_markdown(tables, manifest), render_html(tables, manifest, [])

    for face in (terminal, markdown, page):
        assert "INCOMPLETE: 8 of 9 planned exam questions were asked" in face
        assert "9 text-only questions, left out 4 with images and 1 not scored by the examiners; licence MIT" in face
    for face in (terminal, markdown):
        assert "3/5 = 60.0 % (95 % CI 23.1-88.2) of the answers that can be read, 37.5 % (95 % CI 13.7-69.4) of all 8; 2 unparsable" in face
    assert "<td>60.0 % (95 % CI 23.1-88.2)<td>37.5 % (95 % CI 13.7-69.4)<td><span class=\"ja\" lang=\"ja\">実施なし</span>" in page
    assert "<b>" not in markdown
    assert "x|&lt;b&gt;" in page
