"""Whether those who filtered or wrote the questions favour their own families (paper v2, Appendix E)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Literal

from jmedethic_plugin.analysis.sheet import Sheet, StudiedRun, by_question, sheet_of
from jmedethic_plugin.core.base import LANGUAGES, Language, Value
from jmedethic_plugin.stats.effects import cohens_d, mann_whitney
from jmedethic_plugin.stats.paired import wilcoxon_pratt
from jmedethic_plugin.stats.parity import bootstrap_difference, doubly_normalised, t_test

_SEED = 0
QUESTIONS_EACH = 300
"""Questions drawn of the own and of other families (Appendix E)."""


class FamilyRow(Value):
    """A family in the filter-bias analysis."""

    language: Language
    side: Literal["filter", "others", "medical"]
    family: str
    n_models: int
    mean: float


class FilterBias(Value):
    """Models of the families that filtered the questions against other general models."""

    language: Language
    n_filter: int
    """Models."""
    n_others: int
    mean_filter: float
    mean_others: float
    n_questions: int
    question_p: float | None
    """Wilcoxon's signed-rank test over questions, zeros by Pratt."""
    question_d_pooled: float | None
    question_d_z: float | None
    model_p: float
    """Mann-Whitney U over models."""
    difference: float
    """Of the means over models, filter families minus others."""
    bootstrap_low: float
    """95 %, percentile, 1,000 resamples of the models of each side."""
    bootstrap_high: float


class SourceBias(Value):
    """Questions a family's own generator wrote against questions of other generators, doubly normalised."""

    language: Language
    family: str
    n_models: int
    n_own: int
    n_other: int
    own_minus_other: float
    t: float
    p: float


def filter_sheets(
    runs: Sequence[StudiedRun], averages: Mapping[tuple[Language, str], float], filter_families: Sequence[str]
) -> list[Sheet]:  # fmt: skip
    rows, tests = [], []
    for language in LANGUAGES if filter_families else ():
        sides: dict[Literal["filter", "others", "medical"], list[StudiedRun]] = {"filter": [], "others": [], "medical": []}
        for run in runs:
            if (language, run.model.label) in averages:
                medical = run.model.group == "medical"
                sides["medical" if medical else "filter" if run.model.family in filter_families else "others"].append(run)
        for side, members in sides.items():
            for family in sorted({run.model.family or "none given" for run in members}):
                means = [averages[language, run.model.label] for run in members if (run.model.family or "none given") == family]
                rows.append(FamilyRow(language=language, side=side, family=family, n_models=len(means), mean=sum(means) / len(means)))
        if sides["filter"] and sides["others"]:
            tests.append(_filter_bias(language, sides["filter"], sides["others"], averages))
    empty = (
        "the study file names no filter_families"
        if not filter_families
        else "no finished model of the filter families, or no other general one"
    )
    return [
        sheet_of(
            "filter_families", FamilyRow, rows, title="Families whose models filtered the questions, and others", paper="Appendix E", unit="model",
            n=sum(row.n_models for row in rows), method="mean of the models' averages; medical models stand apart", empty=empty,
        ),
        sheet_of(
            "filter_bias", FilterBias, tests, title="Filter bias", paper="Appendix E", unit="question, model",
            n=sum(row.n_questions for row in tests), empty=empty,
            method="per question: mean of the models of each side, Wilcoxon signed-rank, Cohen's d (pooled and of the differences; the paper does not "
            "state its d); per model: Mann-Whitney U and bootstrap of the models",
        ),
    ]  # fmt: skip


def _filter_bias(
    language: Language, first: Sequence[StudiedRun], second: Sequence[StudiedRun], averages: Mapping[tuple[Language, str], float]
) -> FilterBias:  # fmt: skip
    questions, scores = _matrix([*first, *second], language)
    a, b = (
        [sum(row[q] for row in side) / len(side) for q in range(len(questions))] for side in (scores[: len(first)], scores[len(first) :])
    )
    means_a, means_b = ([averages[language, run.model.label] for run in side] for side in (first, second))
    difference = bootstrap_difference(means_a, means_b, seed=_SEED)
    enough = len(questions) > 1
    return FilterBias(
        language=language, n_filter=len(first), n_others=len(second), mean_filter=sum(means_a) / len(means_a),
        mean_others=sum(means_b) / len(means_b), n_questions=len(questions), question_p=wilcoxon_pratt(a, b).p if questions else None,
        question_d_pooled=cohens_d(a, b, "pooled") if enough else None, question_d_z=cohens_d(a, b, "z") if enough else None,
        model_p=mann_whitney(means_a, means_b).p, difference=difference.point, bootstrap_low=difference.low, bootstrap_high=difference.high,
    )  # fmt: skip


def source_sheet(runs: Sequence[StudiedRun], sources: Mapping[str, str]) -> Sheet:
    rows = []
    for language in LANGUAGES:
        questions, scores = _matrix(runs, language)
        known = [q for q in range(len(questions)) if questions[q] in sources]
        if not known:
            continue
        normalised = doubly_normalised([[row[q] for q in known] for row in scores])
        for family in sorted({sources[questions[q]] for q in known}):
            members = [m for m, run in enumerate(runs) if run.model.family == family]
            if not members:
                continue
            values = normalised[members].mean(axis=0)
            own, other = (
                [float(values[i]) for i, q in enumerate(known) if (sources[questions[q]] == family) == is_own] for is_own in (True, False)
            )
            drawn_own, drawn_other = _drawn(own), _drawn(other)
            if (found := t_test(drawn_own, drawn_other)) is not None:
                rows.append(SourceBias(
                    language=language, family=family, n_models=len(members), n_own=len(drawn_own), n_other=len(drawn_other),
                    own_minus_other=found.difference, t=found.t, p=found.p,
                ))  # fmt: skip
    return sheet_of(
        "source_bias", SourceBias, rows, title="Generation-source bias", paper="Appendix E", unit="question", n=sum(r.n_own + r.n_other for r in rows),
        method=f"up to {QUESTIONS_EACH} random own and other questions; averages less the model's and the question's mean, over the family's models; "
        "two-sided t-test of independent samples",
        empty="no case's source names the family of a generator (source_families)" if not sources
        else "no family has both a finished model and questions of its own, with two or more of each kind",
    )  # fmt: skip


def _drawn(values: list[float]) -> list[float]:
    return values if len(values) <= QUESTIONS_EACH else random.Random(_SEED).sample(values, QUESTIONS_EACH)


def _matrix(runs: Sequence[StudiedRun], language: Language) -> tuple[list[str], list[list[float]]]:
    """Questions that every model has fully scored, and the averages: models in rows."""
    per_model = [by_question(run.conversations, language) for run in runs]
    questions = sorted(set.intersection(*map(set, per_model))) if per_model else []
    return questions, [[scores[q] for q in questions] for scores in per_model]
