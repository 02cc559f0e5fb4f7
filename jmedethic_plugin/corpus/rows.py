"""Rows of published sets, from CSV, JSON or JSONL files as a user holds them, and files that appear whole or not at all."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from jmedethic_plugin.errors import ConfigError, DataError, unreadable

Row = Mapping[str, Any]
KINDS = (".csv", ".json", ".jsonl")

_AGAIN = "Download or export the file again."


class DropRowError(Exception):
    """A row that is no use, and why."""


def read_rows(file: Path, guide: str) -> Iterator[tuple[str, Row]]:
    """Each row with its place: ``set.jsonl:17``, by line; in a ``.json`` list ``set.json:17``, by entry.

    Raises
    ------
    DataError
        The file cannot be read, or is not what its name says.
    """
    kind = file.suffix.lower()
    if kind not in KINDS:
        raise DataError(
            str(file), found=f"a {kind or 'nameless'} file", expected=" or ".join(KINDS), remedy=f"Convert it; {guide} says how."
        )
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            yield from {".csv": _csv_rows, ".json": _listed_rows, ".jsonl": _json_rows}[kind](file, lines)
    except OSError as exc:
        raise unreadable(file, exc, " or ".join(KINDS)) from exc
    except UnicodeDecodeError as exc:
        raise DataError(str(file), found="bytes that are not UTF-8", expected="UTF-8 text", remedy="Save the file as UTF-8.") from exc


def _csv_rows(file: Path, lines: TextIO) -> Iterator[tuple[str, Row]]:
    reader = csv.DictReader(lines, strict=True)
    try:
        for row in reader:
            where = f"{file}:{reader.line_num}"
            if None in row:
                raise DataError(where, found="more cells than columns", expected="as many", remedy=_AGAIN)
            yield where, row
    except csv.Error as exc:
        raise DataError(f"{file}:{reader.line_num}", found=f"no CSV ({exc})", expected="CSV with a header", remedy=_AGAIN) from exc


def _json_rows(file: Path, lines: TextIO) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            row = json.loads(line)
        except ValueError as exc:
            raise DataError(where, found=f"no JSON ({exc})", expected="one JSON object a line", remedy=_AGAIN) from exc
        yield where, _object(row, where)


def _listed_rows(file: Path, lines: TextIO) -> Iterator[tuple[str, Row]]:
    try:
        rows = json.load(lines)
    except UnicodeDecodeError:
        raise
    except ValueError as exc:
        raise DataError(str(file), found=f"no JSON ({exc})", expected="a JSON list of objects", remedy=_AGAIN) from exc
    if not isinstance(rows, list):
        raise DataError(
            str(file), found=type(rows).__name__, expected="a JSON list of objects", remedy="Export the rows as a list, or as JSONL."
        )
    for number, row in enumerate(rows, 1):
        where = f"{file}:{number}"
        yield where, _object(row, where)


def _object(row: Any, where: str) -> Row:
    if not isinstance(row, dict):
        raise DataError(where, found=type(row).__name__, expected="a JSON object", remedy=_AGAIN)
    return row


@contextmanager
def new_file(out: Path) -> Iterator[TextIO]:
    """Lines of a file that must not exist yet; it appears when the block ends without an error."""
    if out.exists():
        raise ConfigError(f"{out} exists; name a new file")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as lines:
            yield lines
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def none_kept(file: Path, dropped: Mapping[str, int], expected: str, guide: str) -> DataError:
    """The error of a file that leaves nothing to write."""
    reasons = ", ".join(f"{n} {reason}" for reason, n in dropped.items()) or "an empty file"
    return DataError(str(file), found=f"no row to keep ({reasons})", expected=expected, remedy=f"See {guide}.")


def told(dropped: Mapping[str, int], at_most: int = 20) -> Iterable[str]:
    """What was dropped and why, most rows first."""
    reasons = sorted(dropped.items(), key=lambda item: -item[1])
    yield from (f"{n} dropped ({reason})" for reason, n in reasons[:at_most])
    if rest := reasons[at_most:]:
        yield f"{sum(n for _, n in rest)} dropped for {len(rest)} further reasons"
