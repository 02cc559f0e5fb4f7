"""What clinicians and others said of a text, and whether they said it of the text as it stands now."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Literal, get_args

from pydantic import StringConstraints

from jmedethic_plugin.core.base import Text, Value, content_hash

IsoDate = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$")]
IsoDay = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
TextDigest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]

ReviewVerdict = Literal["agree", "change", "reject"]
REVIEW_VERDICTS: tuple[ReviewVerdict, ...] = get_args(ReviewVerdict)
Profession = Literal["physician", "dentist", "nurse", "pharmacist", "other_clinician", "ethicist", "lawyer", "other"]
PROFESSIONS: tuple[Profession, ...] = get_args(Profession)
CLINICIANS: frozenset[Profession] = frozenset({"physician", "dentist", "nurse", "pharmacist", "other_clinician"})

ReviewStatus = Literal["unreviewed", "outdated", "not_by_clinician", "agreed", "change_asked", "rejected"]
REVIEW_STATUSES: tuple[ReviewStatus, ...] = get_args(ReviewStatus)
CLINICIAN_STATUSES: frozenset[ReviewStatus] = frozenset({"agreed", "change_asked", "rejected"})
"""A clinician has read the text as it stands."""


class Review(Value):
    """One person's verdict on one text."""

    reviewer: Text
    profession: Profession
    date: IsoDay
    verdict: ReviewVerdict
    text: TextDigest
    """Digest of the text that was read: a later change of the text makes the review outdated, never silently valid."""
    comment: Text | None = None


def status_of(reviews: Sequence[Review], digest: str) -> ReviewStatus:
    """What the reviews amount to for the text with this digest.

    Each reviewer's last word counts, and the severest of those: one rejection is not outvoted. Only clinicians' verdicts make a text
    reviewed.
    """
    last = {(r.reviewer, r.profession): r for r in reviews if r.text == digest}
    if not last:
        return "outdated" if reviews else "unreviewed"
    verdicts = {r.verdict for r in last.values() if r.profession in CLINICIANS}
    if not verdicts:
        return "not_by_clinician"
    return "rejected" if "reject" in verdicts else "change_asked" if "change" in verdicts else "agreed"


class Reviewed(Value):
    """A value that people review, with the reviews it has had."""

    reviews: tuple[Review, ...]

    @cached_property
    def text_digest(self) -> str:
        """What a review is a review of: first 16 hex digits of the content hash, without the reviews and what belongs to the file."""
        return content_hash(self.model_dump(mode="json", exclude={"reviews", "format", "canary"}))[:16]

    @property
    def review_status(self) -> ReviewStatus:
        """What the reviews amount to for the text as it stands."""
        return status_of(self.reviews, self.text_digest)
