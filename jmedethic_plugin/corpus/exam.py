"""Exams from a user's file, KokushiMD-10 style (paper.md 10.5): a JSON list or JSONL. No exam ships with this package."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jmedethic_plugin.core.base import Language, content_hash
from jmedethic_plugin.core.case import EXAM_PREFIX
from jmedethic_plugin.core.exam import ExamFile, ExamItem, ExamQuestion, normalise_answer
from jmedethic_plugin.corpus.jsonl import MAX_ERRORS
from jmedethic_plugin.errors import DataError, collected, raise_all, unreadable

GUIDE = "See docs/exam.md."
_IMAGES = ("image", "images", "img")


@dataclass(frozen=True)
class Exam:
    """A file as it was read."""

    file: ExamFile
    questions: tuple[ExamQuestion, ...]


def load_exams(paths: Sequence[Path]) -> list[Exam]:
    """Read exams.

    Raises
    ------
    DataError
        What is wrong, with file, row and field; several mistakes are told together.
    """
    exams: dict[str, Exam] = {}
    errors: list[DataError] = []
    for path in paths:
        with collected(errors):
            if _name(path) in exams:
                raise DataError(str(path), found="a second exam of this name", expected="a name for each", remedy="Rename a file.")
            exams[_name(path)] = _load(path)
    raise_all(errors)
    return list(exams.values())


def _load(path: Path) -> Exam:
    errors: list[DataError] = []
    kept: list[tuple[int, Mapping[str, Any]]] = []
    licences: set[str] = set()
    n_images = n_withdrawn = 0
    for number, row in _rows(path, errors):
        if not isinstance(row, dict):
            errors.append(_wrong(path, number, "", type(row).__name__, "an object with index, question, options and answer"))
            continue
        licences |= {str(row[name]) for name in ("licence", "license") if row.get(name)}
        if "corrected_question_index" in row:  # not scored by the set's own scorer either
            n_withdrawn += 1
        elif not row.get("text_only", True) or any(row.get(name) for name in _IMAGES):
            n_images += 1
        else:
            kept.append((number, row))
    # Kana in most questions, not in one: an English exam may quote a Japanese name.
    kana = sum(bool(re.search("[ぁ-んァ-ヶ]", str(row.get("question")))) for _, row in kept)
    language: Language = "ja" if 2 * kana >= len(kept) else "en"
    questions: dict[str, ExamQuestion] = {}
    rows: dict[str, int] = {}
    for number, row in kept:
        with collected(errors):
            question = _question(path, number, row, language, questions)
            text = content_hash([question.question, dict(question.options)])
            if text in rows:
                raise _wrong(path, number, "question", f"the question of row {rows[text]} again", "a question once")
            rows[text] = number
            questions[question.item.id] = question
        if len(errors) >= MAX_ERRORS:
            break
    if not errors and not questions:
        errors.append(DataError(str(path), found="no question that is text only", expected="an exam", remedy=GUIDE))
    raise_all(errors)
    found = tuple(questions.values())
    return Exam(
        ExamFile(
            name=path.stem, language=language, licence=", ".join(sorted(licences)) or None, n_questions=len(found), n_images=n_images,
            n_withdrawn=n_withdrawn, digest=content_hash([q.digest for q in found]),
        ),
        found,
    )  # fmt: skip


def _rows(path: Path, errors: list[DataError]) -> Iterator[tuple[int, Any]]:
    """Number from 1 and content of each row: of the list's entries, or of the lines."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise unreadable(path, exc, "a JSON list or a JSONL file") from exc
    except UnicodeDecodeError as exc:
        raise DataError(str(path), found="bytes that are not UTF-8", expected="UTF-8 text", remedy="Save the file as UTF-8.") from exc
    if text.lstrip().startswith("["):
        yield from enumerate(_json(text, str(path)), 1)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and len(errors) < MAX_ERRORS:
            with collected(errors):
                yield number, _json(line, f"{path}: row {number}")


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise DataError(where, found="no JSON", expected="a JSON list, or one JSON object a line", remedy="Export the file again.") from exc


def _question(path: Path, number: int, row: Mapping[str, Any], language: Language, known: Mapping[str, ExamQuestion]) -> ExamQuestion:
    index, question, answer = row.get("index"), row.get("question"), normalise_answer(row.get("answer"))
    if isinstance(index, bool) or not isinstance(index, (str, int)) or not re.fullmatch(r"[0-9A-Za-z]+([-_][0-9A-Za-z]+)*", str(index)):
        raise _wrong(path, number, "index", repr(index), "a number, or text like 12 or 12-13")
    if not isinstance(question, str) or not question.strip():
        raise _wrong(path, number, "question", repr(question)[:60], "text")
    options = _options(path, number, row)
    if not answer:
        raise _wrong(path, number, "answer", repr(row.get("answer"))[:60], "the keys of the right options, e.g. 'a', 'ac', 2 or ['a', 'c']")
    keys = {key.upper() for key in options}
    if not set(answer) <= (keys or set("0123456789")):
        raise _wrong(path, number, "answer", repr(row["answer"])[:60], f"keys among {', '.join(options)}" if options else "a number")
    kinki = row.get("kinki") or ""
    forbidden = normalise_answer(kinki)
    if kinki and not (forbidden and set(forbidden) <= keys):
        raise _wrong(path, number, "kinki", repr(kinki)[:60], f"keys among {', '.join(options)}, or nothing")
    item_id = f"{EXAM_PREFIX}{_name(path)}-{index}"
    if item_id in known:  # a file that joins several exams has an index more than once; the row then tells
        item_id += f".{number}"
    item = ExamItem(id=item_id, exam=path.stem, row=number, language=language, answer=answer, forbidden=forbidden)
    return ExamQuestion(item=item, question=question, options=options)


def _name(path: Path) -> str:
    """The file's name as a part of node ids: plain ASCII."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", path.stem if path.stem.isascii() else path.stem.encode("punycode").decode("ascii"))


def _options(path: Path, number: int, row: Mapping[str, Any]) -> dict[str, str]:
    """Options by key; they stand in the row itself or in an object ``options``."""
    within = row.get("options")
    if within is not None and not isinstance(within, dict):
        raise _wrong(path, number, "options", type(within).__name__, "an object of options by key (1, 2, ... or a, b, ...)")
    options = {}
    for key, text in (row if within is None else within).items():
        folded = unicodedata.normalize("NFKC", key).strip()
        if not re.fullmatch("[0-9A-Za-z]", folded):
            if within is not None:
                raise _wrong(path, number, f"options.{key[:20]}", "a key of another kind", "keys of one digit or letter")
            continue
        if text is None:
            continue  # tables with a column for each possible option
        if not isinstance(text, str) or not text.strip():
            raise _wrong(path, number, folded, repr(text)[:60], "the option's text")
        options[folded] = text
    if len(options) == 1:
        raise _wrong(path, number, "options", "one option", "at least two, or none where a number is asked for")
    return options


def _wrong(path: Path, number: int, field: str, found: str, expected: str) -> DataError:
    return DataError(f"{path}: row {number}{field and f': {field}'}", found=found, expected=expected, remedy=GUIDE)
