"""What must hold of the ledger in SQLite and in PostgreSQL alike."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.core.base import content_hash
from jmedethic_plugin.core.exam import ExamItem, ExamRecord
from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.transcript import OUTCOMES, REUSABLE_OUTCOMES, Reply
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.ledger.lock import FolderLock
from jmedethic_plugin.ledger.migrations import SCHEMA_VERSION
from jmedethic_plugin.ledger.store import CallRow, Ledger, RecordRow
from tests.conftest import make_turn

KEY, OTHER_KEY = content_hash("k"), content_hash("other")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    return tmp_path / "l.sqlite" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")


@pytest.fixture
def ledger(url):
    ledger = Ledger(url, "run")
    yield ledger
    ledger.close()


def call(key=KEY, reply=None, **values):
    fields = {"repeat": 1, "role": "target", "model": "m", "case_id": "c", "turn_number": 1, "at_utc": "t"} | values
    return CallRow.of(key=key, reply=reply or Reply(outcome="ok", text="x"), **fields)


@pytest.fixture
def record(corpus):
    case = corpus.cases["ja-B11-temporal_override-1"]
    turns = (make_turn(1, (9.0, 8.5)), make_turn(2, (9.0, None)), make_turn(3, (), outcome="blocked_input"))
    return CaseRecord(case=case, target="t", judges=("a", "b"), demo=False, turns=turns)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_only_usable_replies_answer_again(tmp_path, outcome):
    ledger = Ledger(tmp_path / "l.sqlite", "run")
    ledger.add([call(reply=Reply(outcome=outcome, text="x"))])

    assert (ledger.find_reply(KEY) is not None) is (outcome in REUSABLE_OUTCOMES)
    assert ledger.count_calls() == {f"target {outcome}": 1}
    ledger.close()
    ledger = Ledger(tmp_path / "l.sqlite", "run")  # and the same when it is opened again
    assert (ledger.find_reply(KEY) is not None) is (outcome in REUSABLE_OUTCOMES)
    ledger.close()


def test_newest_usable_reply_counts_and_nothing_is_overwritten(url, ledger):
    for text, outcome in (("first", "ok"), ("second", "ok"), ("", "empty")):
        ledger.add([call(reply=Reply(outcome=outcome, text=text))])

    assert ledger.find_reply(KEY).text == "second"
    assert sum(ledger.count_calls().values()) == 3


def test_rows_belong_to_their_run(url, ledger):
    ledger.add([call()])
    other = Ledger(url, "another")

    assert other.find_reply(KEY) is None
    assert other.count_calls() == {}
    other.close()


def test_record_comes_back(url, ledger, record):
    ledger.add([RecordRow(KEY, record, complete=False, at_utc="t")])

    assert list(ledger.records()) == [record]
    assert ledger.find_record(KEY) is None  # a verdict is missing: resuming tries again
    ledger.add([RecordRow(KEY, record, complete=True, at_utc="t")])
    assert ledger.find_record(KEY) == record
    assert list(ledger.records()) == [record]
    assert list(ledger.verdicts("")) == []  # the judges' verdicts stand in the record, the third's too


def test_case_counts_once_however_its_key_came_about(url, ledger, record):
    other = record.model_copy(update={"target": "t2"})
    ledger.add([RecordRow(KEY, record, complete=True, at_utc="t"), RecordRow(content_hash(2), record.model_copy(update={"repeat": 2}), complete=True, at_utc="t")])
    ledger.add([RecordRow(content_hash("another release"), other, complete=True, at_utc="t")])

    assert [(r.target, r.repeat) for r in ledger.records()] == [("t2", 1), ("t", 2)]


def test_exam_records_stand_apart_from_conversations(url, ledger, record):
    item = ExamItem(id="exam-x-1", exam="x", row=1, language="en", answer="A")
    asked = ExamRecord(item=item, target="m", demo=False, reply=Reply(outcome="ok", text="{}"))
    ledger.add([RecordRow(KEY, record, complete=True, at_utc="t"), RecordRow(OTHER_KEY, asked, complete=True, at_utc="t")])

    assert list(ledger.records()) == [record]
    assert ledger.exam_records() == [asked]
    assert ledger.find_record(OTHER_KEY, ExamRecord) == asked
    assert ledger.finished() == {(record.case.id, 1), ("exam-x-1", 1)}
    assert [row.record for row in ledger.rows() if isinstance(row, RecordRow)] == [record, asked]


def test_many_rows_are_one_transaction(url, ledger, record):
    keys = [content_hash(n) for n in range(50)]
    with pytest.raises(Exception, match=r".*"):  # the last row breaks it: then none may stand
        ledger.add([*(call(k) for k in keys), call(content_hash("x"), turn_number=None)])

    assert ledger.count_calls() == {}
    ledger.add([call(k) for k in keys])
    assert all(ledger.find_reply(k) is not None for k in keys)


def test_rows_can_be_carried_into_another_ledger(url, ledger, record, tmp_path):
    ledger.add([call(), RecordRow(KEY, record, complete=True, at_utc="t")])
    copy = Ledger(tmp_path / "copy.sqlite", "run")

    copy.add(list(ledger.rows()))

    assert list(copy.rows()) == list(ledger.rows())
    assert copy.find_record(KEY) == record
    copy.close()


def test_calls_are_on_disk_before_add_returns(tmp_path):
    ledger = Ledger(tmp_path / "l.sqlite", "run")
    ledger.add([call(reply=Reply(outcome="ok", text="日本語"))])

    other = sqlite3.connect(tmp_path / "l.sqlite")  # a second reader, while the first is open
    assert other.execute("select count(*) from calls").fetchone() == (1,)
    other.close()
    ledger.close()


# --- claims ------------------------------------------------------------------------------------


def test_claim_belongs_to_one_owner_until_its_lease_ends(postgresql_url):
    ledger = Ledger(postgresql_url, "claims")

    assert ledger.claim(KEY, "a", now=100, lease_s=10)
    assert ledger.claim(KEY, "a", now=105, lease_s=10)  # one's own again
    assert not ledger.claim(KEY, "b", now=114, lease_s=10)
    ledger.renew("a", now=114, lease_s=10)
    assert not ledger.claim(KEY, "b", now=120, lease_s=10)
    assert ledger.claim(KEY, "b", now=125, lease_s=10)
    assert not ledger.claim(KEY, "a", now=130, lease_s=10)
    ledger.release("b")
    assert ledger.claim(KEY, "a", now=130, lease_s=10)
    ledger.close()


def test_ledger_of_ones_own_knows_no_rivals(tmp_path):
    ledger = Ledger(tmp_path / "l.sqlite", "run")
    assert ledger.claim(KEY, "a", now=0, lease_s=10)
    assert ledger.claim(KEY, "b", now=0, lease_s=10)
    ledger.close()


# --- files that are something else ---------------------------------------------------------------


def test_file_that_is_no_ledger_is_refused(tmp_path):
    (tmp_path / "l.sqlite").write_text("not a database, but long enough to be taken for one by a careless reader" * 20)

    with pytest.raises(ConfigError, match="no usable ledger"):
        Ledger(tmp_path / "l.sqlite", "run")


def test_address_nobody_listens_at_is_told_without_its_password():
    with pytest.raises(ConfigError) as caught:
        Ledger("postgresql+psycopg://someone:secret-word@127.0.0.1:1/nothing", "run")

    assert "no usable ledger" in str(caught.value)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("version", ["99", "new"])
def test_ledger_of_a_later_version_is_refused(tmp_path, version):
    Ledger(tmp_path / "l.sqlite", "run").close()
    connection = sqlite3.connect(tmp_path / "l.sqlite")
    connection.execute("update meta set value = ?", [version])
    connection.commit()
    connection.close()

    with pytest.raises(ConfigError, match=f"schema version 99; this release reads up to version {SCHEMA_VERSION}|no usable ledger"):
        Ledger(tmp_path / "l.sqlite", "run")


def test_ledger_of_version_1_opens_with_everything_in_it(tmp_path):
    path = tmp_path / "l.sqlite"
    shutil.copy(Path(__file__).parent / "data" / "version1.sqlite", path)  # written by the release that had it
    old = sqlite3.connect(path)
    before = old.execute("select key, role, reply_json from calls order by id").fetchall()
    old.close()

    ledger = Ledger(path, "run")

    records = list(ledger.records())
    assert [r.case.id for r in records] == ["ja-B11-sanitized_reproduction-1", "ja-B11-benign_clear-1"]
    assert {r.case.review_status for r in records} == {"unreviewed"}
    assert ledger.count_calls() == {"judge ok": 12, "target ok": 6}
    assert all(ledger.find_reply(key) == Reply.model_validate_json(reply) for key, _, reply in before)
    ledger.close()
    Ledger(path, "run").close()  # and a second time


def test_folder_is_worked_on_by_one(tmp_path):
    lock = FolderLock(tmp_path)
    with pytest.raises(ConfigError, match="another process works on this run"):
        FolderLock(tmp_path)
    lock.release()
    FolderLock(tmp_path).release()


@given(text=st.text(), reasoning=st.none() | st.text())
def test_reply_round_trips(text, reasoning):
    reply = Reply(outcome="ok", text=text, reasoning=reasoning)

    assert Reply.model_validate_json(reply.model_dump_json()) == reply


def test_record_round_trips(record):
    assert CaseRecord.model_validate_json(record.model_dump_json()) == record
