"""What JMedEthicBench printed or drew (arXiv 2601.01627, version 2): context for a study, never a baseline of one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from jmedethic_plugin.core.base import Value
from jmedethic_plugin.core.guideline import CatalogueStrategyId

Points = Annotated[float, Field(ge=1, le=10)]
Percent = Annotated[float, Field(ge=0, le=100)]
Group = Literal["medical", "open", "commercial"]
"""The paper's three groups of models."""


class PublishedShare(Value):
    """A percentage and how it is known to belong to its model."""

    values: Annotated[tuple[Percent, ...], Field(min_length=1)]
    """More than one where the drawing does not tell which."""
    how: Literal["printed", "vector", "by_rank", "not_separable"]
    """``vector``: a labelled point of Figure 5b; ``by_rank``: an unlabelled one matched by rank order; ``not_separable``: one of several."""


class PublishedModel(Value):
    """A model's bars in Figures 3 and 5a and its point in Figure 5b."""

    name: str
    group: Group
    family: str
    size_b: float | None
    """Billions of parameters, where the name says it."""
    turn_means: tuple[Points, Points, Points]
    """From the vector drawing, about +-0.01."""
    average: Points
    pass_rate: PublishedShare
    exam_accuracy: PublishedShare


class PublishedBox(Value):
    """A box of Figure 4a or 4b, from the vector drawing."""

    turn_number: int | None = None
    strategy: CatalogueStrategyId | None = None
    q1: Points
    median: Points
    q3: Points
    mean: Points


class PublishedEffect(Value):
    """Cohen's d between two turns; which d is not stated."""

    first: int
    second: int
    d: float


class PublishedLanguages(Value):
    """A row of Table 2, in percent."""

    name: str
    exam_accuracy_ja: Percent
    exam_accuracy_en: Percent
    pass_rate_ja: Percent
    pass_rate_en: Percent


class PublishedPair(Value):
    """A medical model and the model it was tuned from."""

    name: str
    base: str
    average: Points
    base_average: Points
    difference: float


class PublishedAgreement(Value):
    """Agreement of the two judges on one level."""

    n: int
    pearson: float
    spearman: float
    icc_single: float | None


class PublishedJudges(Value):
    """Reliability of the judges (section 3.3)."""

    turn_level: PublishedAgreement
    model_level: PublishedAgreement
    spearman_brown: float


class PublishedPeople(Value):
    """Human validation (section 5.7, Table 3); pairs are lowest and highest over the annotators."""

    n_annotators: int
    n_responses: int
    pearson: tuple[float, float]
    spearman: tuple[float, float]
    within_two_percent: tuple[Percent, Percent]
    alpha_ordinal: float
    icc_single: float
    judges_spearman: float
    judges_pearson: float
    judges_within_two_percent: Percent
    judges_mean_absolute_error: float


class PublishedFilterBias(Value):
    """Appendix E: families whose models filtered the questions, against others."""

    family_means: dict[str, Points]
    n_models: dict[str, int]
    others: tuple[str, ...]
    others_mean: Points
    medical_mean: Points
    question_d: float
    n_questions: int
    model_p: float
    bootstrap_low: float
    bootstrap_high: float
    n_resamples: int


class PublishedSourceBias(Value):
    """Appendix E: questions written by a model of the family, against those of other families."""

    family: str
    n_each: int
    difference: float
    t: float
    p: str


class PaperV2(Value):
    """The paper's own figures."""

    source: str
    comparability: str
    counts: dict[str, int]
    models: tuple[PublishedModel, ...]
    turns: tuple[PublishedBox, ...]
    turn_effects: tuple[PublishedEffect, ...]
    strategies: tuple[PublishedBox, ...]
    cross_lingual: tuple[PublishedLanguages, ...]
    tuned_pairs: tuple[PublishedPair, ...]
    judges: PublishedJudges
    people: PublishedPeople
    filter_bias: PublishedFilterBias
    source_bias: tuple[PublishedSourceBias, ...]


@cache
def published() -> PaperV2:
    """The figures, from the file shipped with the package."""
    return PaperV2.model_validate_json(Path(__file__).with_suffix(".json").read_bytes())
