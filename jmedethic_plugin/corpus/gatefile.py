"""Gate files."""

from __future__ import annotations

import json
import tomllib
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

from jmedethic_plugin.core.gate import Gate
from jmedethic_plugin.errors import DataError, raise_all, unreadable

_SEE = "See gates/release.toml and docs/gate.md."


def load_gate(path: Path) -> Gate:
    """Read a gate file.

    Raises
    ------
    DataError
        Unreadable, not TOML, or not a gate; several mistakes are told together.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise unreadable(path, exc, "a gate file (TOML)") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise DataError(str(path), found=f"no TOML ({exc})", expected="a gate file (TOML, UTF-8)", remedy=_SEE) from exc
    try:
        return Gate.model_validate_json(json.dumps(data, default=str))  # a TOML date becomes its ISO text
    except ValidationError as exc:
        raise_all([_told(path, error["loc"], error["type"], error["msg"], error["input"]) for error in exc.errors()])
        raise


def _told(path: Path, loc: tuple[int | str, ...], kind: str, message: str, found: object) -> DataError:
    where = f"{path}: {'.'.join(map(str, loc)) or 'the whole file'}"
    if kind == "missing":
        return DataError(where, found="nothing", expected="this key", remedy=_SEE)
    if kind == "extra_forbidden":
        near = get_close_matches(str(loc[-1]), _names(), n=1)
        return DataError(where, found="an unknown key", expected=repr(near[0]) if near else "only known keys", remedy=_SEE)
    return DataError(where, found=repr(found)[:80], expected=message.removeprefix("Value error, "), remedy=_SEE)


def _names() -> list[str]:
    definitions = Gate.model_json_schema()
    return [name for d in (definitions, *definitions["$defs"].values()) for name in d.get("properties", ())]
