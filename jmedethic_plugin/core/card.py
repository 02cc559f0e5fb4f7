"""The judge card: what is known of the error of a run's judges, on which answers, until when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from pydantic import Field, model_validator

from jmedethic_plugin.core.base import Language, Value, content_hash
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.core.labelled import Part

VALID_DAYS = 90
"""A hosted model may change under its name: a calibration counts for so long (method.md A-62)."""


class Share(Value):
    """So many of so many, with an interval; None where there was nothing to count."""

    name: str
    n_hits: int
    n: int
    estimate: Estimate | None
    bound: float | None = None
    """One-sided exact 95 % bound on the side that matters for the admission."""


class Bias(Value):
    """What a change that should not matter did to a judge's points."""

    variant: str
    n: int
    """Answers scored both ways."""
    mean_shift: float | None
    n_flips: int
    """Answers that changed sides of the rubric's line."""


class AttackResult(Value):
    """Violating answers with an attack, beside the same answers with a harmless tail."""

    name: str
    n: int
    """Pairs scored in all three forms, and called a violation plain: only such can be turned into something safe."""
    n_flips: int
    """Called a violation plain, and not under the attack."""
    n_flips_control: int
    difference: Estimate | None
    """Share that flips minus the share that flips with the harmless tail."""
    p: float
    """Exact McNemar."""
    bound: float | None
    """One-sided 95 % upper bound of the share that flips."""
    n_unscored: int
    """Attacked answers the judge returned nothing usable for."""


class SelfPreference(Value):
    """Points of a judge over the mean of the others: answers of its own family against the rest."""

    family: str
    n_own: int
    n_others: int
    effect: Estimate | None
    """In points; positive: it favours its own family."""


class JudgeLanguage(Value):
    """One judge in one language."""

    language: Language
    n: int
    n_unscored: dict[str, int]
    """Answers without a usable verdict by cause."""
    sensitivity: Share
    """Violations called violations; the bound is the lower one."""
    specificity: Share
    balanced_accuracy: float | None
    mean_absolute_error: float | None
    """In points, where the labels give points."""
    within_1: float | None
    leniency: float | None
    """Mean of judge minus label, in points."""
    limits_of_agreement: tuple[float, float] | None
    """Bland-Altman: leniency plus and minus 1.96 SD."""
    agreement_with_labels: dict[str, Estimate | None]
    """Krippendorff's alpha of judge and labels: ``violation`` (nominal), ``points`` (ordinal)."""
    by_strategy: tuple[Share, ...]
    """Sensitivity."""
    by_kind: tuple[Share, ...]
    """Share judged as labelled."""
    by_class: tuple[Share, ...]
    """Share judged as labelled, by the labelled response class."""
    length_correlation: float | None
    """Partial correlation of points with the answer's length, given the label."""
    repeat: Bias
    biases: tuple[Bias, ...]
    attacks: tuple[AttackResult, ...]


class JudgeResult(Value):
    """One judge."""

    judge: str
    family: str | None
    served: tuple[str, ...]
    """Names and fingerprints under which its provider answered."""
    languages: tuple[JudgeLanguage, ...]
    self_preference: SelfPreference | None
    """None where the labelled set names too few families."""
    faults: tuple[str, ...]


class PanelLanguage(Value):
    """The panel's own decision, as a run under this threshold takes it."""

    language: Language
    sensitivity: Share
    specificity: Share


class LabelAgreement(Value):
    """How far the people who labelled agree with each other: the ceiling for a judge."""

    language: Language
    n: int
    n_authors: int
    alpha_violation: Estimate | None
    alpha_points: Estimate | None


class AnswerSet(Value):
    """The labelled answers a card rests on."""

    source: str
    part: Part
    hash: str
    n: int
    clinician_labelled: bool
    licences: tuple[str, ...]


class JudgeCard(Value):
    """Qualification of the judges of a panel."""

    schema_version: Literal[1] = 1
    canary: str
    suite_version: str
    created: str
    """Date, ISO 8601."""
    expires: str
    scale: dict[str, Any]
    """What must be equal for the card to speak for a run: judges, addresses, sampling, rubric hashes."""
    threshold: str
    answers: AnswerSet
    judges: tuple[JudgeResult, ...]
    panel: tuple[PanelLanguage, ...]
    labels: tuple[LabelAgreement, ...]
    gaps: tuple[str, ...]
    """What had to be examined and was not, for the whole panel; each is a fault."""
    notes: tuple[str, ...]
    """What a reader must know and what no criterion asks for."""
    demo: bool

    @property
    def common_faults(self) -> tuple[str, ...]:
        """Faults of the exam, whichever the judge."""
        part = self.answers.part
        unsealed = (
            ()
            if part == "sealed"
            else (f"examined on the part {part!r} of the set, on which prompts may have been tuned; needed 'sealed'",)
        )
        return (*unsealed, *self.gaps)

    @property
    def faults(self) -> tuple[str, ...]:
        """Why the panel is not qualified; empty when it is."""
        return (*self.common_faults, *(f"{judge.judge}: {fault}" for judge in self.judges for fault in judge.faults))

    def faults_on(self, day: date) -> tuple[str, ...]:
        """`faults`, and that the card has expired."""
        return (*self.faults, *self.expired_on(day))

    def expired_on(self, day: date) -> tuple[str, ...]:
        """That the card has expired, if it has."""
        return (f"the card expired on {self.expires}",) if self.expires < day.isoformat() else ()

    @property
    def content_hash(self) -> str:
        """Identity of the card."""
        return content_hash(self.model_dump(mode="json"))


class CardFile(Value):
    """``card.json``: a card with its hash, so that a changed one is no card."""

    content_hash: str
    card: JudgeCard

    @classmethod
    def of(cls, card: JudgeCard) -> CardFile:
        """A card as it is written."""
        return cls(content_hash=card.content_hash, card=card)

    @model_validator(mode="after")
    def _is_unchanged(self) -> CardFile:
        if self.card.content_hash != self.content_hash:
            raise ValueError(
                f"the card was changed: its hash is {self.card.content_hash[:16]}..., the file says {self.content_hash[:16]}..."
            )
        return self


class CardSummary(Value):
    """What a run keeps of the card it was given."""

    content_hash: str
    created: str
    expires: str
    clinician_labelled: bool
    faults: tuple[str, ...]
    panel: tuple[PanelLanguage, ...]
    served: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Names and fingerprints under which each judge answered when it was examined."""
    notes: tuple[str, ...] = ()

    def held_against(self, served: Mapping[str, tuple[str, ...]]) -> CardSummary:
        """With a fault for each judge that answered a run under another name or fingerprint: that is another judge (method.md A-62)."""
        changed = tuple(
            f"{judge}: answered as {', '.join(other)}, was examined as {', '.join(known)}"
            for judge, known in self.served.items()
            if known and (other := sorted(set(served.get(judge, ())) - set(known)))
        )
        return self.model_copy(update={"faults": tuple(dict.fromkeys((*self.faults, *changed)))})
