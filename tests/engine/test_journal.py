"""Writing in groups: what one row does to the others."""

import asyncio

import pytest

from jmedethic_plugin.core.base import content_hash
from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.engine.journal import Journal
from jmedethic_plugin.ledger.store import CallRow, Ledger


def call(number, **changed):
    values = {"repeat": 1, "role": "judge", "model": "m", "case_id": "c", "turn_number": 1, "at_utc": "t"} | changed
    return CallRow.of(key=content_hash(number), reply=Reply(outcome="ok", text="x"), **values)


def test_row_that_cannot_be_stored_takes_no_other_along(tmp_path):
    ledger = Ledger(tmp_path / "l.sqlite", "run")

    async def write():
        journal = Journal(ledger)
        rows = [call(0), call(1, case_id="\ud800"), call(2)]
        outcomes = await asyncio.gather(*(journal.write(row) for row in rows), return_exceptions=True)
        await journal.write(call(3))
        await journal.close()
        return outcomes

    first, bad, last = asyncio.run(write())

    assert (first, last) == (None, None)
    assert isinstance(bad, UnicodeError)
    assert [ledger.find_reply(content_hash(n)) is not None for n in range(4)] == [True, False, True, True]
    ledger.close()


def test_full_disk_is_told_to_every_writer(tmp_path):
    ledger = Ledger(tmp_path / "l.sqlite", "run")
    ledger.add = lambda rows: (_ for _ in ()).throw(OSError("full"))  # what SQLite makes of it does not matter here

    async def write():
        journal = Journal(ledger)
        outcomes = await asyncio.gather(*(journal.write(call(n)) for n in range(3)), return_exceptions=True)
        with pytest.raises(OSError, match="full"):
            await journal.write(call(3))
        await journal.close()
        return outcomes

    assert [str(outcome) for outcome in asyncio.run(write())] == ["full"] * 3
    ledger.close()
