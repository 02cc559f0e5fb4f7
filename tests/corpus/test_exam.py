import json
from pathlib import Path

import pytest

from jmedethic_plugin.corpus.exam import load_exams
from jmedethic_plugin.errors import DataError, DataErrors

EXAMPLES = Path(__file__).parents[2] / "examples" / "exam"
ROW = {"index": "1", "question": "Which?", "a": "this", "b": "that", "answer": "a"}


@pytest.fixture
def load(tmp_path):
    def load(*rows, name="x.jsonl"):
        path = tmp_path / name
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        (exam,) = load_exams([path])
        return exam

    return load


def test_both_shapes_of_the_sample_are_read():
    ja, en = load_exams([EXAMPLES / "ethics_ja.jsonl", EXAMPLES / "ethics_en.json"])

    assert (ja.file.language, ja.file.n_questions, ja.file.n_images, ja.file.licence) == ("ja", 5, 1, "CC-BY-4.0")
    assert (en.file.language, en.file.n_questions, en.file.n_images) == ("en", 5, 0)
    assert [q.item.id for q in ja.questions] == [f"exam-ethics_ja-{n}" for n in ("1", "2", "3", "4-5", "6")]
    assert [(q.item.answer, q.item.forbidden) for q in ja.questions] == [("A", "E"), ("C", ""), ("AB", ""), ("B", "D"), ("003", "")]
    assert [(q.item.answer, q.item.forbidden) for q in en.questions] == [("1", ""), ("2", "3"), ("12", ""), ("3", ""), ("2", "")]
    assert list(ja.questions[0].options) == list("abcde")
    assert list(en.questions[0].options) == list("1234")
    assert ja.questions[4].options == {}


def test_list_and_lines_and_both_places_of_options_are_the_same_exam(tmp_path, load):
    lines = load(ROW)
    path = tmp_path / "x.json"
    path.write_text("\ufeff" + json.dumps([{"index": 1, "question": "Which?", "options": {"ａ": "this", "b": "that"}, "answer": ["A"]}], indent=2))

    (listed,) = load_exams([path])

    assert listed.file == lines.file


@pytest.mark.parametrize(
    ("row", "images", "withdrawn"),
    [
        ({"text_only": False}, 1, 0), ({"image": "1.png"}, 1, 0), ({"images": ["1.png"]}, 1, 0), ({"images": []}, 0, 0), ({"text_only": True}, 0, 0),
        ({"corrected_question_index": 3, "answer": ""}, 0, 1),
    ],
)  # fmt: skip
def test_questions_with_images_and_withdrawn_ones_are_left_out_and_counted(load, row, images, withdrawn):
    exam = load(ROW, ROW | {"index": 2, "question": "And?"} | row)

    assert (exam.file.n_images, exam.file.n_withdrawn) == (images, withdrawn)
    assert exam.file.n_questions == len(exam.questions) == 2 - images - withdrawn


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"answer": None}, "answer: found None; expected the keys of the right options"),
        ({"answer": ""}, "answer: found ''; expected the keys"),
        ({"answer": True}, "answer: found True; expected the keys"),
        ({"answer": "c"}, "answer: found 'c'; expected keys among a, b"),
        ({"index": None}, "index: found None; expected a number, or text like 12 or 12-13"),
        ({"index": "a b"}, "index: found 'a b'"),
        ({"index": "[1]"}, "index: found '\\[1\\]'"),
        ({"question": " "}, "question: found ' '; expected text"),
        ({"a": 1}, "a: found 1; expected the option's text"),
        ({"a": None}, "options: found one option; expected at least two"),
        ({"options": ["this", "that"]}, "options: found list; expected an object"),
        ({"options": {"first": "x", "b": "y"}}, "options.first: found a key of another kind"),
        ({"kinki": "z"}, "kinki: found 'z'; expected keys among a, b, or nothing"),
        ({"a": None, "b": None}, "answer: found 'a'; expected a number"),
        ({"question": "Which?"}, "question: found the question of row 1 again"),
    ],
)
def test_bad_rows_are_refused_with_row_and_field(load, row, told):
    with pytest.raises(DataError, match=rf"x\.jsonl: row 2: {told}"):
        load(ROW, ROW | {"index": 2, "question": "And?"} | row)


def test_all_bad_rows_are_told_together(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join([json.dumps(ROW), "no json", "", "[]", json.dumps(ROW | {"index": 9, "question": "And?", "answer": None})]))

    with pytest.raises(DataErrors) as caught:
        load_exams([path, tmp_path / "missing.json"])

    assert [str(e).split(": found")[0].replace(str(tmp_path), "") for e in caught.value.errors] == [
        "/x.jsonl: row 2", "/x.jsonl: row 4", "/x.jsonl: row 5: answer", "/missing.json",
    ]  # fmt: skip


def test_index_that_stands_twice_is_told_apart_by_its_row(load):
    exam = load(ROW, ROW | {"question": "And?"}, ROW | {"question": "Or?"})

    assert [q.item.id for q in exam.questions] == ["exam-x-1", "exam-x-1.2", "exam-x-1.3"]


def test_ids_are_plain_ascii_whatever_the_file_is_called(load):
    exam = load(ROW, name="医師_2024 [a].jsonl")

    (question,) = exam.questions
    assert question.item.id.isascii()
    assert not set(question.item.id) & set("[]: ")
    assert exam.file.name == "医師_2024 [a]"


def test_two_exams_of_one_name_are_refused(load, tmp_path):
    load(ROW)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.json").write_text(json.dumps([ROW]))

    with pytest.raises(DataError, match="a second exam of this name"):
        load_exams([tmp_path / "x.jsonl", tmp_path / "other" / "x.json"])


def test_file_without_text_questions_is_refused(load):
    with pytest.raises(DataError, match="no question that is text only"):
        load(ROW | {"text_only": False})


def test_language_is_that_of_most_questions(load):
    ja = [ROW | {"index": n, "question": f"どれか {n}"} for n in range(1, 3)]

    assert load(*ja, ROW | {"index": 3}).file.language == "ja"
    assert load(ja[0], ROW | {"index": 3}, ROW | {"index": 4, "question": "And?"}).file.language == "en"


def test_text_of_a_question_does_not_reach_a_console():
    (exam,) = load_exams([EXAMPLES / "ethics_en.json"])

    assert "informed" not in repr(exam) + str(exam.questions[0])
