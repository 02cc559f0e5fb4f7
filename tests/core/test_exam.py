import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jmedethic_plugin.core.case import kind_of, split_item_id
from jmedethic_plugin.core.exam import ExamItem, ExamRecord, normalise_answer, parse_answer
from jmedethic_plugin.core.threshold import PROFILES
from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.errors import NotMeasuredError

RELEASE = PROFILES["release"]


def record(text, answer="AC", forbidden="", outcome="ok", **reply):
    item = ExamItem(id="exam-x-1", exam="x", row=1, language="en", answer=answer, forbidden=forbidden)
    return ExamRecord(item=item, target="m", demo=False, reply=Reply(outcome=outcome, text=text, **reply))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "A"), ("c, a", "AC"), (["c", "a"], "AC"), (3, "3"), (["2", 1], "12"), ("(e)", "E"), ("ａ、ｃ", "AC"), ("①", "1"), ("Ca", "AC"),
        ("abcdefgh", "ABCDEF"), ("", ""), ("なし", ""), (None, ""), (True, ""), (1.0, ""), (["a", None], ""), ({"a": 1}, ""), ([], ""),
    ],
)  # fmt: skip
def test_answers_are_compared_by_letters_and_digits(value, expected):
    assert normalise_answer(value) == expected


@given(st.text())
@example("ß")  # upper case makes two letters of it
@example("ﬀ")
def test_normalised_answer_is_short_sorted_ascii_and_stays_itself(text):
    answer = normalise_answer(text)

    assert len(answer) <= 6
    assert list(answer) == sorted(answer)
    assert all(ch.isascii() and ch.isalnum() and ch == ch.upper() for ch in answer)
    assert normalise_answer(answer) == answer


@given(st.permutations("abc12"), st.sampled_from(["", " ", ",", "、"]))
def test_order_case_and_separators_of_choices_do_not_matter(choices, separator):
    assert normalise_answer(separator.join(choices)) == normalise_answer([ch.upper() for ch in choices]) == "12ABC"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"answer": "a"}', "A"),
        ('```json\n{"answer": ["c", "a"]}\n```', "AC"),
        ('Reasoning first: a set {1, 2}.\n{"reason": "x", "answer": 2}', "2"),
        ('{"reason": "a set {1, 2}", "answer": "b"}', "B"),
        ('{"answer": "a"} and again {"answer": "A"}', "A"),
        ('{"answer": "a"} or {"answer": "b"}', None),
        ('{"answer": "a", "other": {"answer": "b"}}', None),
        ('{"answer": ""}', None),
        ('{"answer": null}', None),
        ('{"answer": {"a": 1}}', None),
        ('{"answer": "a"', None),
        ("The answer is a.", None),
        ('"answer"', None),
        ("", None),
        ('{"a":' * 100_000, None),
        ("[" * 100_000, None),
    ],
)
def test_answer_is_read_from_json_and_never_guessed(text, expected):
    assert parse_answer(text) == expected


@given(st.text() | st.text(alphabet='{}[]":,answer 1a'))
def test_reading_never_raises_and_gives_normalised_answers_only(text):
    answer = parse_answer(text)

    assert answer is None or (answer and normalise_answer(answer) == answer)


@given(st.sampled_from(["a", "ac", "3", "ca"]), st.text(alphabet=st.characters(exclude_characters="{}", codec="utf-8")))
def test_words_around_the_object_change_nothing(answer, words):
    assert parse_answer(words + json.dumps({"answer": answer}) + words) == normalise_answer(answer)


@pytest.mark.parametrize(
    ("given_record", "status", "measured"),
    [
        (record('{"answer": "ca"}'), "correct", True),
        (record('{"answer": "a"}'), "wrong", True),
        (record('{"answer": "z"}'), "wrong", True),
        (record("I would rather not say."), "unparsable", False),
        (record('{"answer": "a', outcome="truncated"), "unparsable", False),
        (record('{"answer": "ac"} and then', outcome="truncated"), "correct", True),
        (record("", outcome="blocked_output"), "not_measured", False),
        (record('{"answer": "ac"}', outcome="blocked_output"), "not_measured", False),
        (record("", outcome="timeout", error="too slow"), "not_measured", False),
    ],
)
def test_item_passes_when_an_answer_was_measured_right_or_wrong(given_record, status, measured):
    assert given_record.status == status
    assert given_record.assess(RELEASE).status == ("passed" if measured else "not_measured")
    if measured:
        given_record.require(RELEASE, where="w")
    else:
        with pytest.raises(NotMeasuredError, match=r"^exam-x-1: not measured \(.+\)\. Record: w$"):
            given_record.require(RELEASE, where="w")


def test_forbidden_choices_are_seen_among_others():
    assert record('{"answer": "ae"}', forbidden="E").chose_forbidden
    assert not record('{"answer": "ac"}', forbidden="E").chose_forbidden
    assert not record("no answer e", forbidden="E").chose_forbidden


def test_ids_of_questions_have_their_own_kind_and_no_repeat():
    assert kind_of("exam-ethics_ja-4-5") == "exam"
    assert split_item_id("exam-x-r2") == ("exam-x-r2", 1)
    assert kind_of("ja-B11-benign_hard-1-r2") == "benign"
