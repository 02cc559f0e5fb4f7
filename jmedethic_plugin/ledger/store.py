"""The ledger: every call as it came back, every finished case with its verdicts and every later opinion, in SQLite (WAL) or PostgreSQL.

Rows are only ever added. Lookups are by content key within one run; a run that is resumed finds what was answered and pays for the rest.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from jmedethic_plugin.core.case import EXAM_PREFIX
from jmedethic_plugin.core.exam import ExamRecord
from jmedethic_plugin.core.record import CaseRecord, Record, record_class
from jmedethic_plugin.core.transcript import REUSABLE_OUTCOMES, Reply
from jmedethic_plugin.core.verdict import HumanVerdict
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.ledger.migrations import MIGRATIONS, SCHEMA_VERSION
from jmedethic_plugin.ledger.schema import calls, claims, meta, metadata, records, verdicts

_R = TypeVar("_R", CaseRecord, ExamRecord)


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call: the last word of all its tries."""

    key: str
    repeat: int
    role: str
    model: str
    case_id: str
    turn_number: int
    outcome: str
    reusable: bool
    reply_json: str
    at_utc: str

    @classmethod
    def of(cls, *, key: str, repeat: int, role: str, model: str, case_id: str, turn_number: int, reply: Reply, at_utc: str) -> CallRow:
        """A row from a reply."""
        return cls(
            key,
            repeat,
            role,
            model,
            case_id,
            turn_number,
            reply.outcome,
            reply.outcome in REUSABLE_OUTCOMES,
            reply.model_dump_json(),
            at_utc,
        )


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One finished case with its verdicts, or one exam question with its answer."""

    key: str
    record: Record
    complete: bool
    at_utc: str


HUMAN, SENTINEL = "human:", "sentinel"
"""Authors of separate opinions: a person (the name follows), the panel on an answer with a known label."""


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """An opinion on one turn that did not come with its record: a person's, or the panel's on a sentinel."""

    record_key: str
    case_id: str
    repeat: int
    turn_number: int
    author: str
    reason: str | None
    verdict_json: str
    at_utc: str


Row = CallRow | RecordRow | VerdictRow


class Ledger:
    """Calls, records and verdicts of one run.

    Parameters
    ----------
    url
        A SQLite file's path, or ``postgresql+psycopg://user@host/db`` for a ledger that several machines share.
    run_id
        The run whose rows are read and written.

    Raises
    ------
    ConfigError
        No ledger, one that cannot be reached, or one of a later schema version.
    """

    def __init__(self, url: str | Path, run_id: str) -> None:
        self.run_id = run_id
        self.is_shared = "://" in str(url)
        self._place = str(url) if not self.is_shared else sa.make_url(str(url)).render_as_string(hide_password=True)
        if self.is_shared:
            self._engine = sa.create_engine(str(url), pool_pre_ping=True)
        else:
            # Reads on the engine's loop beside commits in the writer's thread: each has a connection of its own.
            self._engine = sa.create_engine(f"sqlite:///{url}", connect_args={"check_same_thread": False, "timeout": 60})
            sa.event.listen(self._engine, "connect", _durable)
        self._open()
        # A SQLite ledger has one writer, so what it holds is known; a shared one must be asked each time.
        self._replies: dict[bytes, int] | None = None if self.is_shared else self._index(calls, calls.c.reusable)
        self._records: dict[bytes, int] | None = None if self.is_shared else self._index(records, records.c.complete)

    def _open(self) -> None:
        try:
            if self.is_shared:
                # Two machines that open a new ledger at once would both create its tables.
                with self._engine.begin() as connection:
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(5746023)"))
                    metadata.create_all(connection)
            else:
                with self._engine.begin() as connection:
                    if not sa.inspect(connection).has_table("meta"):
                        metadata.create_all(connection)
            with self._engine.begin() as connection:
                found = connection.scalar(sa.select(meta.c.value).where(meta.c.name == "schema_version"))
                if found is None:
                    _insert_ignore(connection, meta, name="schema_version", value=str(SCHEMA_VERSION))
                    return
                version = int(found)
                while version in MIGRATIONS:
                    MIGRATIONS[version](connection, self.run_id)
                    version += 1
                    connection.execute(sa.update(meta).where(meta.c.name == "schema_version").values(value=str(version)))
        except (sa.exc.SQLAlchemyError, ValueError) as exc:
            told = getattr(exc, "orig", None) or type(exc).__name__
            raise ConfigError(
                f"{self._place}: found no usable ledger ({str(told).splitlines()[0]}); expected a SQLite ledger or a PostgreSQL address. Name another."
            ) from exc
        if version != SCHEMA_VERSION:
            raise ConfigError(
                f"{self._place}: found a ledger of schema version {found}; this release reads up to version {SCHEMA_VERSION}. Use the release that wrote it."
            )

    def _index(self, table: sa.Table, usable: sa.ColumnElement[bool]) -> dict[bytes, int]:
        query = sa.select(table.c.key, sa.func.max(table.c.id)).where(table.c.run_id == self.run_id, usable).group_by(table.c.key)
        with self._engine.connect() as connection:
            return {_short(key): row_id for key, row_id in connection.execute(query)}

    def secret(self) -> bytes:
        """The run's secret, made when it is first asked for; machines that share the ledger share it."""
        name = f"secret {self.run_id}"
        with self._engine.begin() as connection:
            _insert_ignore(connection, meta, name=name, value=secrets.token_hex(32))
            return bytes.fromhex(str(connection.scalar(sa.select(meta.c.value).where(meta.c.name == name))))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows in one transaction; on return they are on disk."""
        new_calls = [asdict(row) | {"run_id": self.run_id} for row in rows if isinstance(row, CallRow)]
        new_records = [row for row in rows if isinstance(row, RecordRow)]
        new_verdicts = [asdict(row) | {"run_id": self.run_id} for row in rows if isinstance(row, VerdictRow)]
        ids: Sequence[int] = ()
        record_ids: Sequence[int] = ()
        with self._engine.begin() as connection:
            if new_calls:
                ids = connection.scalars(sa.insert(calls).returning(calls.c.id, sort_by_parameter_order=True), new_calls).all()
            if new_records:
                record_ids = connection.scalars(
                    sa.insert(records).returning(records.c.id, sort_by_parameter_order=True), [self._record_values(r) for r in new_records]
                ).all()
            if new_verdicts:
                connection.execute(sa.insert(verdicts), new_verdicts)
        if self._replies is not None and new_calls:
            self._replies |= {_short(row["key"]): i for row, i in zip(new_calls, ids, strict=True) if row["reusable"]}
        if self._records is not None and new_records:
            self._records |= {_short(row.key): i for row, i in zip(new_records, record_ids, strict=True) if row.complete}

    def _record_values(self, row: RecordRow) -> dict[str, Any]:
        return {
            "run_id": self.run_id, "key": row.key, "case_id": row.record.case_id, "repeat": row.record.repeat, "complete": row.complete,
            "record_json": row.record.model_dump_json(), "at_utc": row.at_utc,
        }  # fmt: skip

    def find_reply(self, key: str) -> Reply | None:
        """The usable reply of an earlier call with the same key."""
        found = self._find(self._replies, calls, calls.c.reply_json, calls.c.reusable, key)
        return None if found is None else Reply.model_validate_json(found)

    def find_record(self, key: str, kind: type[_R] = CaseRecord) -> _R | None:  # type: ignore[assignment]  # a default for a type variable
        """The finished record with this key as it was judged; a record with missing verdicts does not count, so that resuming tries again."""
        found = self._find(self._records, records, records.c.record_json, records.c.complete, key)
        return None if found is None else kind.model_validate_json(found)

    def finished(self) -> set[tuple[str, int]]:
        """Case and repeat of every complete record."""
        query = sa.select(records.c.case_id, records.c.repeat).where(records.c.run_id == self.run_id, records.c.complete).distinct()
        with self._engine.connect() as connection:
            return {(case_id, repeat) for case_id, repeat in connection.execute(query)}

    def _find(
        self, index: dict[bytes, int] | None, table: sa.Table, column: sa.Column[str], usable: sa.ColumnElement[bool], key: str
    ) -> str | None:
        query = sa.select(column)
        if index is None:
            query = query.where(table.c.run_id == self.run_id, table.c.key == key, usable).order_by(table.c.id.desc()).limit(1)
        elif (row_id := index.get(_short(key))) is not None:
            query = query.where(table.c.id == row_id)
        else:
            return None
        with self._engine.connect() as connection:
            found: str | None = connection.scalar(query)
        return found

    def records(self) -> Iterator[CaseRecord]:
        """The newest record of each case and repeat with what people decided on its turns, in running order."""
        yield from (record for _, record in self.keyed_records())

    def keyed_records(self) -> list[tuple[str, CaseRecord]]:
        """`records`, each with its key."""
        rows = self._newest(~records.c.case_id.startswith(EXAM_PREFIX))
        decided: dict[str, dict[int, str]] = {}
        for row in self.verdicts(HUMAN):
            decided.setdefault(row.record_key, {})[row.turn_number] = row.verdict_json  # the newest of each turn
        found = [(key, _with_decisions(CaseRecord.model_validate_json(record_json), decided.get(key, {}))) for key, record_json in rows]
        return sorted(found, key=lambda pair: (pair[1].case.sort_key, pair[1].repeat))

    def exam_records(self) -> list[ExamRecord]:
        """The newest record of each exam question, by exam and row."""
        found = (ExamRecord.model_validate_json(said) for _, said in self._newest(records.c.case_id.startswith(EXAM_PREFIX)))
        return sorted(found, key=lambda record: (record.item.exam, record.item.row))

    def _newest(self, wanted: sa.ColumnElement[bool]) -> list[tuple[str, str]]:
        newest = sa.select(sa.func.max(records.c.id)).where(records.c.run_id == self.run_id, wanted)
        newest = newest.group_by(records.c.case_id, records.c.repeat)  # not by key: another release makes other keys of the same case
        with self._engine.connect() as connection:
            return [
                (key, said)
                for key, said in connection.execute(sa.select(records.c.key, records.c.record_json).where(records.c.id.in_(newest)))
            ]

    def ended(self) -> dict[tuple[str, int], str]:
        """When the newest record of each case and repeat, and of each exam question, was written (UTC, ISO 8601)."""
        query = (
            sa.select(records.c.case_id, records.c.repeat, records.c.at_utc).where(records.c.run_id == self.run_id).order_by(records.c.id)
        )
        with self._engine.connect() as connection:
            return {(case_id, repeat): at_utc for case_id, repeat, at_utc in connection.execute(query)}

    def with_decisions(self, key: str, record: CaseRecord) -> CaseRecord:
        """A record with what people decided on its turns."""
        return _with_decisions(record, {row.turn_number: row.verdict_json for row in self.verdicts(HUMAN, key)})

    def verdicts(self, author_prefix: str, record_key: str | None = None) -> Iterator[VerdictRow]:
        """Opinions by author, of one record where its key is given, oldest first."""
        names = list(VerdictRow.__dataclass_fields__)
        query = sa.select(*(verdicts.c[n] for n in names)).where(
            verdicts.c.run_id == self.run_id, verdicts.c.author.startswith(author_prefix)
        )
        if record_key is not None:
            query = query.where(verdicts.c.record_key == record_key)
        with self._engine.connect() as connection:
            for row in connection.execute(query.order_by(verdicts.c.id)):
                yield VerdictRow(*row)

    def rows(self) -> Iterator[Row]:
        """Every call, record and separate opinion of the run as it was added, for `jmedethic merge`."""
        names = list(CallRow.__dataclass_fields__)
        with self._engine.connect() as connection:
            for row in connection.execute(
                sa.select(*(calls.c[n] for n in names)).where(calls.c.run_id == self.run_id).order_by(calls.c.id)
            ):
                yield CallRow(*row)
            query = sa.select(records.c.key, records.c.case_id, records.c.record_json, records.c.complete, records.c.at_utc)
            for key, case_id, record_json, complete, at_utc in connection.execute(
                query.where(records.c.run_id == self.run_id).order_by(records.c.id)
            ):
                yield RecordRow(key, record_class(case_id).model_validate_json(record_json), complete, at_utc)
        yield from self.verdicts(HUMAN)
        yield from self.verdicts(SENTINEL)

    def count_calls(self) -> dict[str, int]:
        """Calls by role and outcome: ``{"target ok": 210, ...}``."""
        query = sa.select(calls.c.role, calls.c.outcome, sa.func.count()).where(calls.c.run_id == self.run_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query.group_by(calls.c.role, calls.c.outcome))
            return {f"{role} {outcome}": n for role, outcome, n in sorted(tuple(row) for row in rows)}

    def replies_of(self, *roles: str, most: int) -> Iterator[tuple[str, Reply]]:
        """Model and reply of the newest calls of some roles, for means."""
        query = sa.select(calls.c.model, calls.c.reply_json).where(calls.c.run_id == self.run_id, calls.c.role.in_(roles))
        query = query.order_by(calls.c.id.desc()).limit(most)
        with self._engine.connect() as connection:
            for model, reply_json in connection.execute(query):
                yield model, Reply.model_validate_json(reply_json)

    def served(self) -> dict[str, tuple[str, ...]]:
        """Names and fingerprints under which each model answered."""
        # PostgreSQL reads JSON only from its own type, SQLite from text.
        reply = (sa.cast if self.is_shared else sa.type_coerce)(calls.c.reply_json, sa.JSON)
        query = sa.select(calls.c.model, reply["served_model"].as_string(), reply["fingerprint"].as_string()).where(
            calls.c.run_id == self.run_id
        )
        found: dict[str, set[str]] = {}
        with self._engine.connect() as connection:
            for model, name, fingerprint in connection.execute(query.distinct()):
                if name:
                    found.setdefault(model, set()).add(f"{name} ({fingerprint})" if fingerprint else name)
        return {model: tuple(sorted(names)) for model, names in sorted(found.items())}

    # --- claims: several machines, one ledger --------------------------------------------------------

    def claim(self, key: str, owner: str, *, now: float, lease_s: float) -> bool:
        """Reserve a case for one engine until its lease ends; True when it is this owner's now. Always True in a ledger of one's own."""
        if not self.is_shared:
            return True
        values = {"run_id": self.run_id, "key": key, "owner": owner, "until": now + lease_s}
        statement = _upsert(self._engine.dialect.name, claims).values(**values)
        statement = statement.on_conflict_do_update(
            index_elements=[claims.c.run_id, claims.c.key], set_={"owner": owner, "until": now + lease_s},
            where=sa.or_(claims.c.owner == owner, claims.c.until < now),
        ).returning(claims.c.owner)  # fmt: skip
        with self._engine.begin() as connection:
            return connection.scalar(statement) is not None

    def renew(self, owner: str, *, now: float, lease_s: float) -> None:
        """Extend all leases of an owner."""
        if self.is_shared:
            statement = sa.update(claims).where(claims.c.run_id == self.run_id, claims.c.owner == owner).values(until=now + lease_s)
            with self._engine.begin() as connection:
                connection.execute(statement)

    def release(self, owner: str) -> None:
        """Give up all claims of an owner, so that others need not wait for the leases to end."""
        if self.is_shared:
            with self._engine.begin() as connection:
                connection.execute(sa.delete(claims).where(claims.c.run_id == self.run_id, claims.c.owner == owner))


def _with_decisions(record: CaseRecord, decided: Mapping[int, str]) -> CaseRecord:
    if not decided:
        return record
    turns = tuple(
        turn
        if turn.panel is None or (said := decided.get(turn.turn_number)) is None
        else turn.model_copy(update={"panel": turn.panel.model_copy(update={"human": HumanVerdict.model_validate_json(said)})})
        for turn in record.turns
    )
    return record.model_copy(update={"turns": turns})


def _short(key: str) -> bytes:
    return bytes.fromhex(key)[:16]  # a hundred and twenty-eight bits: enough to tell, half the memory


def _upsert(dialect: str, table: sa.Table) -> Any:
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(table)
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table)


def _insert_ignore(connection: sa.Connection, table: sa.Table, **values: object) -> None:
    connection.execute(_upsert(connection.dialect.name, table).values(**values).on_conflict_do_nothing())


def _durable(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # the DBAPI connection is untyped
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # a committed call survives a power cut, not only a crash of the process
    cursor.close()
