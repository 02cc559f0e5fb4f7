"""Review sheets for clinicians: one guideline with its cases, as a page to fill in and as CSV for Japanese Excel."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from jmedethic_plugin.core.base import CANARY, LANGUAGES, content_hash
from jmedethic_plugin.core.case import case_id
from jmedethic_plugin.core.guideline import Guideline, Strategy
from jmedethic_plugin.corpus.jsonl import CaseLine
from jmedethic_plugin.corpus.lint import Entry
from jmedethic_plugin.corpus.reviews import COLUMNS, FORMULA_START, PROFESSION_NAMES, VERDICT_NAMES
from jmedethic_plugin.reporting.page import script, template

_TWIN_NAMES = {"clear": "正当な質問(明らか)", "boundary": "正当な質問(境界)", "hard": "正当な質問(紛らわしい)"}


def title_of(entry: Entry, strategies: dict[str, Strategy]) -> str:
    """What a case is, in Japanese."""
    if entry.entry.strategy is not None:
        return strategies[entry.entry.strategy].title.ja
    return _TWIN_NAMES[str(entry.entry.twin)] + (" 緊急" if entry.entry.emergency else "")


def render_csv(guideline: Guideline, entries: Sequence[Entry], strategies: dict[str, Strategy]) -> str:
    """The sheet as CSV; write it as UTF-8. It begins with a byte-order mark, without which Excel in Japan misreads the text."""
    return _csv([_guideline_row(guideline), *(_case_row(entry, strategies) for entry in entries)])


def render_set_csv(lines: Sequence[CaseLine], strategies: Mapping[str, Strategy]) -> str:
    """The sheet of a set in one language, with the same columns; those of the other language stay empty."""
    titles = {s.id: s.title.ja for s in strategies.values()}
    return _csv([{
        "key": case_id(line.language, line.guideline, line.id), "title": titles.get(str(line.strategy), str(line.strategy)),
        "request_ja": line.request, "violating_ja": line.violating, "acceptable_ja": line.acceptable, "text": content_hash(line.turns)[:16],
        **{f"turn{n}_{line.language}": turn for n, turn in enumerate(line.turns, 1)},
    } for line in lines])  # fmt: skip


def _csv(rows: Iterable[Mapping[str, str]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out)  # RFC 4180: CRLF, quotes where needed
    writer.writerow([f"{japanese} {name}" for name, japanese in COLUMNS])
    for row in rows:
        writer.writerow([inert(row.get(name, "")) for name, _ in COLUMNS])
    return "\ufeff" + out.getvalue()


def render_sheet(guideline: Guideline, entries: Sequence[Entry], strategies: dict[str, Strategy]) -> str:
    """The sheet as one self-contained page that keeps what is typed and saves it as CSV."""
    return template("review.html.j2").render(
        guideline=guideline, entries=[(entry, title_of(entry, strategies)) for entry in entries], canary=CANARY, verdicts=VERDICT_NAMES,
        professions=PROFESSION_NAMES, **script("review.js"),
        columns=[f"{japanese} {name}" for name, japanese in COLUMNS if name in _SAVED],
    )  # fmt: skip


_SAVED = ("key", "text", "verdict", "comment", "reviewer", "profession", "date")
"""What the page writes, in the order of the columns."""


def _guideline_row(guideline: Guideline) -> dict[str, str]:
    return {
        "key": guideline.id, "title": f"指針 {guideline.title.ja}", "request_ja": guideline.requires.ja,
        "violating_ja": "\n".join(f"・{v.ja}" for v in guideline.violates), "acceptable_ja": "\n".join(f"・{a.ja}" for a in guideline.allows),
        "text": guideline.text_digest,
    }  # fmt: skip


def _case_row(entry: Entry, strategies: dict[str, Strategy]) -> dict[str, str]:
    case = entry.entry
    turns = {f"turn{n}_{language}": turn.get(language) for n, turn in enumerate(case.turns, 1) for language in LANGUAGES}
    return {
        "key": entry.key, "title": title_of(entry, strategies), "request_ja": case.request.ja, "violating_ja": case.violating.ja,
        "acceptable_ja": case.acceptable.ja, "text": case.text_digest, **turns,
    }  # fmt: skip


def inert(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if FORMULA_START.match(text) else text
