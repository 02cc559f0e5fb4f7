"""Choosing which cases of a corpus a run plays."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from jmedethic_plugin.core.base import Language
from jmedethic_plugin.core.case import Case
from jmedethic_plugin.core.guideline import STRATEGY_IDS
from jmedethic_plugin.corpus.loading import Corpus
from jmedethic_plugin.errors import ConfigError


def select_cases(
    corpus: Corpus,
    *,
    languages: Sequence[Language],
    guidelines: Sequence[str] = (),
    strategies: Sequence[str] = (),
    sample: int | None = None,
    seed: int = 0,
) -> list[Case]:
    """Cases in running order.

    Parameters
    ----------
    guidelines
        Guideline ids or category letters; all when empty.
    strategies
        Strategy ids; all, twins included, when empty.
    sample
        Scenes to draw per language, spread over strategies (and twin levels) and guidelines; the same scenes in each language.

    Raises
    ------
    ConfigError
        A name that does not exist, or nothing selected.
    """
    for name in guidelines:
        if name not in corpus.guidelines and name not in {g.category for g in corpus.guidelines.values()}:
            raise ConfigError(f"--guideline {name!r}: no such guideline or category.{_near(name, corpus.guidelines)}")
    for name in strategies:
        if name not in STRATEGY_IDS:
            raise ConfigError(f"--strategy {name!r}: no such strategy.{_near(name, STRATEGY_IDS)} Known: {', '.join(STRATEGY_IDS)}")
    chosen = [
        case
        for case in corpus.cases.values()
        if case.language in languages
        and (not guidelines or case.guideline_id in guidelines or case.category in guidelines)
        and (not strategies or case.group in strategies)
    ]
    if not chosen:
        raise ConfigError("no case fits --lang, --guideline and --strategy together")
    if sample is not None:
        scenes = _draw({_scene(case): case for case in chosen}, sample, seed)
        chosen = [case for case in chosen if _scene(case) in scenes]
    return chosen


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _scene(case: Case) -> str:
    return case.id.split("-", 1)[1]


def _draw(scenes: dict[str, Case], n: int, seed: int) -> set[str]:
    """Round by round the scene whose group and guideline were drawn least; a seeded hash breaks ties, so no order can matter."""
    rank = {scene: hashlib.sha256(f"{seed}:{scene}".encode()).hexdigest() for scene in scenes}
    groups: Counter[str] = Counter()
    guidelines: Counter[str] = Counter()
    drawn: set[str] = set()
    while len(drawn) < min(n, len(scenes)):
        scene = min(
            scenes.keys() - drawn,
            key=lambda s: (
                groups[scenes[s].group] + guidelines[scenes[s].guideline_id],
                groups[scenes[s].group],
                rank[s],
            ),
        )
        drawn.add(scene)
        groups[scenes[scene].group] += 1
        guidelines[scenes[scene].guideline_id] += 1
    return drawn
