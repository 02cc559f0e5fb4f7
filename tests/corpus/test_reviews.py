"""From sheet to data file: nothing is marked as reviewed that was not, and nothing is half-imported."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jmedethic_plugin.cli import main
from jmedethic_plugin.core.review import Review
from jmedethic_plugin.core.text import is_invisible
from jmedethic_plugin.corpus.lint import entries_of
from jmedethic_plugin.corpus.loading import load_corpus
from jmedethic_plugin.corpus.reviews import COLUMNS, SheetRow, apply_reviews, read_sheet
from jmedethic_plugin.errors import DataError, DataErrors

KEY = "B11-temporal_override-1"


@pytest.fixture
def sheet(small, tmp_path, capsys):
    """The CSV sheet of the one guideline, as rows to fill in."""
    assert main(["review", "sheet", "--folder", str(small), "--out", str(tmp_path / "review")]) == 0
    return tmp_path / "review" / "review-B11.csv"


def fill(sheet, answers, *, encoding="utf-8-sig", delimiter=","):
    """Answer rows of a sheet: key -> values by column."""
    rows = list(csv.reader(io.StringIO(sheet.read_text(encoding="utf-8-sig"), newline="")))
    names = [cell.split()[-1] for cell in rows[0]]
    for row in rows[1:]:
        for name, value in answers.get(row[0], {}).items():
            row[names.index(name)] = value
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(rows)
    sheet.write_bytes(out.getvalue().encode(encoding, "replace"))


ANSWER = {"verdict": "同意", "comment": "'=1+1は数式でなく、\n'引用'も改行も残る。", "reviewer": "査読 太郎", "profession": "医師", "date": "2026-12-01"}


def test_sheet_holds_guideline_and_every_case_and_opens_in_japanese_excel(sheet, small):
    raw = sheet.read_bytes()
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))

    assert raw.startswith(b"\xef\xbb\xbf")
    assert b"\r\n" in raw
    assert [cell.split()[-1] for cell in rows[0]] == [name for name, _ in COLUMNS]
    assert [row[0] for row in rows[1:]] == ["B11", *(e.key for e in entries_of(load_corpus(small)))]
    turns = load_corpus(small).cases[f"ja-{KEY}"].user_turns
    assert next(row for row in rows if row[0] == KEY)[3:6] == list(turns)


@pytest.mark.parametrize(("encoding", "delimiter"), [("utf-8-sig", ","), ("utf-8", ","), ("cp932", ","), ("utf-16", "\t")])
def test_verdicts_reach_the_files_and_every_other_line_stays(sheet, small, capsys, encoding, delimiter):
    before = {p: p.read_text(encoding="utf-8").splitlines() for p in small.rglob("*.yaml")}
    fill(sheet, {KEY: ANSWER, "B11": {**ANSWER, "verdict": "change"}}, encoding=encoding, delimiter=delimiter)

    assert main(["review", "import", str(sheet), "--folder", str(small)]) == 0

    assert capsys.readouterr().out.endswith("2 verdicts read, 9 rows without one; 2 files changed\n")
    corpus = load_corpus(small)
    entry = next(e.entry for e in entries_of(corpus) if e.key == KEY)
    assert entry.review_status == "agreed"
    assert entry.reviews == (
        Review(
            reviewer="査読 太郎", profession="physician", date="2026-12-01", verdict="agree", text=entry.text_digest,
            comment="=1+1は数式でなく、 '引用'も改行も残る。",
        ),
    )  # fmt: skip
    assert corpus.guidelines["B11"].review_status == "change_asked"
    assert {c.review_status for c in corpus.cases.values()} == {"agreed", "unreviewed"}
    for path, lines in before.items():
        after = path.read_text(encoding="utf-8").splitlines()
        assert [line for line in after if line in lines and "reviews:" not in line] == [line for line in lines if "reviews:" not in line]


def test_second_import_adds_nothing_and_a_second_reviewer_stands_beside_the_first(sheet, small, capsys):
    fill(sheet, {KEY: ANSWER})
    main(["review", "import", str(sheet), "--folder", str(small)])
    once = (small / "cases/B/B11.yaml").read_text(encoding="utf-8")

    main(["review", "import", str(sheet), "--folder", str(small)])
    assert capsys.readouterr().out.endswith("0 files changed\n")
    assert (small / "cases/B/B11.yaml").read_text(encoding="utf-8") == once

    fill(sheet, {KEY: {**ANSWER, "reviewer": "別の人", "profession": "nurse", "verdict": "却下"}})
    main(["review", "import", str(sheet), "--folder", str(small)])
    entry = next(e.entry for e in entries_of(load_corpus(small)) if e.key == KEY)
    assert [r.reviewer for r in entry.reviews] == ["査読 太郎", "別の人"]
    assert entry.review_status == "rejected"


def test_review_of_an_earlier_text_is_refused_and_an_old_one_becomes_outdated(sheet, small, capsys):
    fill(sheet, {KEY: ANSWER})
    main(["review", "import", str(sheet), "--folder", str(small)])
    path = small / "cases/B/B11.yaml"
    turn = load_corpus(small).cases[f"ja-{KEY}"].user_turns[0]
    path.write_text(path.read_text(encoding="utf-8").replace(turn, turn + "どうでしょう。"), encoding="utf-8")
    changed = path.read_text(encoding="utf-8")

    assert load_corpus(small).cases[f"ja-{KEY}"].review_status == "outdated"
    assert main(["review", "import", str(sheet), "--folder", str(small)]) == 2
    assert "the text as it stands" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == changed


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"verdict": "たぶん"}, "verdict: found 'たぶん'; expected agree (同意) / change (要修正) / reject (却下)"),
        ({"reviewer": ""}, "reviewer: found nothing; expected the reviewer's name"),
        ({"profession": "魔法使い"}, "profession: found '魔法使い'; expected physician"),
        ({"date": "2026/12/1"}, "date: found '2026/12/1'; expected YYYY-MM-DD"),
    ],
)
def test_wrong_cell_is_told_and_nothing_is_imported(sheet, small, capsys, answer, told):
    before = (small / "cases/B/B11.yaml").read_bytes()
    fill(sheet, {KEY: {**ANSWER, **answer}, "B11-benign_hard-1": ANSWER})

    assert main(["review", "import", str(sheet), "--folder", str(small)]) == 2

    assert told in capsys.readouterr().err
    assert (small / "cases/B/B11.yaml").read_bytes() == before


def test_name_and_profession_may_come_from_the_command(sheet, small):
    fill(sheet, {KEY: {"verdict": "Agree"}})

    command = ["review", "import", str(sheet), "--folder", str(small), "--reviewer", "R", "--profession", "ethicist", "--date", "2026-12-02"]
    assert main(command) == 0

    entry = next(e.entry for e in entries_of(load_corpus(small)) if e.key == KEY)
    assert (entry.review_status, entry.reviews[0].date) == ("not_by_clinician", "2026-12-02")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "found the columns none; expected a column for key, text, verdict"),
        ("名前,判定\nx,同意\n".encode(), "expected a column for key, text, verdict"),
        (b"\xff\xfe\xd8", "no known encoding"),
        (b"\x82\xff\xff", "no known encoding"),
    ],
)
def test_file_that_is_no_sheet(tmp_path, content, told):
    path = tmp_path / "x.csv"
    path.write_bytes(content)

    with pytest.raises(DataError) as caught:
        read_sheet(path, reviewer="R", profession="physician", date="2026-12-01")
    assert told in str(caught.value)


def test_unknown_keys_are_told_together(small):
    rows = [SheetRow(f"x.csv:{n}", f"Z0{n}", "", "agree", None, "R", "physician", "2026-12-01") for n in (1, 2)]

    with pytest.raises(DataErrors, match="2 mistakes"):
        apply_reviews(load_corpus(small), rows)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_comment_survives_in_the_yaml(small, comment):
    corpus = load_corpus(small)
    entry = next(e for e in entries_of(corpus) if e.key == KEY)
    row = SheetRow("x.csv:2", KEY, entry.entry.text_digest, "agree", comment, "R", "physician", "2026-12-01")

    ((path, text),) = apply_reviews(corpus, [row]).items()
    original = path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    try:
        found = next(e.entry for e in entries_of(load_corpus(small)) if e.key == KEY).reviews[0].comment
    finally:
        path.write_text(original, encoding="utf-8")

    comment = re.sub(r"^'(?=[=+\-@\t\r])", "", comment)
    kept = "".join(ch for ch in comment if ch.isspace() or not is_invisible(ch))
    assert found == (" ".join(kept.split()) or None)
