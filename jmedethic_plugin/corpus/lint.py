"""What a program can check of a corpus beyond its format: completeness, lengths, languages, politeness, safety, near-duplicates.

A rule yields findings; a finding names place, what was found, what was expected and what to do. Passing every rule says that the texts
keep these rules, not that they are good: that takes readers.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from jmedethic_plugin.core.base import CANARY, LANGUAGES, Bilingual, Language
from jmedethic_plugin.core.case import TWIN_LEVELS, CaseEntry, Politeness
from jmedethic_plugin.core.guideline import STRATEGY_IDS
from jmedethic_plugin.core.text import is_invisible
from jmedethic_plugin.corpus import wording
from jmedethic_plugin.corpus.jsonl import CaseLine
from jmedethic_plugin.corpus.loading import Corpus
from jmedethic_plugin.corpus.overlap import Pair, pairs_above, pairs_between

FIRST_TURN_CHARACTERS = (45, 270)
TURN_CHARACTERS = (60, 270)
TURN_WORDS = (18, 140)
WORDS_PER_CHARACTER = (0.28, 0.85)
"""English words for each Japanese character of a turn; outside, something was probably left out or added."""
TWIN_LENGTH = (0.8, 1.2)
MAX_OVERLAP = 0.6
MAX_OVERLAP_AGAINST = 0.3
"""Towards an external set, where nothing is meant to be shared."""
_LEAST_GRAMS = 60
_MAX_HONORIFICS_IN_DESU_MASU = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach of one rule."""

    rule: str
    where: str
    found: str
    expected: str
    remedy: str
    texts: tuple[str, ...] = ()
    """The texts concerned, in full, for rules that compare texts."""

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}: found {self.found}; expected {self.expected}. {self.remedy}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A case entry and where it stands."""

    guideline_id: str
    entry: CaseEntry
    file: Path
    index: int
    """Among the file's cases, from 0."""
    place: str
    """File and line."""

    @property
    def key(self) -> str:
        """``B11-temporal_override-1``: the case's id without its language."""
        return f"{self.guideline_id}-{self.entry.id}"

    def texts(self) -> Iterator[tuple[str, Bilingual]]:
        """Every text with its field's name."""
        yield from (("request", self.entry.request), ("violating", self.entry.violating), ("acceptable", self.entry.acceptable))
        yield from ((f"turn {n}", turn) for n, turn in enumerate(self.entry.turns, 1))

    def conversation(self, language: Language) -> str:
        """The three user turns joined."""
        return "\n".join(turn.get(language) for turn in self.entry.turns)


def entries_of(corpus: Corpus) -> list[Entry]:
    """All case entries in file order."""
    return [
        Entry(file.value.guideline, entry, file.path, index, file.place("cases", index))
        for file in corpus.case_files
        for index, entry in enumerate(file.value.cases)
    ]


Rule = Callable[[Corpus, list[Entry]], Iterable[Finding]]


def lint(corpus: Corpus, *, skip: Iterable[str] = ()) -> list[Finding]:
    """Every finding of every rule but the skipped ones, in the order of the rules.

    Raises
    ------
    ValueError
        A rule to skip that does not exist.
    """
    if unknown := set(skip) - RULES.keys():
        raise ValueError(f"no such rule: {', '.join(sorted(unknown))}. Known: {', '.join(RULES)}")
    entries = entries_of(corpus)
    return [finding for name, rule in RULES.items() if name not in skip for finding in rule(corpus, entries)]


def lint_against(corpus: Corpus, external: Mapping[str, str], name: str) -> list[Finding]:
    """Cases that share too much with an external set.

    Parameters
    ----------
    external
        Place in the external file (``set.jsonl:17``) -> the user's words there.
    name
        What to call the set.
    """
    found = []
    entries = {f"{language}-{e.key}": (e, e.conversation(language)) for e in entries_of(corpus) for language in LANGUAGES}
    for pair in shared_texts({i: text for i, (_, text) in entries.items()}, external):
        entry, text = entries[pair.first]
        found.append(Finding(
            "against", entry.place, f"{pair.overlap:.0%} of the 5-grams of {pair.first} shared with {pair.second}",
            f"at most {MAX_OVERLAP_AGAINST:.0%} with any conversation of {name}", "Rewrite the case, or show that the other set took it from here.",
            (text, external[pair.second]),
        ))  # fmt: skip
    return found


def lint_line(line: CaseLine, place: str) -> Iterator[Finding]:
    """What the rules ``length``, ``language``, ``forbidden`` and ``characters`` find in one conversation of a set."""
    texts = {"request": line.request, "violating": line.violating, "acceptable": line.acceptable}
    texts |= {f"turn {number}": turn for number, turn in enumerate(line.turns, 1)}
    for number, turn in enumerate(line.turns, 1):
        if (said := _wrong_length(turn, number, line.language)) is not None:
            yield Finding("length", place, *said, "Leave the conversation out.")
    for field, text in texts.items():
        if (said := _other_language(text, line.language)) is not None:
            yield Finding("language", place, f"{said[0]} in {field}", said[1], "Leave the conversation out.")
        for what, passage in wording.forbidden(text):
            yield Finding("forbidden", place, f"{what} in {field} ({passage})", "none", "Leave the conversation out.")
        for wrong in _wrong_characters(text, field):
            yield Finding("characters", place, *wrong)


def shared_texts(texts: Mapping[str, str], external: Mapping[str, str]) -> list[Pair]:
    """Pairs of a conversation with one of another set that share too much to be independent."""
    return pairs_between(texts, external, MAX_OVERLAP_AGAINST, floor=_LEAST_GRAMS)


def _cells(corpus: Corpus, entries: list[Entry]) -> Iterator[Finding]:
    """Every guideline has all seven strategies and a twin of each level."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for e in entries:
        groups[e.guideline_id].add(e.entry.group)
    wanted = [*STRATEGY_IDS, *(f"benign_{level}" for level in TWIN_LEVELS)]
    for file in corpus.guideline_files:
        missing = [group for group in wanted if group not in groups[file.value.id]]
        if missing:
            yield Finding(
                "cells", str(file.path), f"no case for {', '.join(missing)}", "all strategies and twin levels", "Write the missing cases."
            )


def _canary(corpus: Corpus, entries: list[Entry]) -> Iterator[Finding]:
    """Every file says in its first line that it is test data, with the canary GUID."""
    for path in corpus.files:
        with path.open(encoding="utf-8") as lines:
            first = lines.readline()
        if CANARY not in first:
            yield Finding(
                "canary", f"{path}:1", repr(first.strip()[:40]), f"a comment with {CANARY}", "Copy the first line of another data file."
            )


def _length(corpus: Corpus, entries: list[Entry]) -> Iterator[Finding]:
    """Turns are neither telegrams nor essays, and both languages say about as much."""
    for e in entries:
        for number, turn in enumerate(e.entry.turns, 1):
            characters, words = len(turn.ja), len(turn.en.split())
            for language in LANGUAGES:
                if (said := _wrong_length(turn.get(language), number, language)) is not None:
                    yield Finding("length", e.place, *said, "Shorten or add what the scene lacks.")
            if not WORDS_PER_CHARACTER[0] <= words / characters <= WORDS_PER_CHARACTER[1]:
                yield Finding(
                    "length", e.place, f"{words} English words for {characters} Japanese characters in turn {number}",
                    f"{WORDS_PER_CHARACTER[0]} to {WORDS_PER_CHARACTER[1]} words for each character", "Check that both languages say the same.",
                )  # fmt: skip


def _wrong_length(turn: str, number: int, language: Language) -> tuple[str, str] | None:
    """What was found and expected of a turn that is too short or too long."""
    japanese = language == "ja"
    n = len(turn) if japanese else len(turn.split())
    low, high = (FIRST_TURN_CHARACTERS if number == 1 else TURN_CHARACTERS) if japanese else TURN_WORDS
    return (
        None if low <= n <= high else (f"{n} {'Japanese characters' if japanese else 'English words'} in turn {number}", f"{low} to {high}")
    )


def _language(corpus: Corpus, entries: list[Entry]) -> Iterator[Finding]:
    """The Japanese texts are Japanese, the English ones English."""
    for e in entries:
        for field, text in e.texts():
            for language in LANGUAGES:
                if (said := _other_language(text.get(language), language)) is not None:
                    yield Finding(
                        "language", e.place, f"{said[0]} in {field}.{language} ({_short(text.get(language))})", said[1], "Put the text under its own language."
                    )  # fmt: skip


def _other_language(text: str, language: Language) -> tuple[str, str] | None:
    """What was found and expected of a text that is not in its language."""
    if language == "ja":
        is_other = wording.japanese_share(text) < 0.75 or wording.hiragana_share(text) < 0.2
        return ("hardly any Japanese", "running Japanese") if is_other else None
    is_other = wording.japanese_share(text) > 0 or wording.function_word_share(text) < 0.1
    return ("hardly any English", "running English") if is_other else None


def _politeness(corpus: Corpus, entries: list[Entry]) -> Iterator[Finding]:
    """Each Japanese turn keeps the politeness the case states."""
    for e in entries:
        level = e.entry.factors.politeness
        for number, turn in enumerate(e.entry.turns, 1):
            polite, honorific = wording.polite_endings(turn.ja), wording.honorifics(turn.ja)
            problem = None
            if level == "plain" and polite:
                problem = f"the polite ending {polite[0]!r}"
            elif level != "plain" and not polite:
                problem = "no です/ます ending"
            elif level == "keigo" and not honorific:
                problem = "no honorific or humble form"
            elif level == "desu_masu" and len(honorific) > _MAX_HONORIFICS_IN_DESU_MASU:
                problem = f"{len(honorific)} honorific forms ({', '.join(honorific[:5])} ...)"
            if problem:
                yield Finding(
                    "politeness",
                    e.place,
                    f"{problem} in turn {number}",
                    f"the level {level!r} throughout",
                    "Rephrase, or correct factors.politeness.",
                )


def _twins(corpus: Corpus, entries: list[Entry]) -> Iterator[Finding]:
    """A twin has its case's role and politeness and about its length."""
    by_key = {e.key: e for e in entries}
    for e in entries:
        if e.entry.twin_of is None:
            continue
        other = by_key[f"{e.guideline_id}-{e.entry.twin_of}"]
        for name in ("role", "politeness"):
            mine, its = getattr(e.entry.factors, name), getattr(other.entry.factors, name)
            if mine != its:
                yield Finding("twins", e.place, f"{name} {mine!r}", f"{its!r}, as in {other.entry.id}", "Give the twin the same speaker.")
        ratio = len(e.conversation("ja")) / len(other.conversation("ja"))
        if not TWIN_LENGTH[0] <= ratio <= TWIN_LENGTH[1]:
            yield Finding(
                "twins",
                e.place,
                f"{ratio:.2f} of the Japanese length of {other.entry.id}",
                f"{TWIN_LENGTH[0]} to {TWIN_LENGTH[1]}",
                "Match the twin's length.",
            )


def _emergency(corpus: Corpus, entries: list[Entry]) -> Iterator[Finding]:
    """A guideline that knows emergencies has a twin in which a bare refusal would itself do harm."""
    covered = {e.guideline_id for e in entries if e.entry.emergency and e.entry.kind == "benign"}
    present = {e.guideline_id for e in entries}
    for file in corpus.guideline_files:
        if file.value.emergencies and file.value.id in present - covered:
            yield Finding(
                "emergency",
                str(file.path),
                "emergencies: true, and no twin with emergency: true",
                "at least one",
                "Make one of the twins an emergency.",
            )
    for e in entries:
        if e.entry.emergency and e.entry.kind == "adversarial":
            yield Finding("emergency", e.place, "emergency: true on an adversarial case", "only on benign twins", "Remove it.")


def _forbidden(corpus: Corpus, entries: list[Entry]) -> Iterator[Finding]:
    """No dose, address, number or name that could help to do harm or point to somebody."""
    for e in entries:
        for field, text in e.texts():
            for language in LANGUAGES:
                for what, passage in wording.forbidden(text.get(language)):
                    yield Finding("forbidden", e.place, f"{what} in {field}.{language} ({passage})", "none", "Say it without the detail.")


def _characters(corpus: Corpus, entries: list[Entry]) -> Iterator[Finding]:
    """Texts are NFC and hold no invisible character."""
    for e in entries:
        for field, text in e.texts():
            for language in LANGUAGES:
                for said in _wrong_characters(text.get(language), f"{field}.{language}"):
                    yield Finding("characters", e.place, *said)


def _wrong_characters(text: str, field: str) -> Iterator[tuple[str, str, str]]:
    """What was found, what was expected, what to do."""
    if not unicodedata.is_normalized("NFC", text):
        yield f"{field} not in NFC", "NFC", "Normalise the file (unicodedata.normalize('NFC', text))."
    odd = sorted({f"U+{ord(ch):04X}" for ch in text if ch == "\xa0" or (is_invisible(ch) and ch != "\n")})
    if odd:
        yield f"{', '.join(odd)} in {field}", "visible characters", "Delete them."


def _near_duplicates(corpus: Corpus, entries: list[Entry]) -> Iterator[Finding]:
    """No two conversations, and no two turns beyond openings of the same role, share most of their 5-grams."""
    by_key = {e.key: e for e in entries}
    for language in LANGUAGES:
        texts = {"": {e.key: e.conversation(language) for e in entries}}
        texts |= {f"turn {n} of ": {e.key: e.entry.turns[n - 1].get(language) for e in entries} for n in (1, 2, 3)}
        reported: set[tuple[str, str]] = set()
        for part, by_name in texts.items():
            for pair in pairs_above(by_name, MAX_OVERLAP):
                first, second = by_key[pair.first], by_key[pair.second]
                opening = part == "turn 1 of " and first.entry.factors.role == second.entry.factors.role
                if (pair.first, pair.second) in reported or (opening and by_name[pair.first] != by_name[pair.second]):
                    continue
                reported.add((pair.first, pair.second))
                yield Finding(
                    "near-duplicates", second.place, f"{pair.overlap:.0%} of the 5-grams of {part}{language}-{pair.second} shared with {language}-{pair.first}",
                    f"at most {MAX_OVERLAP:.0%}", "Rewrite one of the two.", (by_name[pair.first], by_name[pair.second]),
                )  # fmt: skip


def _spread(corpus: Corpus, entries: list[Entry]) -> Iterator[Finding]:
    """Every strategy occurs at every level of politeness, so that the two can be told apart in the analysis."""
    cells = Counter((e.entry.strategy, e.entry.factors.politeness) for e in entries)
    for strategy in STRATEGY_IDS:
        for level in get_args(Politeness):
            if not cells[strategy, level]:
                yield Finding(
                    "spread", "cases", f"no {strategy} case at politeness {level!r}", "at least one", "Vary the politeness of new cases."
                )


RULES: dict[str, Rule] = {
    "cells": _cells,
    "canary": _canary,
    "length": _length,
    "language": _language,
    "politeness": _politeness,
    "twins": _twins,
    "emergency": _emergency,
    "forbidden": _forbidden,
    "characters": _characters,
    "near-duplicates": _near_duplicates,
    "spread": _spread,
}


def _short(text: str) -> str:
    return repr(text if len(text) <= 30 else f"{text[:27]}...")
