"""Facts about characters that loading, checking and showing share."""

from __future__ import annotations

import re
import unicodedata


def is_invisible(ch: str) -> bool:
    """Whether a character shows nothing or steers its neighbours: control, format, bidi, private, surrogate, variation selector."""
    return (
        unicodedata.category(ch) in ("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp")
        or "\ufe00" <= ch <= "\ufe0f"
        or "\U000e0100" <= ch <= "\U000e01ef"
    )


def has_invisible(text: str) -> bool:
    """Whether a text may hold such a character besides line breaks and tabs; quick for texts that hold none."""
    return not text.replace("\n", "").replace("\t", "").isprintable() or any(
        "\ufe00" <= ch <= "\ufe0f" or ch >= "\U000e0100" for ch in set(text)
    )


def printable(text: str) -> str:
    """Lone surrogates cannot be stored as UTF-8; they are shown as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def sentences(text: str) -> list[str]:
    """The sentences of a Japanese or English text, also told apart by line breaks."""
    return [part.strip() for part in re.split(r"(?<=[。.!?])\s*|\n+", text) if part.strip()]


def without_credentials(url: str | None) -> str | None:
    """An address without what may be secret in it: user and password, query, fragment."""
    if url is None:
        return None
    bare = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, colon, rest = bare.rpartition("://")
    return f"{scheme}{colon}{rest.rsplit('@', 1)[-1]}"
