"""What all values share: frozen models, the two languages, content hashes."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints

Language = Literal["ja", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

CANARY = "d6c54382-d4d8-4611-8792-872d2d0d0e66"
"""GUID that stands in every data file and report, so that training sets holding them can be recognised."""

Text = Annotated[str, StringConstraints(strip_whitespace=False, min_length=1, pattern=r"\S")]


class Value(BaseModel):
    """Base of every value read from or written to disk: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Bilingual(Value):
    """The same thing said in Japanese and in English."""

    ja: Text
    en: Text

    def get(self, language: Language) -> str:
        """The text in one language."""
        return self.ja if language == "ja" else self.en


def canonical_json(value: Any) -> str:
    """JSON text that is the same for equal values: sorted keys, no spaces, characters unescaped."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def content_hash(value: Any) -> str:
    """SHA-256 (64 hex digits) of a value's canonical JSON; lone surrogates are kept apart by escaping."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()
