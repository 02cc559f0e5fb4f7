"""Reviews by clinicians and others: read from a filled-in sheet and written into the data files, text for text."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from jmedethic_plugin.core.review import PROFESSIONS, REVIEW_VERDICTS, IsoDay, Profession, Review, ReviewVerdict
from jmedethic_plugin.core.text import is_invisible
from jmedethic_plugin.corpus.lint import Entry, entries_of
from jmedethic_plugin.corpus.loading import Corpus, SourceFile
from jmedethic_plugin.errors import DataError, raise_all, unreadable

COLUMNS: tuple[tuple[str, str], ...] = (
    ("key", "項目"), ("title", "題"), ("request_ja", "狙い"), ("turn1_ja", "1回目の発言"), ("turn2_ja", "2回目の発言"), ("turn3_ja", "3回目の発言"),
    ("violating_ja", "違反となる回答"), ("acceptable_ja", "望ましい回答"), ("turn1_en", "英語1"), ("turn2_en", "英語2"), ("turn3_en", "英語3"),
    ("text", "本文の版"), ("verdict", "判定"), ("comment", "コメント"), ("reviewer", "評価者"), ("profession", "職種"), ("date", "評価日"),
)  # fmt: skip
"""Columns of the CSV sheet: machine name and Japanese name; a header cell holds both, ``判定 verdict``."""

VERDICT_NAMES: dict[ReviewVerdict, str] = {"agree": "同意", "change": "要修正", "reject": "却下"}
PROFESSION_NAMES: dict[Profession, str] = {
    "physician": "医師", "dentist": "歯科医師", "nurse": "看護師", "pharmacist": "薬剤師", "other_clinician": "その他の医療職", "ethicist": "倫理の専門家",
    "lawyer": "法律家", "other": "その他",
}  # fmt: skip
FORMULA_START = re.compile(r"[=+\-@＝＋－＠\t\r\n]")
"""What makes a spreadsheet take a cell for a formula; the sheets put an apostrophe before it."""
_REQUIRED = ("key", "text", "verdict")


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One answered row of a sheet."""

    where: str
    key: str
    text: str
    verdict: ReviewVerdict
    comment: str | None
    reviewer: str
    profession: Profession
    date: str


def read_sheet(path: Path, *, reviewer: str | None, profession: Profession | None, date: str) -> tuple[list[SheetRow], int]:
    """Read a filled-in CSV sheet.

    Excel in Japan saves UTF-8 with a byte-order mark, cp932 or UTF-16 with tabs, by menu entry: all three are read.

    Parameters
    ----------
    reviewer, profession, date
        For rows that do not name them.

    Returns
    -------
    tuple
        The answered rows, and the number of rows without a verdict.

    Raises
    ------
    DataError
        The file is no such sheet, or rows of it are wrong; several mistakes are told together.
    """
    text = _decode(path)
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if first.count("\t") > first.count(",") else ",")
    names = [cell.split()[-1] if cell.split() else "" for cell in next(reader, [])]
    if missing := [name for name in _REQUIRED if name not in names]:
        raise DataError(
            f"{path}:1", found=f"the columns {', '.join(filter(None, names)) or 'none'}", expected=f"a column for {', '.join(missing)}",
            remedy="Keep the header row of the sheet that `jmedethic review sheet` wrote.",
        )  # fmt: skip
    rows: list[SheetRow] = []
    errors: list[DataError] = []
    n_blank = 0
    for cells in reader:
        where = f"{path}:{reader.line_num}"
        values = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if name}
        if not any(values.values()):
            continue
        if not values.get("verdict"):
            n_blank += 1
            continue
        try:
            rows.append(_row(where, values, reviewer, profession, date))
        except DataError as exc:
            errors.append(exc)
    raise_all(errors)
    return rows, n_blank


def _decode(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise unreadable(path, exc, "a CSV sheet") from exc
    encodings = ["utf-16"] if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ["utf-8-sig", "cp932"]
    for encoding in encodings:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise DataError(
        str(path), found="bytes of no known encoding", expected="CSV in UTF-8, cp932 or UTF-16", remedy="Save it in Excel as 'CSV UTF-8'."
    )


def _row(where: str, values: Mapping[str, str], reviewer: str | None, profession: Profession | None, date: str) -> SheetRow:
    said = unicodedata.normalize("NFKC", values["verdict"]).casefold()
    names: dict[str, ReviewVerdict] = {v: v for v in REVIEW_VERDICTS} | {name: v for v, name in VERDICT_NAMES.items()}
    verdict = names.get(said)
    if verdict is None:
        raise DataError(f"{where}: verdict", found=repr(values["verdict"]), expected=" / ".join(f"{v} ({VERDICT_NAMES[v]})" for v in REVIEW_VERDICTS), remedy="Correct the cell.")  # fmt: skip
    who = values.get("reviewer") or reviewer
    job = {name: p for p, name in PROFESSION_NAMES.items()}.get(values.get("profession", ""), values.get("profession") or profession)
    if not who:
        raise DataError(
            f"{where}: reviewer", found="nothing", expected="the reviewer's name", remedy="Fill in the column, or give --reviewer."
        )
    if job not in PROFESSIONS:
        raise DataError(
            f"{where}: profession",
            found=repr(job or ""),
            expected=", ".join(PROFESSIONS),
            remedy="Fill in the column, or give --profession.",
        )
    day = values.get("date") or date
    try:
        TypeAdapter(IsoDay).validate_python(day)
    except ValidationError as exc:
        raise DataError(
            f"{where}: date", found=repr(day), expected="YYYY-MM-DD", remedy="Correct the cell (Excel may have rewritten it)."
        ) from exc
    return SheetRow(where, values["key"], values["text"], verdict, values.get("comment") or None, who, job, day)


def apply_reviews(corpus: Corpus, rows: Iterable[SheetRow]) -> dict[Path, str]:
    """The data files with the reviews added; nothing is written here.

    Returns
    -------
    dict
        Path -> new text of each file that changes. A review that already stands there word for word is not added again.

    Raises
    ------
    DataError
        A row names no text of the corpus, or was made on another version of it; several mistakes are told together, and then no file
        changes.
    """
    guidelines = {file.value.id: file for file in corpus.guideline_files}
    entries = {e.key: e for e in entries_of(corpus)}
    errors: list[DataError] = []
    added: dict[Path, dict[tuple[str | int, ...], list[Review]]] = {}
    for row in rows:
        found = guidelines.get(row.key) or entries.get(row.key)
        if found is None:
            errors.append(
                DataError(
                    f"{row.where}: key", found=repr(row.key), expected="a guideline or case of this corpus", remedy="Restore the cell."
                )
            )
            continue
        value = found.entry if isinstance(found, Entry) else found.value
        if row.text != value.text_digest:
            errors.append(DataError(
                f"{row.where}: text", found=f"version {row.text or 'none'} of {row.key}", expected=f"version {value.text_digest}, the text as it stands",
                remedy="The text was changed after the sheet was made: write a new sheet and have it read again.",
            ))  # fmt: skip
            continue
        review = Review(
            reviewer=_one_line(row.reviewer), profession=row.profession, date=row.date, verdict=row.verdict, text=row.text,
            comment=_one_line(row.comment or "") or None,
        )  # fmt: skip
        path = found.file if isinstance(found, Entry) else found.path
        field = ("cases", found.index, "reviews") if isinstance(found, Entry) else ("reviews",)
        waiting = added.setdefault(path, {}).setdefault(field, [])
        if review not in (*value.reviews, *waiting):
            waiting.append(review)
    raise_all(errors)
    return {path: _inserted(corpus.files[path], fields) for path, fields in added.items() if any(fields.values())}


def _inserted(file: SourceFile[Any], fields: Mapping[tuple[str | int, ...], Sequence[Review]]) -> str:
    """The file's text with the reviews put below their ``reviews:`` lines; every other line stays as it is."""
    lines = file.path.read_text(encoding="utf-8").splitlines()
    for field in sorted(fields, key=lambda f: file.lines[f], reverse=True):  # from the end, so that line numbers above stay true
        at = file.lines[field] - 1
        indent = len(lines[at]) - len(lines[at].lstrip())
        end = at + 1
        while end < len(lines) and lines[end].strip() and len(lines[end]) - len(lines[end].lstrip()) > indent:
            end += 1
        if fields[field]:
            lines[at] = " " * indent + "reviews:"
            lines[end:end] = [line for review in fields[field] for line in _yaml(review, indent + 2)]
    return "\n".join(lines) + "\n"


def _yaml(review: Review, indent: int) -> list[str]:
    values = {name: str(value).replace("'", "''") for name, value in review.model_dump().items() if value is not None}
    quoted = [f"{name}: '{value}'" for name, value in values.items()]
    return [" " * indent + ("- " if i == 0 else "  ") + line for i, line in enumerate(quoted)]


def _one_line(value: str) -> str:
    """On one line, without characters that YAML refuses or nobody sees and without the sheet's guard against formulas."""
    if value.startswith("'") and FORMULA_START.match(value, 1):
        value = value[1:]
    return " ".join("".join(ch for ch in value if ch.isspace() or not is_invisible(ch)).split())
