"""From each earlier schema version to the next, so that old ledgers open."""

from __future__ import annotations

import json
from collections.abc import Callable

import sqlalchemy as sa

from jmedethic_plugin.ledger.schema import metadata

SCHEMA_VERSION = 2


def _from_1(connection: sa.Connection, run_id: str) -> None:
    """One run a file, no repeats, no verdict rows; cases said ``review`` where they now say ``review_status``."""
    old = {
        name: [dict(row) for row in connection.execute(sa.text(f"select * from {name} order by id")).mappings()]
        for name in ("calls", "records")
    }
    for name in old:
        connection.execute(sa.text(f"drop table {name}"))
    metadata.create_all(connection)
    new = metadata.tables
    if old["calls"]:
        connection.execute(sa.insert(new["calls"]), [_without_id(row) | {"run_id": run_id, "repeat": 1} for row in old["calls"]])
    for row in old["records"]:
        record = json.loads(row["record_json"])
        record["case"].pop("review", None)
        record["case"]["review_status"] = "unreviewed"  # version 1 had no other
        values = _without_id(row) | {"run_id": run_id, "repeat": 1, "record_json": json.dumps(record, ensure_ascii=False)}
        connection.execute(sa.insert(new["records"]).values(**values))


def _without_id(row: dict[str, object]) -> dict[str, object]:
    return {name: bool(value) if name in ("reusable", "complete") else value for name, value in row.items() if name != "id"}


MIGRATIONS: dict[int, Callable[[sa.Connection, str], None]] = {1: _from_1}
