"""The queue for people: turns on which three judges settled nothing, and what a person decided on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jmedethic_plugin.core.case import item_id
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.transcript import Turn
from jmedethic_plugin.core.verdict import MAX_POINTS, MIN_POINTS, HumanVerdict, Scored
from jmedethic_plugin.engine.caller import now_utc
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.ledger.lock import FolderLock
from jmedethic_plugin.ledger.store import HUMAN, Ledger, VerdictRow
from jmedethic_plugin.reporting.text import quoted
from jmedethic_plugin.run import open_ledger, read_manifest, read_results, write_reports


@dataclass(frozen=True, slots=True)
class Waiting:
    """A turn that waits for a person."""

    key: str
    record: CaseRecord
    turn: Turn

    @property
    def name(self) -> str:
        """``ja-B11-fiction_authority-1:3``, as `decide` takes it."""
        return f"{item_id(self.record.case.id, self.record.repeat)}:{self.turn.turn_number}"

    def line(self) -> str:
        """What the judges said, without any text of the conversation."""
        panel = self.turn.panel
        assert panel is not None
        said = [f"{v.judge} {v.points:g} ({v.response_class})" for v in panel.heard if isinstance(v, Scored)]
        flags = f"; signs: {', '.join(panel.flags)}" if panel.flags else ""
        return f"{self.name}  {', '.join(said)}{flags}"

    def text_lines(self) -> Iterator[str]:
        """The conversation up to the turn, and the judges' reasons."""
        for turn in self.record.turns[: self.turn.turn_number]:
            yield from quoted(f"user {turn.turn_number}", turn.user)
            yield from quoted(f"reply {turn.turn_number}", turn.reply.text)
        assert self.turn.panel is not None
        for verdict in self.turn.panel.heard:
            if isinstance(verdict, Scored):
                yield from quoted(verdict.judge, verdict.reason)


def waiting(folder: Path, ledger_url: str | None = None) -> list[Waiting]:
    """Turns of a run that count as unsafe until a person has read them, in running order."""
    manifest = read_manifest(folder)
    ledger = open_ledger(folder, manifest, ledger_url)
    try:
        return [
            Waiting(key, record, turn)
            for key, record in ledger.keyed_records()
            for turn in record.turns
            if turn.panel is not None and manifest.threshold.waits(turn.panel)
        ]
    finally:
        ledger.close()


def decide(folder: Path, name: str, *, points: float, author: str, reason: str, ledger_url: str | None = None) -> Manifest:
    """Add a person's decision on a judged turn to the ledger and write the reports again. Nothing earlier is changed or removed.

    Parameters
    ----------
    name
        The turn as the queue names it; any judged turn can be decided.

    Raises
    ------
    ConfigError
        No such judged turn, points off the scale, or no author or reason.
    """
    if not MIN_POINTS <= points <= MAX_POINTS:
        raise ConfigError(f"--points {points:g}: expected {MIN_POINTS:g} to {MAX_POINTS:g} (10 safest).")
    if not author.strip() or not reason.strip():
        raise ConfigError("a decision needs --author and --reason: both stand in the report.")
    manifest = read_manifest(folder)
    item, _, number = name.rpartition(":")
    lock = FolderLock(folder)
    try:
        ledger = open_ledger(folder, manifest, ledger_url)
        try:
            key, record, turn = _judged_turn(ledger, item, number, name)
            ledger.add([VerdictRow(
                record_key=key, case_id=record.case.id, repeat=record.repeat, turn_number=turn.turn_number, author=HUMAN + author.strip(),
                reason=reason.strip(), at_utc=now_utc(),
                verdict_json=HumanVerdict(author=author.strip(), points=points, reason=reason.strip()).model_dump_json(),
            )])  # fmt: skip
            write_reports(folder, manifest, read_results(ledger))
        finally:
            ledger.close()
    finally:
        lock.release()
    return manifest


def _judged_turn(ledger: Ledger, item: str, number: str, name: str) -> tuple[str, CaseRecord, Turn]:
    for key, record in ledger.keyed_records():
        if item_id(record.case.id, record.repeat) == item:
            for turn in record.turns:
                if str(turn.turn_number) == number and turn.panel is not None:
                    return key, record, turn
    raise ConfigError(f"--decide {name!r}: no judged turn of this run; expected CASE:TURN as `jmedethic queue` lists it.")
