"""A test set out of many conversations: so many for every strategy and guideline, drawn by a seed, none that a check speaks against.

In the paper 5 for each of 7 x 67 cells, at random (v2, section 4). Here the agents and requests within a cell are spread as evenly as they can be, and
what a check takes out is replaced from its own cell.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jmedethic_plugin.core.base import Language, content_hash
from jmedethic_plugin.core.case import case_id, case_sort_key
from jmedethic_plugin.core.guideline import STRATEGY_IDS, strategy_order
from jmedethic_plugin.corpus.external import read_user_texts
from jmedethic_plugin.corpus.jsonl import CaseLine, parse_line
from jmedethic_plugin.corpus.lint import MAX_OVERLAP, lint_line, shared_texts
from jmedethic_plugin.corpus.loading import Corpus
from jmedethic_plugin.corpus.overlap import pairs_above
from jmedethic_plugin.engine.demo import DEMO_PREFIX
from jmedethic_plugin.errors import ConfigError, DataError
from jmedethic_plugin.generation.common import GUIDE, StepReport, raw_lines

STEP = "testset"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What drawing needs of a conversation, and where its line begins."""

    id: str
    cell: tuple[Language, str, str]
    """Language, guideline, strategy."""
    source: str
    request: str
    """Digest of its request."""
    offset: int


def draw(candidates: Iterable[Candidate], n: int, seed: int) -> list[Candidate]:
    """Up to ``n`` of each cell, in running order.

    The next one of a cell is always of the source, then of the request, that was drawn least there; a hash of seed and id breaks ties. So a cell's
    draw depends on nothing but its own candidates and the seed.
    """
    cells: defaultdict[tuple[str, str, str], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        cells[candidate.cell].append(candidate)
    drawn: list[Candidate] = []
    for own in cells.values():
        rank = {c.id: hashlib.sha256(f"{seed}:{c.id}".encode()).digest() for c in own}
        sources: Counter[str] = Counter()
        requests: Counter[str] = Counter()
        for _ in range(min(n, len(own))):
            own.remove(next_one := min(own, key=lambda c: (sources[c.source], requests[c.request], rank[c.id])))
            sources[next_one.source] += 1
            requests[next_one.request] += 1
            drawn.append(next_one)
    return sorted(drawn, key=_order)


def _order(candidate: Candidate) -> tuple[bool, str, int, str, int]:
    language, guideline, strategy = candidate.cell
    return case_sort_key(language, guideline, strategy, candidate.id)


class Pool:
    """The conversations of a JSONL set; a line is read again when it is wanted.

    Raises
    ------
    ConfigError
        There is no such file, or no adversarial case in it.
    DataError
        A line that is wrong, a guideline that the corpus does not know, or an id that occurs twice.
    """

    def __init__(self, path: Path, guidelines: Collection[str]) -> None:
        self._path = path
        self.candidates: dict[str, Candidate] = {}
        digest = hashlib.sha256()
        offset = 0
        for line, raw in raw_lines(path, CaseLine):
            if line.kind == "adversarial":
                assert line.strategy is not None
                if line.guideline not in guidelines:
                    raise DataError(
                        str(path), found=f"the guideline {line.guideline!r}", expected="one of the corpus", remedy="Correct the id."
                    )
                name = case_id(line.language, line.guideline, line.id)
                if name in self.candidates:
                    raise DataError(
                        str(path), found=f"the id {name!r} a second time", expected="an id used once", remedy="Raise the number at its end."
                    )
                cell = (line.language, line.guideline, line.strategy)
                self.candidates[name] = Candidate(name, cell, line.source, content_hash(line.request)[:16], offset)
            offset += len(raw)
            digest.update(raw)
        if not self.candidates:
            raise ConfigError(
                f"{path}: found no adversarial case; expected at least one. See what the step before dropped, and why ({GUIDE})."
            )
        self.digest = digest.hexdigest()

    def line(self, candidate: Candidate) -> CaseLine:
        """The whole conversation."""
        with self._path.open("rb") as file:
            file.seek(candidate.offset)
            return parse_line(file.readline(), CaseLine, f"{self._path}: {candidate.id}")


def make_testset(
    pool: Pool, corpus: Corpus, n: int, seed: int, against: Sequence[Path] = (), field: str | None = None
) -> tuple[list[CaseLine], StepReport]:  # fmt: skip
    """Draw, check what was drawn, and draw again in place of what a check speaks against, until none does.

    Parameters
    ----------
    corpus
        Its own cases may not be contained either.
    against
        JSONL sets that must not be contained.
    field
        Field of those sets with the user's words, where it is not recognised.
    """
    external = {case.id: "\n".join(case.user_turns) for case in corpus.cases.values()}
    for path in against:
        external |= {f"{path.parent}/{place}": text for place, text in read_user_texts(path, field).items()}
    taken_out: dict[str, str] = {}
    checked: dict[str, CaseLine] = {}
    independent: set[str] = set()
    while True:
        drawn = draw((c for c in pool.candidates.values() if c.id not in taken_out), n, seed)
        fresh = {c.id: pool.line(c) for c in drawn if c.id not in checked}
        found = {name: finding.rule for name, line in fresh.items() for finding in lint_line(line, name)}
        checked |= fresh
        if not found:
            texts = {c.id: "\n".join(checked[c.id].turns) for c in drawn}
            found = _doubles(texts)
            if not found:  # last, for other sets may be large
                texts = {name: text for name, text in texts.items() if name not in independent}
                found = {pair.first: "contained" for pair in shared_texts(texts, external)}
                independent |= texts.keys() - found.keys()
        if not found:
            break
        taken_out |= found
    dropped = Counter(taken_out.values())
    dropped["not_drawn"] = len(pool.candidates) - len(drawn) - len(taken_out)
    strategies = Counter(c.cell[2] for c in drawn)
    report = StepReport(
        step=STEP, demo=any(f" {DEMO_PREFIX}" in c.source for c in drawn), identity={"n": n, "seed": seed, "set": pool.digest, "against": [p.name for p in against]},
        n_jobs=len(pool.candidates), n_kept=len(drawn), dropped={reason: k for reason, k in sorted(dropped.items()) if k}, notes=_short_cells(pool, drawn, n),
        yields={"strategy": {s: (k, strategies[s]) for s, k in Counter(c.cell[2] for c in pool.candidates.values()).items()}},
    )  # fmt: skip
    return [checked[c.id] for c in drawn], report


def _doubles(texts: Mapping[str, str]) -> dict[str, str]:
    """The later one of each two conversations that are nearly the same, as far as the earlier one stays."""
    found: dict[str, str] = {}
    for pair in pairs_above(texts, MAX_OVERLAP):
        if pair.first not in found and pair.second not in found:
            found[pair.second] = "near_duplicate"
    return found


def _short_cells(pool: Pool, drawn: Sequence[Candidate], n: int) -> tuple[str, ...]:
    places = {(c.cell[0], c.cell[1]) for c in pool.candidates.values()}
    filled = Counter(c.cell for c in drawn)
    used = {c.cell[2] for c in pool.candidates.values()}
    # Nobody can know which of the found strategies are missing altogether.
    strategies = STRATEGY_IDS if used.issubset(STRATEGY_IDS) else strategy_order(used)
    cells = [(language, guideline, strategy) for language, guideline in sorted(places) for strategy in strategies]
    short = [cell for cell in cells if filled[cell] < n]
    shown = ", ".join("-".join(cell) for cell in short[:5]) + (" ..." if len(short) > 5 else "")
    return (f"{len(short)} of {len(cells)} cells have fewer than {n}: {shown}",) if short else ()
