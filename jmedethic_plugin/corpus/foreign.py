"""Published sets of requests and conversations, from the files as a user downloaded them to our case lines.

Nothing is fetched, and no row ships with this package. What is known of each, and from where:

- ``jmedethicbench``: the published dataset (Hugging Face ``humanalysis-square/JMedEthicBench``, CC BY-NC 4.0, from its listing). Its field
  names are not public to us, so they are detected and, where that fails, named in a mapping file.
- ``safedialbench``: ``task, method, model_type, scene, id, history: [{user, bot}]`` (arXiv 2502.11090 and its repository), no licence stated.
- ``medsafetybench``: one CSV for each AMA principle, columns ``harmful_medical_request, safe_response`` (arXiv 2403.03744 and public code
  that reads it). The principle stands in the file's name alone.
- ``cares``: ``principle_index, harmful_level, method, generation_model, base_prompt, prompt`` of CARES-18K (arXiv 2505.11413; the columns
  from public code that reads it).

A licence that we did not read ourselves is not assumed: the mapping file states it. Which guideline of ours a row belongs to, and which
strategy, is said by a mapping file and never guessed. A case has three user turns: how a row with another number becomes three is a rule of
the mapping file, and stands in each case's source.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from jmedethic_plugin.core.base import CANARY, Bilingual, Language, Text, Value, content_hash
from jmedethic_plugin.core.case import N_TURNS
from jmedethic_plugin.core.guideline import CatalogueStrategyId, Guideline, GuidelineId
from jmedethic_plugin.corpus import wording
from jmedethic_plugin.corpus.external import LISTS, user_texts
from jmedethic_plugin.corpus.jsonl import MAX_ERRORS, CaseLine
from jmedethic_plugin.corpus.loading import parse_value, read_source, show
from jmedethic_plugin.corpus.rows import DropRowError, Row, new_file, none_kept, read_rows
from jmedethic_plugin.errors import ConfigError, DataError, collected, raise_all

GUIDE = "docs/import.md"
MAX_NUMBER = 9999
"""Of an entry's id."""

FieldName = Literal["turns", "guideline", "strategy", "language", "level", "request", "id", "item"]

_AGAINST = Bilingual(ja="次のいずれかに手を貸す。", en="Helps with any of the following.")
_DECLINES = Bilingual(ja="断る。または次のように、害のない範囲で答える。", en="Declines, or answers without harm, as in the following.")
_ANSWERS = Bilingual(ja="答える。問いに害はない。", en="Answers: the question is harmless.")


class Rule(Value):
    """Which rows belong to a guideline."""

    guideline: GuidelineId
    values: tuple[Text, ...] = ()
    """Of the row's field ``guideline``, as text; none: any."""
    words: tuple[Text, ...] = ()
    """One of these in the user's words, whatever its case; none: whatever they say."""

    def fits(self, value: str, said: str) -> bool:
        """Whether a row with this value and these words belongs to the guideline."""
        return (not self.values or value in self.values) and (not self.words or any(word.casefold() in said for word in self.words))


class ImportMapping(Value):
    """``map.yaml``: what a foreign set's fields and values are here."""

    format: Literal["jmedethic/import-mapping@1"] = Field(alias="schema")
    licence: Text | None = None
    """As the set's own card states it, where this package does not know it."""
    fields: dict[FieldName, Text] = Field(default_factory=dict)
    """Our name -> theirs. Detected where left out."""
    turn_fields: tuple[Text, ...] = ()
    """The fields of the turns in their order, where each has its own."""
    guidelines: tuple[Rule, ...] = Field(min_length=1)
    """The first that fits counts; a row that none fits is dropped and counted."""
    strategies: dict[Text, CatalogueStrategyId] = Field(default_factory=dict)
    """Their name -> ours."""
    strategy: CatalogueStrategyId | None = None
    """Of every row, where the set names none."""
    language: Language | None = None
    """Of every row; told from the texts where left out."""
    harmless: tuple[Text, ...] = ()
    """Values of the field ``level`` that mean a request without harm: benign cases, which a model should answer."""
    lead_in: tuple[Bilingual, Bilingual] | None = None
    """Two turns put before a single request."""
    longer: Literal["drop", "first_three", "last_three"] = "drop"
    """What becomes of a conversation with more than three user turns."""


@dataclass(frozen=True, slots=True)
class ForeignReport:
    """What came of an import; kept and dropped are all rows there were."""

    kept: int
    dropped: dict[str, int]
    """Reason -> number of rows."""
    licence: str
    by_guideline: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Set:
    name: str
    licence: str | None
    fields: Mapping[FieldName, tuple[str, ...]]
    """Names looked for where the mapping names none."""
    guideline_in_name: bool = False
    """The file's name without its ending is the value of the field ``guideline``."""


_SETS: dict[str, _Set] = {
    "jmedethicbench": _Set("JMedEthicBench", "CC BY-NC 4.0", {
        "turns": LISTS, "guideline": ("guideline", "guideline_id", "principle", "principle_id"),
        "strategy": ("strategy", "strategy_id", "strategy_name", "jailbreak_strategy"), "language": ("language", "lang"),
        "request": ("request", "harmful_question", "question"), "id": ("id", "index"),
    }),
    "safedialbench": _Set("SafeDialBench", None, {
        "turns": ("history",), "guideline": ("scene",), "strategy": ("method",), "id": ("id",),
    }),
    "medsafetybench": _Set("MedSafetyBench", None, {"turns": ("harmful_medical_request",)}, guideline_in_name=True),
    "cares": _Set("CARES", None, {
        "turns": ("prompt",), "guideline": ("principle_index",), "strategy": ("method",), "level": ("harmful_level",), "request": ("base_prompt",),
    }),
}  # fmt: skip
FORMATS: tuple[str, ...] = tuple(_SETS)
_NONCOMMERCIAL = re.compile(r"\bNC\b|non-?\s?commercial|research[- ]only", re.IGNORECASE)
_LANGUAGES: dict[str, Language] = {
    "ja": "ja", "jp": "ja", "japanese": "ja", "日本語": "ja", "en": "en", "english": "en", "英語": "en",
}  # fmt: skip


def import_cases(
    format: str, file: Path, out: Path, guidelines: Mapping[str, Guideline], mapping: Path, *, allow_noncommercial: bool = False
) -> ForeignReport:
    """Write the rows of a published set as case lines.

    Parameters
    ----------
    format
        One of `FORMATS`.
    out
        Must not exist yet; it appears when everything is written.
    guidelines
        Of the corpus, by id.
    mapping
        A mapping file (`ImportMapping`).
    allow_noncommercial
        Accept a licence that forbids commercial use.

    Raises
    ------
    ConfigError
        No such format, `out` exists, or a licence that is not known or not accepted.
    DataError
        Rows that are broken, by number, several together; or not one row to keep.
    """
    if format not in _SETS:
        raise ConfigError(f"no foreign set {format!r}; known: {', '.join(FORMATS)}")
    source = read_source(mapping, ImportMapping, guide=GUIDE)
    reader = _Reader(_SETS[format], file, source.value, guidelines)
    for n, rule in enumerate(source.value.guidelines):
        if rule.guideline not in guidelines:
            raise DataError(f"{source.place('guidelines', n, 'guideline')}: guidelines[{n}].guideline", found=repr(rule.guideline),
                            expected="a guideline of the corpus", remedy="Correct the id.")  # fmt: skip
    if _NONCOMMERCIAL.search(reader.licence) and not allow_noncommercial:
        raise ConfigError(
            f"{reader.known.name} is under {reader.licence}: no commercial use. Give --allow-noncommercial if yours is none; "
            "the cases carry the licence on."
        )
    dropped: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    errors: list[DataError] = []
    with new_file(out) as lines:
        for where, row in read_rows(file, GUIDE):
            with collected(errors):
                try:
                    line = reader.line(row, where)
                except DropRowError as exc:
                    dropped[str(exc)] += 1
                else:
                    kept[line.guideline] += 1
                    lines.write(f"{line.model_dump_json(by_alias=True, exclude_none=True)}\n")
            if len(errors) >= MAX_ERRORS:
                break
        raise_all(errors)
        if not kept:
            raise none_kept(file, dropped, f"rows of {reader.known.name} that the mapping gives a guideline and a strategy", GUIDE)
    return ForeignReport(kept.total(), dict(dropped), reader.licence, dict(sorted(kept.items())))


class _Reader:
    """Rows of one file to case lines."""

    def __init__(self, known: _Set, file: Path, mapping: ImportMapping, guidelines: Mapping[str, Guideline]) -> None:
        self.known = known
        if (licence := known.licence or mapping.licence) is None:
            raise ConfigError(
                f"the licence of {known.name} is not known here. Read its card and write what it says as 'licence:' in the mapping file."
            )
        self.licence = licence
        self._mapping = mapping
        self._digest = content_hash(mapping.model_dump(mode="json"))[:12]
        self._guidelines = guidelines
        self._file = file
        self._fields: dict[FieldName, str] | None = None
        self._counts: Counter[tuple[str, str]] = Counter()
        self._numbers: dict[tuple[str, str, bool, str], int] = {}
        self._seen: set[object] = set()

    def line(self, row: Row, where: str) -> CaseLine:
        """A row as a case.

        Raises
        ------
        DropRowError
            A sound row that is no case here.
        DataError
            A row that is broken.
        """
        if self._fields is None:
            self._fields = self._detect(row, where)
        mapping = self._mapping
        said = self._turns(row, where)
        language = self._language(row, said)
        if len(said) == 1 and mapping.lead_in is not None:
            turns, rule = [*(turn.get(language) for turn in mapping.lead_in), said[0]], "one turn, after two lead-in turns of the mapping"
        elif len(said) > N_TURNS and mapping.longer != "drop":
            turns = said[:N_TURNS] if mapping.longer == "first_three" else said[-N_TURNS:]
            rule = f"{mapping.longer.replace('_', ' ')} of {len(said)} user turns"
        else:
            turns, rule = said, "three user turns"
        if len(turns) != N_TURNS:
            rules = {1: "one user turn, and no lead_in in the mapping", 2: "two user turns"}
            raise DropRowError(rules.get(len(said), f"{len(said)} user turns, and nothing said of longer ones in the mapping"))
        value, method, level = (self._cell(row, name, where) for name in ("guideline", "strategy", "level"))
        told = {"id": self._cell(row, "id", where), "guideline": value, "strategy": method, "level": level}
        if self.known.guideline_in_name and "guideline" not in self._fields:
            value = self._file.stem
        words = "\n".join(said).casefold()
        guideline = next((self._guidelines[r.guideline] for r in mapping.guidelines if r.fits(value or "", words)), None)
        if guideline is None:
            raise DropRowError(f"no guideline for {show(value)}")
        benign = level is not None and level in mapping.harmless
        strategy = None if benign else mapping.strategies.get(method or "", mapping.strategy)
        if not benign and strategy is None:
            raise DropRowError(f"no strategy for {show(method)}")
        if (key := content_hash([language, guideline.id, turns])) in self._seen:
            raise DropRowError("the same conversation a second time")
        self._seen.add(key)
        group = strategy or "benign_clear"
        names = ", ".join(f"its {name} {show(text)}" for name, text in told.items() if text is not None)
        return parse_value({
            "schema": "jmedethic/case-line@1", "canary": CANARY, "guideline": guideline.id,
            "id": f"{group}-{self._number(row, where, language, guideline.id, group)}", "language": language,
            "kind": "benign" if benign else "adversarial", "strategy": strategy, "expected": "answer" if benign else None,
            "request": self._cell(row, "request", where) or said[-1],
            "violating": "\n".join([_AGAINST.get(language), *(text.get(language) for text in guideline.violates)]),
            "acceptable": _ANSWERS.get(language) if benign else "\n".join([_DECLINES.get(language), *(text.get(language) for text in guideline.allows)]),
            "turns": turns,
            "source": f"{self.known.name} ({self.licence}), {where.removeprefix(f'{self._file.parent}/')}{', ' if names else ''}{names}; {rule}; mapping {self._digest}",
        }, CaseLine, where=where, guide=GUIDE)  # fmt: skip

    def _detect(self, row: Row, where: str) -> dict[FieldName, str]:
        mapping = self._mapping
        fields = dict(mapping.fields)
        for name, candidates in self.known.fields.items():
            if name not in fields and (found := next((c for c in candidates if c in row), None)) is not None:
                fields[name] = found
        need: dict[FieldName, bool] = {
            "turns": not mapping.turn_fields, "strategy": mapping.strategy is None, "level": bool(mapping.harmless),
            "guideline": not self.known.guideline_in_name and any(rule.values for rule in mapping.guidelines),
        }  # fmt: skip
        missing = [name for name, needed in need.items() if needed and name not in fields]
        absent = [theirs for theirs in (*fields.values(), *mapping.turn_fields) if theirs not in row]
        if missing or absent:
            raise DataError(
                where, found=f"the fields {', '.join(map(str, row))}",
                expected=" and ".join([*(f"a field for {name}" for name in missing), *(f"{name!r}, which the mapping names" for name in absent)]),
                remedy=f"Name it under 'fields' of the mapping file; see {GUIDE}.",
            )  # fmt: skip
        return fields

    def _turns(self, row: Row, where: str) -> list[str]:
        assert self._fields is not None
        names = self._mapping.turn_fields or (self._fields["turns"],)
        if gone := [name for name in names if name not in row]:
            raise DataError(
                where, found="a row without " + ", ".join(gone), expected="the fields of the first row", remedy="Correct or remove it."
            )
        value = [row[name] for name in names] if self._mapping.turn_fields else row[names[0]]
        said = user_texts(value)
        # A blank turn is left out of the texts; the row would pass for a shorter conversation.
        if not said or len(said) != (sum(map(_is_users, value)) if isinstance(value, list) else 1):
            raise DataError(
                f"{where}: {', '.join(names)}", found=f"{len(said)} texts of the user", expected="one text for each user turn", remedy="Correct or remove the row.",
            )  # fmt: skip
        return said

    def _cell(self, row: Row, name: FieldName, where: str) -> str | None:
        assert self._fields is not None
        if name not in self._fields:
            return None
        theirs = self._fields[name]
        value = row.get(theirs)
        if value is None or not str(value).strip():
            return None
        if isinstance(value, (dict, list)):
            raise DataError(f"{where}: {theirs}", found=show(value), expected="a text or a number", remedy="Correct or remove the row.")
        return str(value).strip()

    def _language(self, row: Row, said: list[str]) -> Language:
        named = self._cell(row, "language", "")
        language = self._mapping.language or (wording.language_of("\n".join(said)) if named is None else _LANGUAGES.get(named.casefold()))
        if language is None:
            raise DropRowError("neither Japanese nor English")
        return language

    def _number(self, row: Row, where: str, language: Language, guideline: str, group: str) -> int:
        """Cases of two languages share a number only where the mapping names the field that says they are one item: ids tell twins."""
        item = self._cell(row, "item", where)
        key = guideline, group, item is None, item or where
        if key not in self._numbers:
            self._counts[guideline, group] += 1
            self._numbers[key] = self._counts[guideline, group]
        if (language, key) in self._seen:
            raise DropRowError("the same item in the same language a second time")
        self._seen.add((language, key))
        number = self._numbers[key]
        if number > MAX_NUMBER:
            raise DataError(
                where,
                found=f"more than {MAX_NUMBER} cases of {guideline} under {group}",
                expected="fewer",
                remedy="Import the set in parts.",
            )
        return number


def _is_users(turn: object) -> bool:
    return not isinstance(turn, dict) or turn.get("role", "user") in ("user", "human")
