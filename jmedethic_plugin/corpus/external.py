"""The user's words in a user-supplied JSONL set, whatever its shape: for overlap checks, not for running it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jmedethic_plugin.errors import DataError, raise_all, unreadable

_SINGLE = ("prompt", "question", "harmful_medical_request", "request", "instruction", "text", "user")
LISTS = ("turns", "user_turns", "conversation", "messages", "history", "questions")
_MAX_ERRORS = 20


def read_user_texts(path: Path, field: str | None = None) -> dict[str, str]:
    """The user's words of each row.

    Parameters
    ----------
    path
        One JSON object a line, UTF-8. Recognised: a list of turns (texts, ``{"role", "content"}`` messages of which the user's count,
        ``{"user", "bot"}`` exchanges, ``{"ja", "en"}`` pairs) under one of the usual names, or a single text under one.
    field
        The field that holds turns or text, where it has another name.

    Returns
    -------
    dict
        ``set.jsonl:17`` -> the texts of that row joined by line breaks.

    Raises
    ------
    DataError
        The file or rows of it cannot be read; several mistakes are told together.
    """
    found: dict[str, str] = {}
    errors: list[DataError] = []
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                where = f"{path.name}:{number}"
                try:
                    found[where] = _row(json.loads(line), where, field)
                except json.JSONDecodeError as exc:
                    errors.append(
                        DataError(where, found=f"no JSON ({exc.msg})", expected="one JSON object a line", remedy="Export the set as JSONL.")
                    )
                except DataError as exc:
                    errors.append(exc)
                if len(errors) == _MAX_ERRORS:
                    break
    except OSError as exc:
        raise unreadable(path, exc, "a JSONL file") from exc
    except UnicodeDecodeError as exc:
        raise DataError(str(path), found="bytes that are not UTF-8", expected="UTF-8 text", remedy="Save the file as UTF-8.") from exc
    raise_all(errors)
    if not found:
        raise DataError(str(path), found="no row", expected="at least one JSON object", remedy="Check that the export finished.")
    return found


def _row(row: Any, where: str, field: str | None) -> str:
    if not isinstance(row, dict):
        raise DataError(where, found=type(row).__name__, expected="a JSON object", remedy="Export the set as JSONL, one object a line.")
    names = (field,) if field else (*LISTS, *_SINGLE)
    for name in names:
        if name in row and (texts := user_texts(row[name])):
            return "\n".join(texts)
    raise DataError(
        where, found=f"the fields {', '.join(sorted(map(str, row)))}", expected=f"the user's words under {' or '.join(repr(n) for n in names)}",
        remedy="Name the field with --against-field.",
    )  # fmt: skip


def user_texts(value: Any) -> list[str]:
    """The user's texts in a value of whatever shape, in order; of exchanges and messages the user's alone."""
    if isinstance(value, str):
        return [value] if value.strip() else []
    if isinstance(value, list):
        return [text for item in value for text in user_texts(item)]
    if isinstance(value, Mapping):
        if "role" in value:
            return user_texts(value.get("content")) if value["role"] in ("user", "human") else []
        return [text for name in ("user", "ja", "en", "text", "content") if name in value for text in user_texts(value[name])]
    return []
