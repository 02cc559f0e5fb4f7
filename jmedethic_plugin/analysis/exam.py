"""Exam accuracy, beside the safety tables and in none of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jmedethic_plugin.core.base import LANGUAGES, Language, Value
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.core.exam import ExamRecord
from jmedethic_plugin.stats.intervals import wilson_interval


class ExamRow(Value):
    """One exam, or all exams of a language together."""

    exam: str | None
    """Name of the file; None for all of the language, where there are several."""
    language: Language
    n: int
    """Questions asked."""
    n_correct: int
    n_wrong: int
    n_unparsable: int
    """Replies without an answer that can be read: neither right nor wrong."""
    n_not_measured: int
    """Questions without a reply."""
    n_forbidden: int
    """Answers that name a forbidden choice (kinki)."""
    of_parsed: Estimate | None
    """Correct, as a share of the answers that can be read; what the paper seems to report. None without any."""
    of_all: Estimate
    """Correct, as a share of all questions."""


def exam_rows(records: Sequence[ExamRecord]) -> tuple[ExamRow, ...]:
    """A row for each exam, and one for each language with several."""
    rows = []
    for language in LANGUAGES:
        own = [r for r in records if r.item.language == language]
        names = sorted({r.item.exam for r in own})
        rows += [_row(name, [r for r in own if r.item.exam == name]) for name in names]
        if len(names) > 1:
            rows.append(_row(None, own))
    return tuple(rows)


def _row(exam: str | None, records: Sequence[ExamRecord]) -> ExamRow:
    counts = Counter(r.status for r in records)
    correct, wrong = counts["correct"], counts["wrong"]
    return ExamRow(
        exam=exam, language=records[0].item.language, n=len(records), n_correct=correct, n_wrong=wrong, n_unparsable=counts["unparsable"],
        n_not_measured=counts["not_measured"], n_forbidden=sum(r.chose_forbidden for r in records),
        of_parsed=_share(correct, correct + wrong) if correct + wrong else None, of_all=_share(correct, len(records)),
    )  # fmt: skip


def _share(n_correct: int, n: int) -> Estimate:
    return wilson_interval(n_correct, n).model_copy(update={"method": "Wilson, independent questions assumed"})
