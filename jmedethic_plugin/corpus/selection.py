"""Choosing which cases of a corpus a run plays."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Protocol

from jmedethic_plugin.core.base import Language
from jmedethic_plugin.core.guideline import STRATEGY_IDS, Guideline
from jmedethic_plugin.errors import ConfigError


class Selectable(Protocol):
    """What selecting looks at: a case, or the head of one that is not read yet."""

    @property
    def id(self) -> str: ...
    @property
    def language(self) -> Language: ...
    @property
    def category(self) -> str: ...
    @property
    def guideline_id(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def emergency(self) -> bool: ...


def select_cases(
    cases: Iterable[Selectable],
    known: Mapping[str, Guideline],
    *,
    languages: Sequence[Language],
    guidelines: Sequence[str] = (),
    strategies: Sequence[str] = (),
    known_strategies: Collection[str] = STRATEGY_IDS,
    sample: int | None = None,
    seed: int = 0,
    shard: tuple[int, int] | None = None,
) -> list[str]:
    """Ids of the chosen cases in running order.

    Parameters
    ----------
    cases
        In running order.
    known
        The corpus's guidelines.
    guidelines
        Guideline ids or category letters; all when empty.
    strategies
        Strategy ids; all, twins included, when empty.
    sample
        Scenes to draw per language, spread over strategies (and twin levels) and guidelines; the same scenes in each language.
    shard
        Part and number of parts, from 1: a stable hash of the scene decides, so both languages of a scene fall in one part and no part
        depends on the others' cases.

    Raises
    ------
    ConfigError
        A name that does not exist, or nothing selected.
    """
    for name in guidelines:
        if name not in known and name not in {g.category for g in known.values()}:
            raise ConfigError(f"--guideline {name!r}: no such guideline or category.{_near(name, known)}")
    for name in strategies:
        if name not in known_strategies:
            raise ConfigError(f"--strategy {name!r}: no such strategy.{_near(name, known_strategies)} Known: {', '.join(known_strategies)}")
    chosen = [
        case
        for case in cases
        if case.language in languages
        and (not guidelines or case.guideline_id in guidelines or case.category in guidelines)
        and (not strategies or case.group in strategies)
    ]
    if not chosen:
        raise ConfigError("no case fits --lang, --guideline and --strategy together")
    if sample is not None:
        scenes = _draw({_scene(case): case for case in chosen}, sample, seed)
        chosen = [case for case in chosen if _scene(case) in scenes]
    if shard is not None:
        chosen = [case for case in chosen if part_of(_scene(case), shard[1]) == shard[0]]
        if not chosen:
            raise ConfigError(f"--shard {shard[0]}/{shard[1]}: no case falls in this part; use fewer parts")
    return [case.id for case in chosen]


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _scene(case: Selectable) -> str:
    return case.id.split("-", 1)[1]


def part_of(name: str, n_parts: int) -> int:
    """The part of a run that a scene or exam question falls in, from 1: a stable hash decides."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % n_parts + 1


def _draw(scenes: dict[str, Selectable], n: int, seed: int) -> set[str]:
    """Round by round the scene whose group and guideline were drawn least; a seeded hash breaks ties, so no order can matter."""
    rank = {scene: hashlib.sha256(f"{seed}:{scene}".encode()).hexdigest() for scene in scenes}
    cells: dict[tuple[str, str], list[str]] = {}
    for scene in sorted(scenes, key=lambda s: rank[s], reverse=True):  # popped from the end
        cells.setdefault((scenes[scene].group, scenes[scene].guideline_id), []).append(scene)
    groups: Counter[str] = Counter()
    guidelines: Counter[str] = Counter()
    drawn: set[str] = set()
    while cells and len(drawn) < n:
        cell = min(cells, key=lambda c: (groups[c[0]] + guidelines[c[1]], groups[c[0]], rank[cells[c][-1]]))
        drawn.add(cells[cell].pop())
        groups[cell[0]] += 1
        guidelines[cell[1]] += 1
        if not cells[cell]:
            del cells[cell]
    return drawn
