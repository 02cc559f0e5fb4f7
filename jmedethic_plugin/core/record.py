"""The versioned result of one case, and the manifest of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from jmedethic_plugin.core.base import Bilingual, Language, Value
from jmedethic_plugin.core.card import CardSummary
from jmedethic_plugin.core.case import Case, kind_of
from jmedethic_plugin.core.exam import ExamFile, ExamRecord
from jmedethic_plugin.core.gate import Gate
from jmedethic_plugin.core.threshold import Assessment, Threshold, ThresholdFailure, assess
from jmedethic_plugin.core.transcript import Turn
from jmedethic_plugin.core.verdict import PanelVerdict, Scored
from jmedethic_plugin.errors import NotMeasuredError


class CaseRecord(Value):
    """One case as it was played and judged: one line of ``records.jsonl``."""

    schema_version: Literal[1] = 1
    case: Case
    repeat: Annotated[int, Field(ge=1)] = 1
    target: str
    judges: tuple[str, ...]
    demo: bool
    """A scripted model took part: the record measures nothing."""
    turns: tuple[Turn, ...]

    @property
    def case_id(self) -> str:
        """Id of the case."""
        return self.case.id

    def assess(self, threshold: Threshold) -> Assessment:
        """What the case amounts to under a threshold."""
        return assess(self.case.kind, self.turns, threshold)

    def require(self, threshold: Threshold, *, where: str) -> None:
        """Raise unless the case passed.

        Parameters
        ----------
        threshold
            What every turn must reach.
        where
            Where the full record can be read, for the message.

        Raises
        ------
        ThresholdFailure
            Measured, and below the bar or a legitimate question refused.
        NotMeasuredError
            Too few verdicts to say either.
        """
        __tracebackhide__ = True  # pytest then shows the case's own line, not this one
        result = self.assess(threshold)
        if result.status == "passed":
            return
        prefix = "[demo, no measurement] " if self.demo else ""
        flagged = (
            " Injection suspected: a reply bears signs of being meant for a judge."
            if any(t.panel and t.panel.flags for t in self.turns)
            else ""
        )
        if result.status == "not_measured":
            raise NotMeasuredError(f"{prefix}{self.case.id}: not measured ({'; '.join(result.missing)}).{flagged} Record: {where}")
        turn = self.turns[(result.turn_number or 1) - 1]
        said = ", ".join(
            f"{v.judge} {v.points:g} ({v.response_class})" if isinstance(v, Scored) else f"{v.judge} unscored"
            for v in (turn.panel.heard if turn.panel else ())
        )
        what = {"violation": "below the threshold", "over_refusal": "refused a legitimate question"}[result.finding or "violation"]
        raise ThresholdFailure(
            f"{prefix}{self.case.id}: turn {turn.turn_number} of {len(self.turns)} {what}. Points (1-10, 10 safest): {said}. "
            f"Required: {threshold}.{flagged} Record: {where}"
        )

    def __repr__(self) -> str:
        return f"CaseRecord({self.case.id!r}, repeat={self.repeat})"

    __str__ = __repr__


Record = CaseRecord | ExamRecord


def record_class(case_id: str) -> type[CaseRecord] | type[ExamRecord]:
    """What the record of a case or exam question is read as."""
    return ExamRecord if kind_of(case_id) == "exam" else CaseRecord


class SentinelVerdict(Value):
    """What the panel said of an answer whose label is known, mixed into a run unseen by the judges."""

    answer_id: str
    language: Language
    violating: bool
    """What the answer is known to be."""
    panel: PanelVerdict


class Sitting(Value):
    """What one sitting of a run spent; a resumed run has several."""

    calls: int
    """Tries included."""
    tokens: int
    usd: float
    n_unpriced: int
    """Calls that cost something nobody knows."""
    stopped_by: str | None
    """The limit that ended it: ``5 USD``."""
    failures: tuple[str, ...] = ()
    """What broke outside of any conversation."""


class Manifest(Value):
    """``run.json``: everything that tells what was measured with what."""

    schema_version: Literal[1] = 1
    run_id: str
    canary: str
    suite_version: str
    demo: bool
    identity: dict[str, Any]
    """What must be equal for a run to be resumed: target, judges, parameters, prompts."""
    threshold: Threshold
    """What the reports hold the points against; the records themselves do not depend on it."""
    families: dict[str, str | None] = Field(default_factory=dict)
    """Family of the target and of each judge; None where nothing tells."""
    banners: tuple[str, ...] = ()
    """What was allowed against the rules; every report shows it first."""
    selection: dict[str, Any]
    judge_card: CardSummary | None = None
    """What is known of the judges' error; None where no card was given."""
    candidate: str | None = None
    """What the target's maker calls the version under test; two runs of one candidate count together in a gate."""
    gate: Gate | None = None
    """The release gate, fixed before the first call."""
    expected: tuple[str, ...] = ()
    """Items the gate needs."""
    critical_guidelines: tuple[str, ...] = ()
    """Of those items, the guidelines a violation of which blocks by itself."""
    emergencies: tuple[str, ...] = ()
    """Of those items, the twins in which a bare refusal does harm; case ids."""
    n_deselected: int = 0
    """Of those, how many the command left out."""
    baseline: str | None = None
    """Run to compare with."""
    pooled: tuple[str, ...] = ()
    """Earlier gated runs of the same candidate."""
    rejudged_from: str | None = None
    """The run whose answers were judged again."""
    n_sentinels: dict[str, int] = Field(default_factory=dict)
    """By language: how many answers with a known label this run, or this part of one, is to have judged among its own."""
    shard: tuple[int, int] | None = None
    """Part and number of parts, where the run is one of several."""
    missing_shards: tuple[int, ...] = ()
    """Parts that were not there when a run was joined from its parts."""
    repeats: int = 1
    corpus_hash: str
    guidelines: dict[str, str] = Field(default_factory=dict)
    """Digest of each guideline's text, by its id: judging again must show the judges the same."""
    titles: dict[str, Bilingual] = Field(default_factory=dict)
    """What reports call guidelines and strategies, by id."""
    versions: dict[str, str]
    started_at: str
    """UTC, ISO 8601."""
    finished_at: str | None = None
    test: str | None = None
    """The pytest test that asked for the first item, ``cases/test_x.py::test_y``; None where its file is outside of pytest's root folder."""
    complete: bool = False
    n_planned: int | None = None
    n_recorded: int | None = None
    exams: tuple[ExamFile, ...] = ()
    n_questions: int | None = None
    """Exam questions that were to be asked; neither planned nor recorded conversations."""
    calls: dict[str, int] | None = None
    """Calls in the ledger by role and outcome, over all sittings of this run."""
    sittings: tuple[Sitting, ...] = ()


def scale_of(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The scale of a run: everything a verdict depends on but the answers. Scores of different scales are not compared without a bridge (`rejudge`)."""
    return {key: value for key, value in identity.items() if "judge" in key or key == "rubric"}
