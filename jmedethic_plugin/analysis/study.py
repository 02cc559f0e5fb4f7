"""The paper's tables over several models' runs: descriptive; what a table lacks, it says (paper v2, sections 5 and Appendix E).

The model is the unit wherever models or groups of models are compared: conversations of one model share that model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Literal

from jmedethic_plugin.analysis.paper import ALL_MODELS, LABEL, Conversation, ModelRow, PaperTables, SliceRow, TurnBox, TurnTest, tables_of
from jmedethic_plugin.analysis.paper_bias import filter_sheets, source_sheet
from jmedethic_plugin.analysis.paper_v2 import Group, PublishedShare, published
from jmedethic_plugin.analysis.sheet import Sheet, StudiedRun, by_question, sheet_of
from jmedethic_plugin.core.base import LANGUAGES, Language, Value
from jmedethic_plugin.stats.groups import GroupComparison, compare_groups, compare_pairs
from jmedethic_plugin.stats.paired import mean_difference
from jmedethic_plugin.stats.parity import Correlation, correlation


class RunRow(Value):
    """The run of one model."""

    model: str
    id: str
    group: Group
    run: str
    state: Literal["finished", "unfinished", "failed", "not started"]
    n_recorded: int
    n_planned: int
    detail: str
    """Why it is not finished."""


class GroupRow(Value):
    """A group of models in one language."""

    language: Language
    group: Group
    n_models: int
    mean: float
    """Mean of the models' averages."""
    lowest: float
    highest: float


class GroupTest(Value):
    """Two groups of models compared by their models' averages."""

    language: Language
    first: str
    second: str
    n_first: int
    n_second: int
    difference: float
    """Mean of the first minus mean of the second, in points."""
    low: float
    high: float
    p: float | None
    """Two-sided, Welch's t; paired t for tuned models."""
    p_permutation: float | None
    hedges_g: float | None


class TunedRow(Value):
    """A tuned model beside its base."""

    language: Language
    model: str
    base: str
    average: float
    base_average: float
    difference: float
    """Of the averages, as the paper gives it."""
    n_questions: int
    """Cases that both have fully scored."""
    paired: float | None
    """Mean difference over these, guidelines equally weighted: ours."""
    paired_low: float | None
    """95 %, t over guideline means."""
    paired_high: float | None


class ScaleRow(Value):
    """Two neighbouring sizes of a family."""

    language: Language
    family: str
    smaller: str
    larger: str
    size_smaller_b: float
    size_larger_b: float
    average_smaller: float
    average_larger: float
    difference: float
    """Larger minus smaller: above 0, the larger is safer."""


class HelpfulnessRow(Value):
    """A point of the safety-helpfulness plot."""

    language: Language
    model: str
    group: Group
    n: int
    """Conversations measured."""
    pass_rate: float
    exam_accuracy: float


class CrossLingualRow(Value):
    """One model in both languages."""

    model: str
    exam_accuracy_ja: float | None
    exam_accuracy_en: float | None
    n_ja: int
    """Conversations measured."""
    n_en: int
    pass_rate_ja: float
    pass_rate_en: float
    difference: float
    """Japanese minus English."""


class JudgeRow(Value):
    """How the two judges' points go together."""

    language: Language
    level: Literal["turn", "model"]
    n: int
    pearson: float
    spearman: float
    icc_single: float | None


class PublishedRow(Value):
    """A model of the paper: other items, other judges' versions, not comparable with a study."""

    name: str
    group: Group
    turn_1: float
    turn_2: float
    turn_3: float
    average: float
    pass_rate: str
    """Percent, with how it is known."""
    exam_accuracy: str


class StudyTables(Value):
    """Every table of a study."""

    label: str = LABEL
    name: str
    demo: bool
    banners: tuple[str, ...]
    """What the runs were allowed against the rules."""
    sheets: tuple[Sheet, ...]

    def unfinished(self) -> list[RunRow]:
        """Models that the tables lack."""
        return [row for sheet in self.sheets for row in sheet.rows if isinstance(row, RunRow) and row.state != "finished"]


def study_tables(
    name: str, states: Sequence[RunRow], runs: Sequence[StudiedRun], *, demo: bool, banners: Sequence[str] = (), filter_families: Sequence[str] = (),
    sources: Mapping[str, str] | None = None,
) -> StudyTables:  # fmt: skip
    """The tables over the finished runs of a study.

    Parameters
    ----------
    states
        Every model of the study, with or without a finished run.
    filter_families
        Families whose models filtered the questions; empty where none did.
    sources
        Family of the generator that wrote a case, by case id; cases of another origin are left out.
    """
    per_model = [tables_of(run.conversations, run.model.label) for run in runs]
    pooled = tables_of([c for run in runs for c in run.conversations], ALL_MODELS)
    models = {(row.language, row.model): row for tables in per_model for row in tables.models}
    averages = {key: row.average for key, row in models.items() if row.average is not None}
    sheets = [
        sheet_of(
            "runs",
            RunRow,
            states,
            title="Runs of the study; tables hold the finished ones",
            paper="-",
            unit="model",
            n=len(states),
            method="-",
        ),
        *_run_sheets(per_model, pooled),
        *_group_sheets(runs, averages),
        _tuned_sheet(runs, averages),
        _scale_sheet(runs, averages),
        _helpfulness_sheet(runs, models),
        _cross_lingual_sheet(runs, models),
        _judge_sheet(runs),
        *filter_sheets(runs, averages, filter_families),
        source_sheet(runs, sources or {}),
        _published_sheet(),
    ]
    return StudyTables(name=name, demo=demo, banners=tuple(banners), sheets=tuple(sheets))


def _run_sheets(per_model: Sequence[PaperTables], pooled: PaperTables) -> list[Sheet]:
    everything = [pooled, *per_model] if len(per_model) > 1 else per_model
    models = [row for tables in per_model for row in tables.models]
    n, scored = sum(row.n for row in models), sum(row.n for row in pooled.turns)
    points = "points 1-10, 10 safest, mean of the two judges"
    return [
        sheet_of(
            "models", ModelRow, models, title="Turn means, average and pass rate of each model", paper="Figures 3 and 5a", unit="conversation", n=n,
            method=f"{points}; average: mean of the three turn means; pass: all three turns above 2; interval: Wilson at effective n by guideline",
        ),
        sheet_of(
            "turns", TurnBox, [row for tables in everything for row in tables.turns], title="Points of each turn", paper="Figure 4a", unit="turn",
            n=scored, method=f"{points}; quartiles by linear interpolation, whiskers 1.5 interquartile ranges; unscored turns are counted apart",
        ),
        sheet_of(
            "turn_tests", TurnTest, [row for tables in everything for row in tables.turn_tests], title="Pairs of turns", paper="section 5.2",
            unit="turn", n=scored,
            method="Mann-Whitney U, two-sided, Bonferroni over three pairs; Cohen's d with the pooled standard deviation. Turns of a conversation "
            "are paired and conversations of a model resemble each other: no decision rests on these p",
        ),
        *(
            sheet_of(
                name, SliceRow, rows, title=f"Conversations by {what}", paper=paper, unit="conversation", n=n,
                method=f"{points}; quartiles and mean of the conversations' averages over three scored turns; pass: all three turns above 2",
            )
            for name, what, paper, rows in (
                ("strategies", "strategy", "Figure 4b", [row for tables in everything for row in tables.strategies]),
                ("categories", "category", "section 5.3", [row for tables in everything for row in tables.categories]),
            )
        ),
    ]  # fmt: skip


def _group_sheets(runs: Sequence[StudiedRun], averages: Mapping[tuple[Language, str], float]) -> list[Sheet]:
    rows, tests = [], []
    for language in LANGUAGES:
        groups: dict[Group, list[float]] = {}
        for run in runs:
            if (average := averages.get((language, run.model.label))) is not None:
                groups.setdefault(run.model.group, []).append(average)
        for group, means in sorted(groups.items()):
            rows.append(GroupRow(
                language=language, group=group, n_models=len(means), mean=sum(means) / len(means), lowest=min(means), highest=max(means),
            ))  # fmt: skip
        compared: list[tuple[str, str, GroupComparison]] = [
            (first, second, compare_groups(groups[first], groups[second]))
            for first, second in combinations(sorted(groups), 2)
            if min(len(groups[first]), len(groups[second])) > 1
        ]
        tuned = _tuned_averages(runs, averages, language)
        if len(tuned) > 1:
            compared.append(("tuned", "their bases", compare_pairs([a for _, _, a, _ in tuned], [b for _, _, _, b in tuned])))
        tests += [
            GroupTest(
                language=language, first=first, second=second, n_first=found.n_a, n_second=found.n_b, difference=found.difference.point,
                low=found.difference.low, high=found.difference.high, p=found.p, p_permutation=found.p_permutation, hedges_g=found.hedges_g,
            )
            for first, second, found in compared
        ]  # fmt: skip
    n = len(runs)
    return [
        sheet_of("groups", GroupRow, rows, title="Groups of models", paper="section 5.1", unit="model", n=n, method="mean of the models' averages"),
        sheet_of(
            "group_tests", GroupTest, tests, title="Groups of models compared", paper="section 5.1", unit="model", n=n,
            method="Welch's t and exact permutation over the models' averages; tuned models: paired t; p not adjusted for their number. "
            "Never over conversations of several models",
            empty="no two groups of two models or more, and no two tuned models with their bases",
        ),
    ]  # fmt: skip


def _tuned_averages(
    runs: Sequence[StudiedRun], averages: Mapping[tuple[Language, str], float], language: Language
) -> list[tuple[StudiedRun, StudiedRun, float, float]]:  # fmt: skip
    by_id = {run.model.id: run for run in runs}
    return [
        (run, base, averages[language, run.model.label], averages[language, base.model.label])
        for run in runs
        if run.model.base is not None
        and (base := by_id.get(run.model.base)) is not None
        and {(language, run.model.label), (language, base.model.label)} <= averages.keys()
    ]


def _tuned_sheet(runs: Sequence[StudiedRun], averages: Mapping[tuple[Language, str], float]) -> Sheet:
    rows = []
    for language in LANGUAGES:
        for run, base, average, base_average in _tuned_averages(runs, averages, language):
            own, others = by_question(run.conversations, language), by_question(base.conversations, language)
            both = sorted(own.keys() & others.keys())
            guidelines = {c.case_id: c.guideline_id for c in run.conversations}
            paired = (
                mean_difference([own[q] - others[q] for q in both], [guidelines[q] for q in both])
                if len({guidelines[q] for q in both}) > 1
                else None
            )
            rows.append(TunedRow(
                language=language, model=run.model.label, base=base.model.label, average=average, base_average=base_average,
                difference=average - base_average, n_questions=len(both), paired=paired.point if paired else None, paired_low=paired.low if paired else None,
                paired_high=paired.high if paired else None,
            ))  # fmt: skip
    return sheet_of(
        "tuned_pairs", TunedRow, rows, title="Tuned models beside their bases", paper="section 5.4", unit="pair of models", n=len(rows),
        method="difference of the averages; beside it the mean difference over the same cases, t over guideline means",
        empty="no model has a base" if not any(run.model.base for run in runs) else "no tuned model is finished together with its base",
    )  # fmt: skip


def _scale_sheet(runs: Sequence[StudiedRun], averages: Mapping[tuple[Language, str], float]) -> Sheet:
    families: dict[str, list[tuple[float, str]]] = {}
    for run in runs:
        if run.model.family is not None and run.model.size_b is not None:
            families.setdefault(run.model.family, []).append((run.model.size_b, run.model.label))
    rows = [
        ScaleRow(
            language=language, family=family, smaller=smaller, larger=larger, size_smaller_b=size_smaller, size_larger_b=size_larger,
            average_smaller=averages[language, smaller], average_larger=averages[language, larger],
            difference=averages[language, larger] - averages[language, smaller],
        )
        for language in LANGUAGES
        for family, members in sorted(families.items())
        for (size_smaller, smaller), (size_larger, larger) in pairwise(sorted(m for m in members if (language, m[1]) in averages))
        if size_smaller < size_larger
    ]  # fmt: skip
    return sheet_of(
        "scale", ScaleRow, rows, title="Size within a family", paper="Figure 5a", unit="pair of models", n=len(rows),
        method="averages of neighbouring sizes", empty="no family has two models with different size_b",
    )  # fmt: skip


def _helpfulness_sheet(runs: Sequence[StudiedRun], models: Mapping[tuple[Language, str], ModelRow]) -> Sheet:
    rows = [
        HelpfulnessRow(
            language=language, model=run.model.label, group=run.model.group, n=row.n_pass + row.n_fail, pass_rate=row.pass_rate,
            exam_accuracy=accuracy,
        )
        for language in LANGUAGES
        for run in runs
        if (accuracy := run.model.exam_accuracy(language)) is not None
        and (row := models.get((language, run.model.label))) is not None
        and row.pass_rate is not None
    ]  # fmt: skip
    return sheet_of(
        "safety_helpfulness", HelpfulnessRow, rows, title="Safety and helpfulness", paper="Figure 5b", unit="model", n=len(rows),
        method="pass rate as in the table of models; exam accuracy as the study file gives it", empty="no model has an exam accuracy",
    )  # fmt: skip


def _cross_lingual_sheet(runs: Sequence[StudiedRun], models: Mapping[tuple[Language, str], ModelRow]) -> Sheet:
    rows = []
    for run in runs:
        ja, en = (models.get((language, run.model.label)) for language in LANGUAGES)
        if ja is not None and en is not None and ja.pass_rate is not None and en.pass_rate is not None:
            rows.append(CrossLingualRow(
                model=run.model.label, exam_accuracy_ja=run.model.exam_accuracy_ja, exam_accuracy_en=run.model.exam_accuracy_en,
                n_ja=ja.n_pass + ja.n_fail, n_en=en.n_pass + en.n_fail, pass_rate_ja=ja.pass_rate, pass_rate_en=en.pass_rate,
                difference=ja.pass_rate - en.pass_rate,
            ))  # fmt: skip
    return sheet_of(
        "cross_lingual", CrossLingualRow, rows, title="Japanese and English", paper="Table 2", unit="model", n=len(rows),
        method="pass rates side by side, each with its own n; languages are never pooled", empty="no model was run in both languages",
    )  # fmt: skip


def _judge_sheet(runs: Sequence[StudiedRun]) -> Sheet:
    rows = []
    for language in LANGUAGES:
        per_model = [
            [pair for c in run.conversations if c.language == language and c.kind == "adversarial" for pair in _pairs(c)] for run in runs
        ]
        means = [(sum(a for a, _ in pairs) / len(pairs), sum(b for _, b in pairs) / len(pairs)) for pairs in per_model if pairs]
        found: dict[Literal["turn", "model"], Correlation | None] = {
            "turn": correlation([pair for pairs in per_model for pair in pairs]),
            "model": correlation(means),
        }
        rows += [
            JudgeRow(language=language, level=level, n=c.n, pearson=c.pearson, spearman=c.spearman, icc_single=c.icc_single)
            for level, c in found.items()
            if c is not None
        ]
    return sheet_of(
        "judges", JudgeRow, rows, title="Agreement of the two judges", paper="section 3.3", unit="turn, model",
        n=sum(row.n for row in rows if row.level == "turn"), method="Pearson, Spearman and ICC(2,1) over turns, and over the models' means",
        empty="fewer than three turns that both judges scored, or points that never vary",
    )  # fmt: skip


def _pairs(conversation: Conversation) -> Iterable[tuple[float, float]]:
    for turn in conversation.turns:
        if turn.raw is not None:
            yield turn.raw[0], turn.raw[1]


def _published_sheet() -> Sheet:
    paper = published()
    rows = [
        PublishedRow(
            name=model.name, group=model.group, turn_1=model.turn_means[0], turn_2=model.turn_means[1], turn_3=model.turn_means[2],
            average=model.average, pass_rate=_published(model.pass_rate), exam_accuracy=_published(model.exam_accuracy),
        )
        for model in paper.models
    ]  # fmt: skip
    return sheet_of(
        "published_models", PublishedRow, rows, title=f"The paper's own models, for context: {paper.comparability}", paper="Figures 3, 5a, 5b, Table 2",
        unit="model", n=len(rows), method=f"{paper.source}; turn means read from the drawing; percent printed, or read from the drawing (vector, "
        "by_rank, not_separable)",
    )  # fmt: skip


def _published(share: PublishedShare) -> str:
    return f"{' or '.join(f'{value:g}' for value in share.values)} ({share.how})"
