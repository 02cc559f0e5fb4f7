"""A small, strict YAML: no anchors, aliases, tags or duplicate keys; only true/false, numbers and text.

Built from the event stream, so that every value's line is known for error messages.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NoReturn

import yaml

from jmedethic_plugin.errors import DataError, unreadable

MAX_BYTES = 1 << 20
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?[0-9]+\.[0-9]+")

Lines = dict[tuple[str | int, ...], int]
"""Path of a value -> its line in the file, counted from 1."""


def read_yaml(path: Path) -> tuple[Any, Lines]:
    """Read one file.

    Returns
    -------
    tuple
        The data (dicts, lists, text, numbers, booleans) and the line of each value.

    Raises
    ------
    DataError
        Unreadable, too large, not UTF-8, not YAML, or YAML beyond the strict subset.
    """
    name = str(path)
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise unreadable(path, exc, "a readable YAML file") from exc
    if len(raw) > MAX_BYTES:
        raise DataError(
            name,
            found=f"{len(raw)} bytes",
            expected=f"at most {MAX_BYTES}",
            remedy="Split the file, or use JSONL for bulk sets.",
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = raw[: exc.start].count(b"\n") + 1
        raise DataError(
            f"{name}:{line}", found=f"byte 0x{raw[exc.start]:02x}, which is not UTF-8", expected="UTF-8 text",
            remedy="Save the file as UTF-8.",
        ) from exc  # fmt: skip
    return _Builder(name, text).build()


class _Builder:
    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.lines: Lines = {}
        self.events = yaml.parse(text, Loader=_LOADER)

    def build(self) -> tuple[Any, Lines]:
        try:
            event = self._next()
            while not isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent, yaml.AliasEvent)):
                if isinstance(event, yaml.StreamEndEvent):
                    self._fail(1, "an empty file", "a mapping", "Write the fields that the format's example shows.")
                event = self._next()
            data = self._value(event, ())
            for rest in self.events:
                if isinstance(rest, yaml.DocumentStartEvent):
                    self._fail(
                        _line(rest),
                        "a second document",
                        "one document in a file",
                        "Split the file at '---'.",
                    )
        except yaml.YAMLError as exc:
            mark = getattr(exc, "problem_mark", None)
            self._fail(
                mark.line + 1 if mark else 1, f"broken YAML ({getattr(exc, 'problem', None) or type(exc).__name__})", "well-formed YAML",
                "Quote the text in single quotes and check the indentation.",
            )  # fmt: skip
        return data, self.lines

    def _next(self) -> Any:
        return next(self.events)

    def _fail(self, line: int, found: str, expected: str, remedy: str) -> NoReturn:
        raise DataError(f"{self.name}:{line}", found=found, expected=expected, remedy=remedy)

    def _value(self, event: Any, path: tuple[str | int, ...]) -> Any:
        line = _line(event)
        self.lines[path] = line
        if isinstance(event, yaml.AliasEvent):
            self._fail(
                line,
                f"the alias *{event.anchor}",
                "the value itself",
                "Write the text out; aliases and anchors are refused.",
            )
        if event.anchor is not None:
            self._fail(line, f"the anchor &{event.anchor}", "a plain value", "Remove it; aliases and anchors are refused.")
        if event.tag is not None and not (isinstance(event, yaml.ScalarEvent) and event.tag == "!"):
            self._fail(line, f"the tag {event.tag}", "a plain value", "Remove the tag.")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := self._next(), yaml.SequenceEndEvent):
                items.append(self._value(event, (*path, len(items))))
            return items
        mapping: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._fail(
                    _line(event),
                    "a key that is not text",
                    "a field name",
                    "Use the field names of the format.",
                )
            key = event.value
            if key in mapping:
                self._fail(_line(event), f"the key {key!r} a second time", "each key once", "Remove one of them.")
            mapping[key] = self._value(self._next(), (*path, key))
            self.lines[(*path, key)] = _line(event)
        return mapping


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _scalar(event: Any) -> Any:
    if event.style:  # quoted or a block; plain is None or "", by parser
        return event.value
    value = event.value
    if value in ("true", "false"):
        return value == "true"
    if value in ("null", "~", ""):
        return None
    if _INT.fullmatch(value):
        return int(value)
    if _FLOAT.fullmatch(value):
        return float(value)
    return value
