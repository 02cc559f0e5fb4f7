"""How much of one text stands again in another: shared character 5-grams.

The measure is the overlap coefficient ``|A & B| / min(|A|, |B|)`` over the sets of 5-grams, so a short text copied into a longer one
counts in full. Case, width, spaces and punctuation do not matter.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

N = 5
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts and the share of the shorter one's 5-grams that the other holds, 0 to 1."""

    first: str
    second: str
    overlap: float


def normalised(text: str) -> str:
    """The letters and digits of a text, without case and width."""
    return "".join(ch for ch in unicodedata.normalize("NFKC", text).casefold() if ch.isalnum())


def grams(text: str) -> frozenset[str]:
    """Character 5-grams of the letters and digits of a text; a shorter text is one gram."""
    plain = normalised(text)
    return frozenset(plain[i : i + N] for i in range(max(1, len(plain) - N + 1))) if plain else frozenset()


def pairs_above(texts: Mapping[str, str], bound: float) -> list[Pair]:
    """Pairs within one set whose overlap is above a bound, greatest first."""
    return _pairs(texts, None, bound)


def pairs_between(texts: Mapping[str, str], others: Mapping[str, str], bound: float, *, floor: int = 1) -> list[Pair]:
    """Pairs of a text of the first set with one of the second, greatest first.

    Parameters
    ----------
    floor
        Least number of 5-grams a shared share is taken of, so that a few stock phrases in a very short text are no find.
    """
    return _pairs(texts, others, bound, floor)


def _pairs(texts: Mapping[str, str], others: Mapping[str, str] | None, bound: float, floor: int = 1) -> list[Pair]:
    import numpy as np

    if not texts or others == {}:
        return []
    vocabulary: dict[str, int] = {}
    names, rows = list(texts), [grams(t) for t in texts.values()]
    fresh = count()
    for row in rows:
        for gram in row:
            if gram not in vocabulary:
                vocabulary[gram] = next(fresh)
    left, sizes = _matrix(rows, vocabulary), np.array([len(r) for r in rows])
    found: list[Pair] = []
    other_names = names if others is None else list(others)
    # In blocks: an external set may hold 50,000 conversations.
    for start in range(0, len(other_names), _BLOCK):
        block = other_names[start : start + _BLOCK]
        right_rows = rows[start : start + _BLOCK] if others is None else [grams(others[name]) for name in block]
        right_sizes = np.array([len(r) for r in right_rows])
        shared = (left @ _matrix(right_rows, vocabulary).T).tocoo()
        overlap = shared.data / np.maximum(floor, np.minimum(sizes[shared.row], right_sizes[shared.col]))
        for k in np.flatnonzero(overlap > bound):
            i, j = int(shared.row[k]), int(shared.col[k])
            if others is not None or i < start + j:
                found.append(Pair(names[i], block[j], float(overlap[k])))
    return sorted(found, key=lambda p: (-p.overlap, p.first, p.second))


def _matrix(rows: Sequence[frozenset[str]], vocabulary: Mapping[str, int]) -> csr_matrix:
    import numpy as np
    from scipy.sparse import csr_matrix

    known = [[vocabulary[g] for g in row if g in vocabulary] for row in rows]
    starts = np.cumsum([0, *map(len, known)])
    columns = np.fromiter((c for row in known for c in row), dtype=np.int64, count=int(starts[-1]))
    return csr_matrix((np.ones(len(columns), dtype=np.int32), columns, starts), shape=(len(rows), len(vocabulary)))
