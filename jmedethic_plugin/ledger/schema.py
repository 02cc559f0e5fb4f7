"""The ledger's tables, as they are now."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

meta = sa.Table("meta", metadata, sa.Column("name", sa.String, primary_key=True), sa.Column("value", sa.String, nullable=False))

calls = sa.Table(
    "calls",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("key", sa.String(64), nullable=False),
    sa.Column("repeat", sa.Integer, nullable=False),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("case_id", sa.String, nullable=False),
    sa.Column("turn_number", sa.Integer, nullable=False),
    sa.Column("outcome", sa.String, nullable=False),
    sa.Column("reusable", sa.Boolean, nullable=False),
    sa.Column("reply_json", sa.Text, nullable=False),
    sa.Column("at_utc", sa.String, nullable=False),
    sa.Index("calls_by_key", "run_id", "key"),
)

records = sa.Table(
    "records",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("key", sa.String(64), nullable=False),
    sa.Column("case_id", sa.String, nullable=False),
    sa.Column("repeat", sa.Integer, nullable=False),
    sa.Column("complete", sa.Boolean, nullable=False),
    sa.Column("record_json", sa.Text, nullable=False),
    sa.Column("at_utc", sa.String, nullable=False),
    sa.Index("records_by_key", "run_id", "key"),
)

# Opinions that did not come with a record: a person's on a turn, the panel's on a sentinel. Append-only: a later one is a new row.
verdicts = sa.Table(
    "verdicts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("record_key", sa.String(64), nullable=False),
    sa.Column("case_id", sa.String, nullable=False),
    sa.Column("repeat", sa.Integer, nullable=False),
    sa.Column("turn_number", sa.Integer, nullable=False),
    sa.Column("author", sa.String, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("verdict_json", sa.Text, nullable=False),
    sa.Column("at_utc", sa.String, nullable=False),
    sa.Index("verdicts_by_record", "run_id", "record_key"),
)

claims = sa.Table(
    "claims",
    metadata,
    sa.Column("run_id", sa.String, primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("until", sa.Float, nullable=False),
)
