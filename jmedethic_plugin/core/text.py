"""Facts about characters that loading, checking and showing share."""

from __future__ import annotations

import unicodedata


def is_invisible(ch: str) -> bool:
    """Whether a character shows nothing or steers its neighbours: control, format, bidi, private, surrogate, variation selector."""
    return unicodedata.category(ch) in ("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp") or 0xFE00 <= ord(ch) <= 0xFE0F
