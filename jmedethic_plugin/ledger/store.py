"""The ledger: every call as it came back, every finished case, in one SQLite file (WAL).

Calls are committed before anything else uses them. Only the engine writes; readers may open the file at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.transcript import REUSABLE_OUTCOMES, Reply
from jmedethic_plugin.errors import ConfigError

SCHEMA_VERSION = 1

_metadata = sa.MetaData()
_meta = sa.Table("meta", _metadata, sa.Column("name", sa.String, primary_key=True), sa.Column("value", sa.String, nullable=False))
_calls = sa.Table(
    "calls",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(64), nullable=False, index=True),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("case_id", sa.String, nullable=False),
    sa.Column("turn_number", sa.Integer, nullable=False),
    sa.Column("outcome", sa.String, nullable=False),
    sa.Column("reusable", sa.Boolean, nullable=False),
    sa.Column("reply_json", sa.String, nullable=False),
    sa.Column("at_utc", sa.String, nullable=False),
)
_records = sa.Table(
    "records",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(64), nullable=False, index=True),
    sa.Column("case_id", sa.String, nullable=False),
    sa.Column("complete", sa.Boolean, nullable=False),
    sa.Column("record_json", sa.String, nullable=False),
    sa.Column("at_utc", sa.String, nullable=False),
)


class Ledger:
    """One run's calls and records.

    Raises
    ------
    ConfigError
        The file is no ledger, or one of another schema version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = sa.create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False}, poolclass=sa.StaticPool)
        sa.event.listen(self._engine, "connect", _durable)
        try:
            _metadata.create_all(self._engine)
            with self._engine.begin() as connection:
                found = connection.scalar(sa.select(_meta.c.value).where(_meta.c.name == "schema_version"))
                if found is None:
                    connection.execute(_meta.insert().values(name="schema_version", value=str(SCHEMA_VERSION)))
        except sa.exc.DatabaseError as exc:
            raise ConfigError(
                f"{path}: found a file that is no usable ledger ({exc.orig}); expected a SQLite ledger. Name another run."
            ) from exc
        if found not in (None, str(SCHEMA_VERSION)):
            raise ConfigError(
                f"{path}: found a ledger of schema version {found}; this release reads version {SCHEMA_VERSION}. Use the release that wrote it."
            )

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def find_reply(self, key: str) -> Reply | None:
        """The usable reply of an earlier call with the same key."""
        query = sa.select(_calls.c.reply_json).where(_calls.c.key == key, _calls.c.reusable).order_by(_calls.c.id.desc()).limit(1)
        with self._engine.connect() as connection:
            found = connection.scalar(query)
        return None if found is None else Reply.model_validate_json(found)

    def add_call(self, *, key: str, role: str, model: str, case_id: str, turn_number: int, reply: Reply, at_utc: str) -> None:
        """Write one call; on return it is on disk."""
        with self._engine.begin() as connection:
            connection.execute(_calls.insert().values(
                key=key, role=role, model=model, case_id=case_id, turn_number=turn_number, outcome=reply.outcome,
                reusable=reply.outcome in REUSABLE_OUTCOMES, reply_json=reply.model_dump_json(), at_utc=at_utc,
            ))  # fmt: skip

    def find_record(self, key: str) -> CaseRecord | None:
        """The finished record with this key; a record with missing verdicts does not count, so that resuming tries again."""
        query = sa.select(_records.c.record_json).where(_records.c.key == key, _records.c.complete).order_by(_records.c.id.desc()).limit(1)
        with self._engine.connect() as connection:
            found = connection.scalar(query)
        return None if found is None else CaseRecord.model_validate_json(found)

    def add_record(self, *, key: str, record: CaseRecord, complete: bool, at_utc: str) -> None:
        """Write one finished case."""
        with self._engine.begin() as connection:
            connection.execute(_records.insert().values(
                key=key, case_id=record.case.id, complete=complete, record_json=record.model_dump_json(), at_utc=at_utc,
            ))  # fmt: skip

    def records(self) -> Iterator[CaseRecord]:
        """The newest record of each case, in running order."""
        newest = sa.select(sa.func.max(_records.c.id)).group_by(_records.c.key)
        with self._engine.connect() as connection:
            rows = connection.scalars(sa.select(_records.c.record_json).where(_records.c.id.in_(newest))).all()
        yield from sorted((CaseRecord.model_validate_json(row) for row in rows), key=lambda r: (r.case.sort_key, r.repeat))

    def count_calls(self) -> dict[str, int]:
        """Calls by role and outcome: ``{"target ok": 210, ...}``."""
        query = sa.select(_calls.c.role, _calls.c.outcome, sa.func.count()).group_by(_calls.c.role, _calls.c.outcome)
        with self._engine.connect() as connection:
            return {f"{role} {outcome}": n for role, outcome, n in sorted(tuple(row) for row in connection.execute(query))}


def _durable(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # the DBAPI connection is untyped
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # a committed call survives a power cut, not only a crash of the process
    cursor.close()
