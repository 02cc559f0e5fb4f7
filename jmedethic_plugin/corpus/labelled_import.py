"""Published sets of labelled replies, from the files as a user downloaded them to our JSONL.

Nothing is fetched, and no row ships with this package. What was verified, and from where:

- ``jailbreakbench``: `judge-comparison.csv` of JBB-Behaviors. Header ``Index, goal, prompt, target_response, human1, human2, human3,
  human_majority, harmbench_cf, gpt4_cf, llamaguard2_cf, llama3_cf`` and 1 = jailbroken from public code that checks and uses them;
  licence from the card.
- ``xstest``: `xstest_v2_completions_<model>.csv`. Header ``id, type, prompt, completion, annotation_1, annotation_2, agreement,
  final_label``, the three labels and the licence from the authors' repository (one of the five files was opened).
- ``polyguard``: PolyGuardPrompts. Fields and licence from the card, language names and label words from public code. The file is Parquet:
  write it as JSONL or CSV first. The agreement fields show that the labels are WildGuardTest's, carried over to the translations.
- ``healthbench``: `2025-05-07-06-14-12_oss_meta_eval.jsonl`. Fields from public code that reads it; MIT is the repository's licence. The
  criteria seen say what a good reply does, so one that is not met counts as a violation; not every criterion was seen.

Other judges' verdicts in a set are not imported: they are no labels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from jmedethic_plugin.core.base import Bilingual, Language, content_hash
from jmedethic_plugin.core.labelled import LabelledAnswer
from jmedethic_plugin.corpus import wording
from jmedethic_plugin.corpus.labelled import GUIDE, labelled_line
from jmedethic_plugin.corpus.loading import parse_value
from jmedethic_plugin.corpus.rows import DropRowError, Row, new_file, none_kept, read_rows
from jmedethic_plugin.errors import ConfigError, DataError

_T = TypeVar("_T")

_AS_PUBLISHED = f"Is this the file as published? See {GUIDE}."

_HARM = Bilingual(ja="有害なことに手を貸す。または内容そのものが有害。", en="Helps with something harmful, or is harmful itself.")
_NO_HARM = Bilingual(ja="断る。または害のない範囲で答える。", en="Declines, or answers without harm.")
_UNMET = Bilingual(ja="次の基準を満たさない。", en="Does not meet this criterion.")
_MET = Bilingual(ja="次の基準を満たす。", en="Meets this criterion.")


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What came of an import."""

    kept: int
    dropped: dict[str, int]
    """Reason -> number of rows."""
    licence: str


@dataclass(frozen=True, slots=True)
class _Set:
    source: str
    licence: str
    note: str
    columns: tuple[str, ...]
    answer: Callable[[Row, str, Path], dict[str, Any]]
    """Row, its place and its file -> the fields of an answer that differ by row."""
    clinicians: bool = False
    bilingual: bool = False
    """Rows of both languages share the first two parts of their ids."""


def import_labelled(format: str, file: Path, out: Path) -> ImportReport:
    """Write the Japanese and English rows of a published set as our JSONL.

    Parameters
    ----------
    format
        One of `FORMATS`.
    file
        The set, ``.csv``, ``.json`` or ``.jsonl``.
    out
        Must not exist yet; it appears when everything is written.

    Raises
    ------
    ConfigError
        No such format, or `out` exists.
    DataError
        The first thing in the file that is not as published, or not one row to keep.
    """
    if format not in _SETS:
        raise ConfigError(f"no labelled set {format!r}; known: {', '.join(FORMATS)}")
    chosen = _SETS[format]
    dropped: Counter[str] = Counter()
    seen: set[str] = set()
    answers = _answers(chosen, file, dropped)
    with new_file(out) as lines:
        for answer in _paired(answers) if chosen.bilingual else answers:
            if answer.id in seen:
                dropped["an id a second time"] += 1
                continue
            seen.add(answer.id)
            lines.write(f"{labelled_line(answer)}\n")
        if not seen:
            raise none_kept(file, dropped, f"rows of {chosen.source}", GUIDE)
    return ImportReport(len(seen), dict(dropped), chosen.licence)


def _answers(chosen: _Set, file: Path, dropped: Counter[str]) -> Iterator[LabelledAnswer]:
    same = {"source": chosen.source, "licence": chosen.licence, "clinician_labelled": chosen.clinicians}
    for where, row in read_rows(file, GUIDE):
        if missing := [column for column in chosen.columns if column not in row]:
            raise DataError(where, found=f"the columns {', '.join(map(str, row))}", expected=f"a column for {', '.join(missing)}",
                            remedy=_AS_PUBLISHED)  # fmt: skip
        try:
            fields = chosen.answer(row, where, file)
        except DropRowError as exc:
            dropped[str(exc)] += 1
        else:
            note = f"{chosen.note} Canary: {row['canary']}" if row.get("canary") else chosen.note
            yield parse_value({**same, "note": note, **fields}, LabelledAnswer, where=where, guide=GUIDE)


def _paired(answers: Iterable[LabelledAnswer]) -> Iterator[LabelledAnswer]:
    """The answers, each with its reply in the other language where there is one."""
    held = list(answers)
    replies = {answer.id: answer.exchanges[-1][1] for answer in held}
    for answer in held:
        other = f"{answer.id[:-2]}{'en' if answer.language == 'ja' else 'ja'}"
        yield answer.model_copy(update={"counterpart": replies.get(other)})


def _text(row: Row, name: str, reason: str) -> str:
    value = row[name]
    if not isinstance(value, str) or not value.strip():
        raise DropRowError(reason)
    return value


def _choice(row: Row, name: str, choices: Mapping[str, _T], where: str) -> _T | None:
    """What a cell's word stands for; None for an empty cell."""
    word = "" if row[name] is None else str(row[name]).strip().casefold()
    if word in ("", "none", "null", "nan"):
        return None
    if word not in choices:
        raise DataError(f"{where}: {name}", found=repr(row[name]), expected=", ".join(choices), remedy=_AS_PUBLISHED)
    return choices[word]


def _id(*parts: object) -> str:
    return "-".join(re.sub(r"[^A-Za-z0-9_.-]+", "_", str(part)) for part in parts)


def _labels(said: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Labels by author, without the silent."""
    labels = [{"author": author} | dict(label) for author, label in said.items() if any(value is not None for value in label.values())]
    if not labels:
        raise DropRowError("no label")
    return labels


_VOTES = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


def _jailbreakbench(row: Row, where: str, file: Path) -> dict[str, Any]:
    votes = {name: _choice(row, name, _VOTES, where) for name in ("human1", "human2", "human3")}
    majority = _choice(row, "human_majority", _VOTES, where)
    if None not in votes.values() and majority is not None and (sum(map(bool, votes.values())) >= 2) != majority:
        raise DropRowError("votes and majority contradict each other")
    if set(votes.values()) == {None}:
        votes = {"human_majority": majority}
    goal = _text(row, "goal", "no prompt")
    return {
        "id": _id("jailbreakbench", row.get("Index", where.rpartition(":")[2])), "language": "en", "request": goal, "violating": _HARM.en,
        "acceptable": _NO_HARM.en, "exchanges": [(_text(row, "prompt", "no prompt"), _text(row, "target_response", "no reply"))],
        "labels": _labels({name: {"violation": vote} for name, vote in votes.items()}),
    }  # fmt: skip


_REFUSALS: dict[str, dict[str, Any]] = {
    "1_full_compliance": {"refused": False},
    "2_full_refusal": {"refused": True, "response_class": "full_refusal"},
    "3_partial_refusal": {"refused": True, "response_class": "partial_refusal"},
}
_XSTEST_FAMILIES = {"gpt": "openai", "llama": "meta", "mistral": "mistral"}


def _xstest(row: Row, where: str, file: Path) -> dict[str, Any]:
    said = {name: _choice(row, name, _REFUSALS, where) for name in ("annotation_1", "annotation_2", "final_label")}
    if said["annotation_1"] == said["annotation_2"] is not None:
        del said["final_label"]  # repeats what both said; where they differ it decides
    model = file.stem.rpartition("completions_")[2]
    prompt = _text(row, "prompt", "no prompt")
    unsafe = str(row["type"]).startswith("contrast_")
    return {
        "id": _id("xstest", model, row["id"]), "language": "en",
        "family": next((family for start, family in _XSTEST_FAMILIES.items() if model.startswith(start)), None), "request": prompt,
        "violating": _HARM.en, "acceptable": _NO_HARM.en if unsafe else "Answers: the question only looks dangerous.",
        "exchanges": [(prompt, _text(row, "completion", "no reply"))],
        "labels": _labels({name: label or {} for name, label in said.items()}),
    }  # fmt: skip


_LANGUAGES: dict[str, Language] = {"japanese": "ja", "ja": "ja", "english": "en", "en": "en"}


def _polyguard(row: Row, where: str, file: Path) -> dict[str, Any]:
    language = _LANGUAGES.get(str(row["language"]).strip().casefold())
    if language is None:
        raise DropRowError("neither Japanese nor English")
    violation = _choice(row, "response_harm_label", {"harmful": True, "unharmful": False}, where)
    refused = _choice(row, "response_refusal_label", {"refusal": True, "compliance": False}, where)
    prompt = _text(row, "prompt", "no prompt")
    return {
        "id": _id("polyguard", row["id"], language), "language": language, "request": prompt, "violating": _HARM.get(language),
        "acceptable": _NO_HARM.get(language), "exchanges": [(prompt, _text(row, "response", "no reply"))],
        "labels": _labels({"annotators": {"violation": violation, "refused": refused}}),
    }  # fmt: skip


def _healthbench(row: Row, where: str, file: Path) -> dict[str, Any]:
    reply = _text(row, "completion", "no reply")
    exchanges = _exchanges(row["prompt"], reply)
    language = wording.language_of(reply)
    if language is None or language != wording.language_of(" ".join(user for user, _ in exchanges)):
        raise DropRowError("not plainly Japanese or English")
    criterion = _text(row, "rubric", "no criterion")
    physicians, met = row["anonymized_physician_ids"], row["binary_labels"]
    if not isinstance(physicians, list) or not isinstance(met, list) or [type(said) for said in met] != [bool] * len(physicians):
        raise DataError(f"{where}: binary_labels", found=f"{met!r}"[:60], expected="true or false for each physician", remedy=_AS_PUBLISHED)
    return {
        "id": _id("healthbench", row["completion_id"], content_hash(criterion)[:8]), "language": language, "request": exchanges[-1][0],
        "violating": f"{_UNMET.get(language)}\n{criterion}", "acceptable": f"{_MET.get(language)}\n{criterion}", "exchanges": exchanges,
        "labels": _labels({who: {"violation": not said} for who, said in zip(physicians, met, strict=True)}),
    }  # fmt: skip


def _exchanges(messages: Any, reply: str) -> list[tuple[str, str]]:
    turns = [*messages, {"role": "assistant", "content": reply}] if isinstance(messages, list) else []
    said = [(turn.get("role"), turn.get("content")) for turn in turns if isinstance(turn, dict)]
    texts = [text for _, text in said if isinstance(text, str) and text.strip()]
    if not texts or len(texts) < len(turns) or [role for role, _ in said] != ["user", "assistant"] * (len(turns) // 2):
        raise DropRowError("messages other than turns of user and model")
    return list(zip(texts[::2], texts[1::2], strict=True))


_SETS = {
    "jailbreakbench": _Set(
        "JailbreakBench judge_comparison", "MIT", "General harms and jailbreak prompts in English; three experts, no clinicians.",
        ("goal", "prompt", "target_response", "human1", "human2", "human3", "human_majority"), _jailbreakbench,
    ),
    "xstest": _Set(
        "XSTest v2 completions", "prompts CC-BY-4.0, completions under the licence of the model that wrote them",
        "Labels of refusal only; they say nothing of violation. English, general, no clinicians.",
        ("id", "type", "prompt", "completion", "annotation_1", "annotation_2", "final_label"), _xstest,
    ),
    "polyguard": _Set(
        "PolyGuardPrompts", "CC-BY-4.0",
        "General harms. The Japanese is a machine translation with the labels of the English: both languages of a number are one item.",
        ("id", "language", "prompt", "response", "response_harm_label", "response_refusal_label"), _polyguard, bilingual=True,
    ),
    "healthbench": _Set(
        "HealthBench meta-evaluation", "MIT",
        "A criterion of medical quality, not of ethics; a physician's 'not met' is a violation. Rows of a completion are one cluster.",
        ("prompt", "completion", "completion_id", "rubric", "binary_labels", "anonymized_physician_ids"), _healthbench, clinicians=True,
    ),
}  # fmt: skip
FORMATS: tuple[str, ...] = tuple(_SETS)
