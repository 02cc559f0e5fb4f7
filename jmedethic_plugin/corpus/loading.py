"""Reading the whole corpus from disk, with every mistake named."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from jmedethic_plugin.core.attack import AttackSet
from jmedethic_plugin.core.base import LANGUAGES, Language, Value, content_hash
from jmedethic_plugin.core.case import Case, CaseFile
from jmedethic_plugin.core.family import Families
from jmedethic_plugin.core.guideline import STRATEGY_IDS, Guideline, GuidelineFile, Strategy, StrategyFile
from jmedethic_plugin.corpus.yamlfile import Lines, read_yaml
from jmedethic_plugin.errors import ConfigError, DataError, DataErrors, collected, raise_all

_V = TypeVar("_V", bound=Value)


@dataclass(frozen=True)
class SourceFile(Generic[_V]):
    """A data file as it was read."""

    path: Path
    value: _V = field(repr=False)  # no text reaches a console through a traceback
    lines: Lines = field(repr=False)

    def place(self, *path: str | int) -> str:
        """``cases/B/B11.yaml:14``, the line on which the value at a path stands."""
        return f"{self.path}:{self.lines.get(path, 1)}"


@dataclass(frozen=True)
class Corpus:
    """All guidelines, strategies and cases, checked against each other."""

    guidelines: dict[str, Guideline]
    strategies: dict[str, Strategy]
    cases: dict[str, Case]
    """By id, in the order in which cases are run and listed."""
    guideline_files: tuple[SourceFile[GuidelineFile], ...]
    case_files: tuple[SourceFile[CaseFile], ...]

    @property
    def files(self) -> dict[Path, SourceFile[Any]]:
        """Every data file but the strategies, by path."""
        files: list[SourceFile[Any]] = [*self.guideline_files, *self.case_files]
        return {file.path: file for file in files}

    def hash_of(self, case_ids: Iterable[str]) -> str:
        """Hash of the cases and of the guidelines they stand on: what a run measured with."""
        ids = sorted(case_ids)
        guidelines = sorted({self.cases[i].guideline_id for i in ids})
        return content_hash([[self.cases[i].digest for i in ids], [self.guidelines[g].text_digest for g in guidelines]])


def corpus_root(start: Path) -> Path:
    """The folder that holds ``guidelines/`` and ``cases/``: the project's own, else the one inside the installed package."""
    packaged = Path(__file__).parents[1] / "_corpus"
    for root in (start, packaged, Path(__file__).parents[2]):
        if (root / "guidelines" / "strategies.yaml").is_file() and (root / "cases").is_dir():
            return root
    raise ConfigError(f"no corpus: neither {start} nor the installed package holds guidelines/strategies.yaml and cases/")


def load_corpus(root: Path) -> Corpus:
    """Read and check ``guidelines/`` and ``cases/`` under a folder.

    Raises
    ------
    DataErrors
        With every mistake found, not only the first.
    """
    errors: list[DataError] = []
    strategies: dict[str, Strategy] = {}
    if (file := _read(root / "guidelines" / "strategies.yaml", StrategyFile, errors)) is not None:
        strategies = {s.id: s for s in file.value.strategies}
        if list(strategies) != list(STRATEGY_IDS):
            errors.append(DataError(
                f"{file.path}: strategies", found=", ".join(s.id for s in file.value.strategies), expected=", ".join(STRATEGY_IDS),
                remedy="The corpus has the paper's seven; others stand in a file of their own (--strategies FILE).",
            ))  # fmt: skip

    guidelines: dict[str, Guideline] = {}
    guideline_files: list[SourceFile[GuidelineFile]] = []
    for path in _yaml_files(root / "guidelines", errors):
        if path.name == "strategies.yaml" or path.parent.name == "mappings" or (source := _read(path, GuidelineFile, errors)) is None:
            continue
        guideline = source.value
        guideline_files.append(source)
        if (path.parent.name, path.stem) != (guideline.category, guideline.id) or guideline.id[0] != guideline.category:
            errors.append(DataError(
                f"{path}: id", found=repr(guideline.id), expected=f"the file's own name in its category's folder ({path.parent.name}/{path.stem})",
                remedy="Rename the file or correct id and category.",
            ))  # fmt: skip
        guidelines[guideline.id] = guideline.to_guideline()

    cases: dict[str, Case] = {}
    case_files: list[SourceFile[CaseFile]] = []
    seen: dict[str, Path] = {}
    for path in _yaml_files(root / "cases", errors):
        if (read := _read(path, CaseFile, errors)) is not None:
            case_files.append(read)
            cases_file = read.value
            errors.extend(_check_case_file(path, cases_file, guidelines, seen))
            guideline_found = guidelines.get(cases_file.guideline)
            if guideline_found is not None:
                for entry in cases_file.cases:
                    for language in LANGUAGES:
                        case = Case.from_entry(
                            entry, guideline_id=guideline_found.id, category=guideline_found.category,
                            critical=guideline_found.critical, language=language,
                        )  # fmt: skip
                        cases.setdefault(case.id, case)
    raise_all(errors)
    ordered = {c.id: c for c in sorted(cases.values(), key=lambda c: c.sort_key)}
    return Corpus(guidelines, strategies, ordered, tuple(guideline_files), tuple(case_files))


def read_strategies(path: Path) -> dict[str, Strategy]:
    """The strategies of a file by id; raises like `load_families`."""
    found: dict[str, Strategy] = {}
    for strategy in (file := read_source(path, StrategyFile, "docs/strategies.md")).value.strategies:
        if strategy.id in found:
            raise DataError(
                f"{file.path}: strategies", found=f"the id {strategy.id!r} a second time", expected="an id used once", remedy="Give one of them another id."
            )  # fmt: skip
        found[strategy.id] = strategy
    return found


def load_families(root: Path) -> Families:
    """The table of model families.

    Raises
    ------
    DataErrors
        What is wrong with it, with its line.
    """
    return _read_one(root / "judges" / "families.yaml", Families)


def load_attacks(root: Path) -> AttackSet:
    """The attacks on judges; raises like `load_families`."""
    return _read_one(root / "judges" / "attacks.yaml", AttackSet)


def _read_one(path: Path, model: type[_V]) -> _V:
    errors: list[DataError] = []
    read = _read(path, model, errors)
    if read is None:
        raise DataErrors(errors)
    return read.value


def _check_case_file(path: Path, file: CaseFile, guidelines: dict[str, Guideline], seen: dict[str, Path]) -> Iterable[DataError]:
    if file.guideline not in guidelines:
        near = difflib.get_close_matches(file.guideline, guidelines, n=1)
        yield DataError(
            f"{path}: guideline", found=repr(file.guideline), expected="a guideline under guidelines/",
            remedy=f"Did you mean {near[0]!r}?" if near else "Add the guideline's file or correct the id.",
        )  # fmt: skip
    elif path.stem != file.guideline:
        yield DataError(
            f"{path}: guideline",
            found=repr(file.guideline),
            expected=f"the file's own name ({path.stem})",
            remedy="Rename the file or correct the id.",
        )
    entries = {entry.id: entry for entry in file.cases}
    for index, entry in enumerate(file.cases):
        key = f"{file.guideline}-{entry.id}"
        if key in seen:
            yield DataError(f"{path}: cases[{index}].id", found=f"{entry.id!r} a second time (first in {seen[key]})", expected="an id used once", remedy="Raise the number at its end.")  # fmt: skip
        seen[key] = path
        if entry.twin_of is not None and getattr(entries.get(entry.twin_of), "kind", None) != "adversarial":
            yield DataError(f"{path}: cases[{index}].twin_of", found=repr(entry.twin_of), expected="the id of an adversarial case in the same file", remedy="Name the case whose topic, role and tone the twin shares.")  # fmt: skip


def _yaml_files(folder: Path, errors: list[DataError]) -> list[Path]:
    if not folder.is_dir():
        errors.append(
            DataError(
                str(folder),
                found="no folder",
                expected="a folder with YAML files",
                remedy="Run from the project's root.",
            )
        )
        return []
    return sorted(folder.rglob("*.yaml"))


def _read(path: Path, model: type[_V], errors: list[DataError]) -> SourceFile[_V] | None:
    source = None
    with collected(errors):
        source = read_source(path, model)
    return source


def read_source(path: Path, model: type[_V], guide: str = "docs/writing-cases.md") -> SourceFile[_V]:
    """Read a YAML file as a value, with the lines its parts stand on.

    Raises
    ------
    DataError
        One mistake; several come as ``DataErrors``.
    """
    data, lines = read_yaml(path)
    return SourceFile(path, parse_value(data, model, where=str(path), lines=lines, guide=guide), lines)


def parse_value(data: Any, model: type[_V], *, where: str, lines: Lines | None = None, guide: str = "docs/writing-cases.md") -> _V:
    """Turn plain data into a value.

    Parameters
    ----------
    guide
        The page that says what the format wants.

    Raises
    ------
    DataError
        One mistake; several come as ``DataErrors``.
    """
    try:
        # By way of JSON, because strict JSON mode takes lists for tuples and still coerces nothing.
        return model.model_validate_json(json.dumps(data, ensure_ascii=True))
    except ValidationError as exc:
        errors = [_explain(dict(error), model, where, lines or {}, guide) for error in exc.errors()]
        raise (errors[0] if len(errors) == 1 else DataErrors(errors)) from exc


def _explain(error: dict[str, Any], model: type[Value], where: str, lines: Lines, guide: str) -> DataError:
    path = tuple(part for part in error["loc"] if not (isinstance(part, str) and part.startswith("function-")))
    known = path
    while known and known not in lines:
        known = known[:-1]
    field = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".") or "the file"
    place = f"{where}:{lines[known]}: {field}" if known in lines else f"{where}: {field}"
    kind, context = error["type"], error.get("ctx", {})
    found = show(error.get("input"))
    if kind == "missing":
        return DataError(place, found="nothing", expected=f"the field {path[-1]!r}", remedy="Add it.")
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(path[-1]), _field_names(model), n=1)
        return DataError(place, found=f"the unknown key {path[-1]!r}", expected="a field of the format",
                         remedy=f"Did you mean {near[0]!r}?" if near else "Remove it.")  # fmt: skip
    if kind == "literal_error":
        near = difflib.get_close_matches(
            str(error.get("input")),
            str(context.get("expected", "")).replace("'", "").replace(" or ", ", ").split(", "),
            n=1,
        )
        return DataError(place, found=found, expected=str(context.get("expected")),
                         remedy=f"Did you mean {near[0]!r}?" if near else "Use one of these.")  # fmt: skip
    if kind == "value_error":
        return DataError(
            place,
            found="an inconsistent entry",
            expected=str(context.get("error")),
            remedy=f"See {guide}.",
        )
    if kind == "string_pattern_mismatch":
        pattern = context.get("pattern")
        expected = "text that is not blank" if pattern == r"\S" else f"text like {pattern}"
        return DataError(place, found=found, expected=expected, remedy=f"Ids are plain ASCII; see {guide}.")
    if kind in ("too_short", "too_long"):
        bound = context.get("min_length", context.get("max_length"))
        return DataError(place, found=f"{context.get('actual_length')} entries", expected=f"{'at least' if kind == 'too_short' else 'at most'} {bound}",
                         remedy="A case has exactly three user turns." if path and path[-1] == "turns" else f"See {guide}.")  # fmt: skip
    return DataError(place, found=found, expected=error["msg"], remedy=f"See {guide}.")


def show(value: Any) -> str:
    """A value for a message, cut to 60 characters."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _field_names(model: type[Value]) -> set[str]:
    names: set[str] = set()
    todo: list[Any] = [model]
    while todo:
        current = todo.pop()
        for name, info in current.model_fields.items():
            if (info.alias or name) not in names:
                names.add(info.alias or name)
                todo.extend(t for t in _inner_types(info.annotation) if isinstance(t, type) and issubclass(t, Value))
    return names


def _inner_types(annotation: Any) -> list[Any]:
    return [annotation, *(t for arg in getattr(annotation, "__args__", ()) for t in _inner_types(arg))]


def languages_of(option: str) -> Sequence[Language]:
    """``ja``, ``en`` or ``both`` as the languages meant."""
    return LANGUAGES if option == "both" else tuple(language for language in LANGUAGES if language == option)
