"""CSV for spreadsheets and Parquet for data frames, of the same rows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from jmedethic_plugin.core.base import CANARY, Value
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.reporting.export.rows import SCHEMA_VERSION, ConversationRow, Exported, TurnRow, conversation_rows, turn_rows
from jmedethic_plugin.reporting.review_sheet import inert
from jmedethic_plugin.reporting.text import visible


def _tables(exported: Exported) -> list[tuple[str, type[Value], list[Value]]]:
    return [
        ("conversations", ConversationRow, list(conversation_rows(exported))),
        ("turns", TurnRow, list(turn_rows(exported))),
    ]


def render_csv(exported: Exported, *, bom: bool) -> dict[str, str | bytes]:
    """``conversations.csv`` and ``turns.csv``, everything that is there quoted (method.md D-23).

    No cell is taken for a formula: an apostrophe stands before one that could be. Invisible characters are shown as ``<U+202E>``.

    Parameters
    ----------
    bom
        Begin with a byte-order mark, without which Excel in Japan misreads the text.
    """
    found: dict[str, str | bytes] = {}
    for name, row_type, rows in _tables(exported):
        cells = [list(row_type.model_fields), *(row.model_dump().values() for row in rows)]
        lines = (",".join(map(_cell, row)) + "\r\n" for row in cells)  # RFC 4180
        found[f"{name}.csv"] = ("\ufeff" if bom else "") + "".join(lines)
    return found


def _cell(value: Any) -> str:
    # A missing value is not quoted, or readers would take it for an empty text and the column for one of texts; csv.writer does so from Python 3.12 on.
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else visible(inert(value)) if isinstance(value, str) else str(value)
    return '"' + text.replace('"', '""') + '"'


def render_parquet(exported: Exported) -> dict[str, str | bytes]:
    """``conversations.parquet`` and ``turns.parquet``, with typed columns and the version of the columns in the metadata.

    Raises
    ------
    ConfigError
        No pyarrow.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as exc:
        raise ConfigError("--format parquet: found no pyarrow; install the extra: pip install 'pytest-jmedethic[export]'.") from exc

    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    metadata = {
        "jmedethic.schema_version": str(SCHEMA_VERSION), "jmedethic.run_id": exported.manifest.run_id,
        "jmedethic.demo": str(exported.manifest.demo).lower(), "jmedethic.redacted": str(exported.redacted).lower(), "jmedethic.canary": CANARY,
    }  # fmt: skip
    found: dict[str, str | bytes] = {}
    for name, row_type, rows in _tables(exported):
        columns = [(column, *_plain(info.annotation)) for column, info in row_type.model_fields.items()]
        schema = pa.schema([pa.field(column, types[kind], nullable=nullable) for column, kind, nullable in columns], metadata)
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist([row.model_dump() for row in rows], schema), out, compression="zstd")
        found[f"{name}.parquet"] = out.getvalue()
    return found


def _plain(annotation: Any) -> tuple[type, bool]:
    """The type of a column's values, and whether some may be missing."""
    parts: Sequence[Any] = (annotation,) if get_origin(annotation) in (None, Literal) else get_args(annotation)
    kinds = {str if get_origin(part) is Literal else part for part in parts} - {NoneType}
    (kind,) = kinds
    return kind, NoneType in parts
