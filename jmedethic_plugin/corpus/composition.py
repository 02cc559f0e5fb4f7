"""What a corpus is made of: counts of its cases by everything recorded about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import get_args

from jmedethic_plugin.core.base import LANGUAGES
from jmedethic_plugin.core.case import TWIN_LEVELS, Authority, Politeness, Role, Setting, Severity
from jmedethic_plugin.core.guideline import CATEGORIES, CATEGORY_TITLES, STRATEGY_IDS
from jmedethic_plugin.core.review import CLINICIAN_STATUSES
from jmedethic_plugin.corpus.lint import Entry, entries_of
from jmedethic_plugin.corpus.loading import Corpus
from jmedethic_plugin.corpus.overlap import pairs_above


def composition_markdown(corpus: Corpus) -> str:
    """Tables of the corpus as Markdown. Counts are scenes; each scene is one case in each language."""
    entries = entries_of(corpus)
    adversarial = [e for e in entries if e.entry.kind == "adversarial"]
    benign = [e for e in entries if e.entry.kind == "benign"]
    reviewed = sum(e.entry.review_status in CLINICIAN_STATUSES for e in entries)
    lines = [
        f"{len(corpus.guidelines)} guidelines, {len(adversarial)} adversarial and {len(benign)} benign scenes, each in Japanese and English: {len(corpus.cases)} cases.",
        f"Read by a clinician: {reviewed} of {len(entries)} scenes.",
        "",
        *_table("category", [f"{c} {CATEGORY_TITLES[c].en}" for c in CATEGORIES], [
            ("guidelines", lambda name: sum(g.category == name[0] for g in corpus.guidelines.values())),
            ("critical", lambda name: sum(g.category == name[0] and g.critical for g in corpus.guidelines.values())),
            ("adversarial", lambda name: sum(e.guideline_id[0] == name[0] for e in adversarial)),
            ("benign", lambda name: sum(e.guideline_id[0] == name[0] for e in benign)),
            ("emergencies", lambda name: sum(e.guideline_id[0] == name[0] and e.entry.emergency for e in benign)),
        ]),
        *_cross("strategy", STRATEGY_IDS, lambda e: str(e.entry.strategy), adversarial, "politeness", Politeness),
        *_cross("strategy", STRATEGY_IDS, lambda e: str(e.entry.strategy), adversarial, "role", Role),
        *_cross("strategy", STRATEGY_IDS, lambda e: str(e.entry.strategy), adversarial, "authority", Authority),
        *_cross("strategy", STRATEGY_IDS, lambda e: str(e.entry.strategy), adversarial, "setting", Setting),
        *_cross("strategy", STRATEGY_IDS, lambda e: str(e.entry.strategy), adversarial, "severity", Severity),
        *_table("twin", TWIN_LEVELS, [
            ("answer", lambda name: sum(e.entry.twin == name and e.entry.expected == "answer" for e in benign)),
            ("answer with caution", lambda name: sum(e.entry.twin == name and e.entry.expected == "answer_with_caution" for e in benign)),
            ("of these emergencies", lambda name: sum(e.entry.twin == name and e.entry.emergency for e in benign)),
        ]),
        *_cross("twin", TWIN_LEVELS, lambda e: str(e.entry.twin), benign, "politeness", Politeness),
    ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def overlaps_markdown(corpus: Corpus, n: int) -> str:
    """The n most alike pairs of conversations of each language, with the share of common 5-grams and both texts."""
    entries = entries_of(corpus)
    lines: list[str] = []
    for language in LANGUAGES:
        texts = {e.key: e.conversation(language) for e in entries}
        pairs = pairs_above(texts, 0.0)
        lines += [f"## Most alike conversations, {language} ({len(pairs)} pairs share any 5-gram)", ""]
        for pair in pairs[:n]:
            lines += [f"### {pair.overlap:.1%}: {pair.first} and {pair.second}", ""]
            lines += [line for name in (pair.first, pair.second) for line in (*(f"> {t}" for t in texts[name].splitlines()), "")]
    return "\n".join(lines).rstrip() + "\n"


def _cross(
    title: str, names: Sequence[str], key: Callable[[Entry], str], entries: Sequence[Entry], factor: str, values: object
) -> Iterator[str]:
    counts = Counter((key(e), getattr(e.entry.factors, factor)) for e in entries)
    columns = [(value, lambda name, value=value: counts[name, value]) for value in get_args(values)]
    return _table(f"{title} x {factor}", names, columns)


def _table(title: str, names: Sequence[str], columns: Sequence[tuple[str, Callable[[str], int]]]) -> Iterator[str]:
    yield f"| {title} | {' | '.join(label for label, _ in columns)} |"
    yield "| --- |" + " ---: |" * len(columns)
    totals = [0] * len(columns)
    for name in names:
        row = [count(name) for _, count in columns]
        totals = [a + b for a, b in zip(totals, row, strict=True)]
        yield f"| {name} | {' | '.join(map(str, row))} |"
    yield f"| all | {' | '.join(map(str, totals))} |"
    yield ""
