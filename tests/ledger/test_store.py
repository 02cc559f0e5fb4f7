import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.transcript import OUTCOMES, REUSABLE_OUTCOMES, Reply
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.ledger.store import Ledger


def add(ledger, key, reply):
    ledger.add_call(key=key, role="target", model="m", case_id="c", turn_number=1, reply=reply, at_utc="t")


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_only_usable_replies_answer_again(tmp_path, outcome):
    ledger = Ledger(tmp_path / "l.sqlite")
    add(ledger, "k", Reply(outcome=outcome, text="x"))

    assert (ledger.find_reply("k") is not None) is (outcome in REUSABLE_OUTCOMES)
    assert ledger.count_calls() == {f"target {outcome}": 1}
    ledger.close()


def test_calls_are_on_disk_before_add_returns(tmp_path):
    ledger = Ledger(tmp_path / "l.sqlite")
    add(ledger, "k", Reply(outcome="ok", text="日本語"))

    other = sqlite3.connect(tmp_path / "l.sqlite")  # a second reader, while the first is open
    assert other.execute("select count(*) from calls").fetchone() == (1,)
    other.close()
    ledger.close()


def test_file_that_is_no_ledger_is_refused(tmp_path):
    (tmp_path / "l.sqlite").write_text("not a database, but long enough to be taken for one by a careless reader" * 20)

    with pytest.raises(ConfigError, match="no usable ledger"):
        Ledger(tmp_path / "l.sqlite")


def test_ledger_of_another_version_is_refused(tmp_path):
    Ledger(tmp_path / "l.sqlite").close()
    connection = sqlite3.connect(tmp_path / "l.sqlite")
    connection.execute("update meta set value = '99'")
    connection.commit()
    connection.close()

    with pytest.raises(ConfigError, match="schema version 99; this release reads version 1"):
        Ledger(tmp_path / "l.sqlite")


@given(text=st.text(), reasoning=st.none() | st.text())
def test_reply_round_trips(text, reasoning):
    reply = Reply(outcome="ok", text=text, reasoning=reasoning)

    assert Reply.model_validate_json(reply.model_dump_json()) == reply


def test_record_round_trips(corpus):
    from tests.conftest import make_turn

    case = next(iter(corpus.cases.values()))
    record = CaseRecord(case=case, target="t", judges=("a", "b"), demo=False, turns=(make_turn(1, (9.0, None)), make_turn(2, (1.5, 3.0))))

    assert CaseRecord.model_validate_json(record.model_dump_json()) == record
