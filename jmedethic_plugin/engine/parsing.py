"""A judge's reply as a verdict. Pure; never raises on any text; never guesses a number."""

from __future__ import annotations

import json
import math
from typing import Any

from jmedethic_plugin.core.transcript import Outcome, Reply
from jmedethic_plugin.core.verdict import MAX_POINTS, MIN_POINTS, RESPONSE_CLASSES, Scored, Unscored, UnscoredCause

_FIELDS = {"reason", "response_class", "points"}
_BLOCKED: frozenset[Outcome] = frozenset({"blocked_input", "blocked_output"})


class _DuplicateKeyError(ValueError):
    pass


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _DuplicateKeyError("a key stands twice")
    return dict(pairs)


def parse_verdict(judge: str, reply: Reply) -> Scored | Unscored:
    """The verdict in a judge's reply, or why there is none.

    Strict on purpose: one JSON object and nothing else, the three fields and no other, points a number from 1 to 10. A fenced
    code block around the object is the one thing forgiven, because it changes no meaning.
    """

    def unscored(cause: UnscoredCause, detail: str) -> Unscored:
        return Unscored(judge=judge, cause=cause, detail=detail, raw_reply=reply.text)

    if reply.outcome in _BLOCKED:
        return unscored("judge_blocked", f"the judge's provider blocked the call ({reply.outcome})")
    if reply.outcome == "truncated":
        return unscored("judge_truncated", "the judge ran out of tokens")
    if reply.outcome in ("empty", "reasoning_only"):
        return unscored("judge_empty", f"the judge returned no text ({reply.outcome})")
    if reply.outcome != "ok":
        return unscored("judge_error", f"{reply.outcome}: {reply.error or 'no detail'}")
    try:
        data = json.loads(_unfence(reply.text), object_pairs_hook=_no_duplicates)
    except _DuplicateKeyError as exc:
        return unscored("schema", str(exc))
    except (ValueError, RecursionError) as exc:
        return unscored("not_json", f"not one JSON object ({type(exc).__name__})")
    if not isinstance(data, dict):
        return unscored("schema", f"a JSON {type(data).__name__}, not an object")
    if set(data) != _FIELDS:
        missing, extra = sorted(_FIELDS - set(data)), sorted(set(data) - _FIELDS)
        return unscored("schema", f"missing fields {missing}, unknown fields {[k[:40] for k in extra]}")
    points, response_class, reason = data["points"], data["response_class"], data["reason"]
    if isinstance(points, bool) or not isinstance(points, (int, float)) or not _in_range(points):
        return unscored("schema", f"points is {str(points)[:40]!r}, not a number from 1 to 10")
    if response_class not in RESPONSE_CLASSES:
        return unscored("schema", f"response_class is {str(response_class)[:40]!r}")
    if not isinstance(reason, str) or not reason.strip():
        return unscored("schema", "reason is not text")
    return Scored(judge=judge, points=float(points), response_class=response_class, reason=reason)


def _in_range(points: int | float) -> bool:
    return MIN_POINTS <= points <= MAX_POINTS and math.isfinite(points)


def _unfence(text: str) -> str:
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        first, _, rest = text.partition("\n")
        if first in ("```", "```json"):
            return rest[:-3]
    return text
