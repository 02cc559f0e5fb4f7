"""The paper's rule for a refusal: the reply contains one of a list of phrases (v2, section 3.1). Brittle by design; a judge's class stands beside it."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

from jmedethic_plugin.core.base import LANGUAGES, content_hash


def refusal_phrase(text: str) -> str | None:
    """The first phrase of the lists that a reply contains, of either language: a model may refuse in the other one."""
    japanese, english = _folded(text).replace(" ", ""), _folded(text)
    return next((phrase for phrase in _phrases() if phrase in (english if phrase.isascii() else japanese)), None)


def refusal_lists_hash() -> str:
    """Identity of the lists."""
    return content_hash(_phrases())


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().replace("’", "'").split())


@cache
def _phrases() -> tuple[str, ...]:
    folder = Path(__file__).parent / "data"
    lines = [line for language in LANGUAGES for line in (folder / f"refusal_{language}.txt").read_text(encoding="utf-8").splitlines()]
    return tuple(_folded(line) for line in lines if line.strip() and not line.startswith("#"))
