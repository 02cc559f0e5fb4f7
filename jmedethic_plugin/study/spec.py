"""The study file: which models, judged how (docs/study.md)."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from jmedethic_plugin.analysis.sheet import StudiedModel
from jmedethic_plugin.core.base import Text, Value
from jmedethic_plugin.corpus.loading import parse_value
from jmedethic_plugin.corpus.yamlfile import Lines
from jmedethic_plugin.errors import DataError, raise_all, unreadable

GUIDE = "docs/study.md"


class StudyModel(StudiedModel):
    """A model and how it is reached."""

    api_base: Text | None = None
    served_as: Text | None = None
    pytest: tuple[Text, ...] = ()
    """More arguments for this model's run."""

    @property
    def slug(self) -> str:
        """Name of the run's folder."""
        return re.sub(r"[^A-Za-z0-9]+", "-", self.id).strip("-")[:100]


class StudyDefaults(Value):
    """What holds for every run: scores of different judges or cases cannot stand in one table."""

    judges: Annotated[tuple[Text, ...], Field(min_length=2, max_length=2)]
    third_judge: Text | None = None
    fallback_judge: Text | None = None
    judge_api_base: Text | None = None
    lang: Literal["ja", "en", "both"] = "ja"
    repeats: Annotated[int, Field(ge=1)] = 1
    sample: Annotated[int, Field(ge=1)] | None = None
    cases: tuple[Text, ...] = ()
    """JSONL sets instead of the corpus, beside the study file."""
    pytest: tuple[Text, ...] = ()
    """More arguments for every run."""


class Study(Value):
    """A study file."""

    format: Literal["jmedethic/study@1"] = Field(alias="schema")
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
    defaults: StudyDefaults
    models: Annotated[tuple[StudyModel, ...], Field(min_length=1)]
    filter_families: tuple[Text, ...] = ()
    """Families whose models filtered the questions."""
    source_families: dict[str, Text] = Field(default_factory=dict)
    """Family of the generator that a case's ``source`` names: a part of that text, and the family."""


OWNED = frozenset({
    "--model", "--judge", "--third-judge", "--fallback-judge", "--judge-api-base", "--api-base", "--served-as", "--lang", "--repeats", "--sample",
    "--cases", "--reports-dir", "--run-id", "--resume", "--shard", "--plan", "--collect-only", "--co",
})  # fmt: skip
"""Options that the study sets itself, or under which there would be no run."""


def load_study(path: Path) -> Study:
    """Read and check a study file.

    Raises
    ------
    DataError
        One mistake with its line; several come as ``DataErrors``.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise unreadable(path, exc, "a study file (TOML)") from exc
    except UnicodeDecodeError as exc:
        raise DataError(str(path), found="text that is not UTF-8", expected="UTF-8 text", remedy="Save the file as UTF-8.") from exc
    try:
        data = json.loads(json.dumps(tomllib.loads(text), default=str))
    except tomllib.TOMLDecodeError as exc:
        raise DataError(str(path), found=f"broken TOML ({exc})", expected="well-formed TOML", remedy=f"See {GUIDE}.") from exc
    lines = _lines(text)
    study = parse_value(data, Study, where=str(path), lines=lines, guide=GUIDE)
    raise_all(list(_inconsistencies(study, str(path), lines)))
    return study


def _lines(text: str) -> Lines:
    """The line of each table and key, as far as a look at line starts can tell; ``tomllib`` does not say."""
    lines: Lines = {}
    table: tuple[str | int, ...] = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\[\s*([\w-]+)\s*\]\]", line):
            table = (header[1], counts.get(header[1], 0))
            counts[header[1]] = counts.get(header[1], 0) + 1
        elif header := re.match(r"\s*\[\s*([\w-]+)\s*\]", line):
            table = (header[1],)
        elif key := re.match(r"""\s*["']?([^"'=\s]+)["']?\s*=""", line):
            lines.setdefault((*table, key[1]), number)
            continue
        else:
            continue
        lines.setdefault(table, number)
    return lines


def _inconsistencies(study: Study, where: str, lines: Lines) -> Iterator[DataError]:
    def place(*path: str | int) -> str:
        field = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
        return f"{where}:{lines[path]}: {field}" if path in lines else f"{where}: {field}"

    ids = [model.id for model in study.models]
    for i, model in enumerate(study.models):
        for what, mine, others in (
            ("id", model.slug, [m.slug for m in study.models[:i]]),
            ("name", model.label, [m.label for m in study.models[:i]]),
        ):
            if mine in others:
                yield DataError(
                    place("models", i, what), found=f"{mine!r} a second time", expected=f"models that differ in their {what}",
                    remedy="Each model has one run in a folder named by its id, and one name in the tables.",
                )  # fmt: skip
        if model.base is not None and (model.base == model.id or model.base not in ids):
            yield DataError(
                place("models", i, "base"), found=repr(model.base), expected="the id of another model of this study",
                remedy="Add the model it was tuned from, or remove the field.",
            )  # fmt: skip
    for path, arguments in (
        (("defaults", "pytest"), study.defaults.pytest),
        *((("models", i, "pytest"), model.pytest) for i, model in enumerate(study.models)),
    ):
        for argument in arguments:
            if (option := argument.partition("=")[0]) in OWNED:
                yield DataError(
                    place(*path), found=option, expected="options that a study does not set itself",
                    remedy=f"Use the fields of the format; see {GUIDE}.",
                )  # fmt: skip
