"""Runs beside each other: the same conversations on the same scale, the first run as baseline. It decides nothing; the gate does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from jmedethic_plugin.analysis.findings import mean_points, paired_rates
from jmedethic_plugin.analysis.rates import RateRow, is_refused, is_safe
from jmedethic_plugin.core.base import CANARY, LANGUAGES, Language, Value
from jmedethic_plugin.core.case import N_TURNS, Kind
from jmedethic_plugin.core.estimate import Estimate
from jmedethic_plugin.core.record import CaseRecord, Manifest, scale_of
from jmedethic_plugin.core.threshold import Threshold, assess
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.stats.intervals import clustered_interval, exact_mcnemar
from jmedethic_plugin.stats.paired import mean_difference

Measure = Literal["safe", "over_refusal", "harmful_on_benign"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
KIND_OF: dict[Measure, Kind] = {"safe": "adversarial", "over_refusal": "benign", "harmful_on_benign": "benign"}


class Side(Value):
    """What one conversation amounts to in one run, over its repeats."""

    n: int
    """Repeats, planned ones that were not played included."""
    n_yes: int
    n_no: int
    turn_number: int | None
    """First turn, over all repeats, that was a violation or, of over-refusal, a refusal."""
    points: tuple[float | None, ...]
    """Of each turn, the mean over repeats; 1-10, 10 safest."""

    @property
    def share(self) -> float | None:
        """Share of the measured repeats; None when none was measured."""
        measured = self.n_yes + self.n_no
        return self.n_yes / measured if measured else None


class Change(Value):
    """A conversation that ended otherwise than in the baseline."""

    case_id: str
    baseline: Side
    candidate: Side


class PairedRate(Value):
    """A rate over the same conversations in both runs; a conversation counts by the share of its measured repeats."""

    measure: Measure
    n: int
    """Conversations with the same text in both runs."""
    n_measured: int
    """Of them, those with a measured repeat in both; what follows is of these, but for the range."""
    n_missing_baseline: int
    """Repeats of the baseline that were not measured."""
    n_missing_candidate: int
    baseline: float | None
    """Guidelines counted equally, as in the difference."""
    candidate: float | None
    difference: Estimate | None
    """Candidate minus baseline, interval by guideline; None with fewer than two guidelines."""
    lowest: float | None
    """The difference if what the candidate misses were all a no, and what the baseline misses all a yes; over all conversations."""
    highest: float | None
    mcnemar_p: float | None
    """Exact, conversations taken as independent; None where repeats of a conversation disagree."""
    worse: tuple[Change, ...]
    better: tuple[Change, ...]


class TurnDifference(Value):
    """Points of one turn over the same adversarial conversations, the mean over repeats; 1-10, 10 safest."""

    turn_number: int
    n: int
    """Conversations with points in both runs."""
    n_not_scored: int
    """Conversations without points in one or both."""
    baseline: float | None
    """Guidelines counted equally, as in the difference."""
    candidate: float | None
    difference: Estimate | None
    """Candidate minus baseline, interval by guideline; None with fewer than two guidelines."""


class LanguageComparison(Value):
    """Two runs in one language."""

    language: Language
    n_matched: int
    """Conversations with the same id and text in both runs; only these are compared."""
    only_baseline: tuple[str, ...]
    only_candidate: tuple[str, ...]
    other_text: tuple[str, ...]
    """Ids that both runs played with different texts."""
    rates: tuple[PairedRate, ...]
    """Of every measure that has conversations."""
    turns: tuple[TurnDifference, ...]


class PairComparison(Value):
    """A run against the baseline."""

    candidate: int
    """Place in ``Comparison.runs``."""
    differs_in: tuple[str, ...]
    """What the manifests say differently of the two targets: model, address, system prompt, sampling."""
    guidelines_may_differ: bool
    """The same selection and the same conversations, and yet another corpus: guidelines, which the judges read, may have changed."""
    languages: tuple[LanguageComparison, ...]


class Standing(Value):
    """A run on the leaderboard, over the conversations that all runs have in common."""

    run: int
    """Place in ``Comparison.runs``."""
    rank: int
    """1 and the number of runs that are safer: whose paired difference to this one has its whole interval above 0."""
    safe: RateRow
    """Repeats count singly; the interval is clustered by guideline."""
    over_refusal: RateRow


class Leaderboard(Value):
    """All runs in one language."""

    language: Language
    n: int
    """Conversations, adversarial and benign, with the same text in all runs."""
    standings: tuple[Standing, ...]
    """Best first."""


class ComparedRun(Value):
    """What was compared."""

    run_id: str
    model: str
    demo: bool
    banners: tuple[str, ...]
    repeats: int
    n_recorded: int
    n_planned: int


class Comparison(Value):
    """The result of ``jmedethic compare``."""

    schema_version: Literal[1] = 1
    canary: str = CANARY
    threshold: str
    runs: tuple[ComparedRun, ...]
    """The baseline first."""
    pairs: tuple[PairComparison, ...]
    leaderboards: tuple[Leaderboard, ...]


class _Head(NamedTuple):
    """What is compared by, without the texts."""

    language: Language
    kind: Kind
    guideline_id: str
    digest: str


@dataclass(frozen=True)
class _Played:
    """A run without its texts, so that many fit into memory."""

    cases: dict[str, _Head]
    """By case id, in running order."""
    sides: dict[Measure, dict[str, Side]]


def compare(runs: Sequence[tuple[Manifest, Iterable[CaseRecord]]]) -> Comparison:
    """Compare every run with the first, and rank them all.

    Raises
    ------
    ConfigError
        Fewer than two runs, a run without a record, runs on different scales or under different thresholds, or runs that have no conversation in common.
    """
    if len(runs) < 2:
        raise ConfigError(f"compare: found {len(runs)} run; expected at least two, the baseline first.")
    manifests = [manifest for manifest, _ in runs]
    for manifest in manifests[1:]:
        _check_comparable(manifests[0], manifest)
    played, numbers = [], []
    for manifest, records in runs:
        unique = {(r.case.id, r.repeat): r for r in records}
        if not unique:
            raise ConfigError(
                f"{manifest.run_id}: found no finished conversation in its ledger; give --ledger URL where the run used a shared one."
            )
        numbers.append(len(unique))
        played.append(_played(manifest, unique.values()))
    pairs = tuple(_pair(i, manifests, played) for i in range(1, len(runs)))
    return Comparison(
        threshold=str(manifests[0].threshold),
        runs=tuple(
            ComparedRun(
                run_id=m.run_id, model=str(m.identity["model"]), demo=m.demo, banners=m.banners, repeats=m.repeats, n_recorded=n,
                n_planned=m.n_planned or n,
            )
            for m, n in zip(manifests, numbers, strict=True)
        ),
        pairs=pairs,
        leaderboards=tuple(board for language in LANGUAGES if (board := _leaderboard(language, played)) is not None),
    )  # fmt: skip


def _pair(candidate: int, manifests: Sequence[Manifest], played: Sequence[_Played]) -> PairComparison:
    first, other = manifests[0], manifests[candidate]
    languages = [c for language in LANGUAGES if (c := _compared(language, played[0], played[candidate])) is not None]
    if not any(c.n_matched for c in languages):
        raise ConfigError(
            f"{other.run_id}: has no conversation in common with {first.run_id} (same id, same text); expected runs of the same cases. "
            "Select the same with --lang, --guideline, --strategy."
        )
    target = (first.identity.keys() | other.identity.keys()) - scale_of(first.identity | other.identity).keys()
    return PairComparison(
        candidate=candidate, differs_in=tuple(sorted(k for k in target if first.identity.get(k) != other.identity.get(k))),
        guidelines_may_differ=first.corpus_hash != other.corpus_hash and first.selection == other.selection
        and not any(c.only_baseline or c.only_candidate or c.other_text for c in languages),
        languages=tuple(languages),
    )  # fmt: skip


def _check_comparable(first: Manifest, other: Manifest) -> None:
    mine, theirs = scale_of(other.identity), scale_of(first.identity)
    both = mine["rubric"].keys() & theirs["rubric"].keys()
    for scale in (mine, theirs):
        scale["rubric"] = {language: scale["rubric"][language] for language in sorted(both)}
    differing = [
        f"{k}: {mine.get(k)!r}, not {theirs.get(k)!r}" for k in sorted(mine.keys() | theirs.keys()) if mine.get(k) != theirs.get(k)
    ]
    if differing:
        raise ConfigError(
            f"{other.run_id}: scored on another scale than {first.run_id} ({'; '.join(differing)}); not comparable without a bridge: "
            "judge its stored answers again with the baseline's judges, jmedethic rejudge."
        )
    if other.threshold != first.threshold:
        raise ConfigError(
            f"{other.run_id}: held against another threshold than {first.run_id} ({other.threshold}, not {first.threshold}). "
            "Write the reports of one again under the other's: jmedethic report RUN --profile NAME or --min-points P."
        )


def _played(manifest: Manifest, records: Iterable[CaseRecord]) -> _Played:
    conversations: dict[str, list[CaseRecord]] = defaultdict(list)
    for record in sorted(records, key=lambda r: (r.case.sort_key, r.repeat)):
        conversations[record.case.id].append(record)
    return _Played(
        cases={n: _Head((c := r[0].case).language, c.kind, c.guideline_id, c.digest) for n, r in conversations.items()},
        sides={
            measure: {
                name: _side(measure, repeats, manifest.threshold, max(manifest.repeats, len(repeats)))
                for name, repeats in conversations.items()
                if repeats[0].case.kind == KIND_OF[measure]
            }
            for measure in MEASURES
        },
    )  # fmt: skip


def _side(measure: Measure, repeats: Sequence[CaseRecord], threshold: Threshold, n: int) -> Side:
    answers = [_answer(measure, record, threshold) for record in repeats]
    return Side(
        n=n, n_yes=sum(yes is True for yes, _ in answers), n_no=sum(yes is False for yes, _ in answers),
        turn_number=min((turn for _, turn in answers if turn is not None), default=None), points=mean_points(repeats, threshold),
    )  # fmt: skip


def _answer(measure: Measure, record: CaseRecord, threshold: Threshold) -> tuple[bool | None, int | None]:
    """Yes, no or not measured, and the turn that decided it."""
    if measure == "over_refusal":
        result = record.assess(threshold)
        refusing = (t.turn_number for t in record.turns if t.panel is not None and t.panel.refused)
        return is_refused(record, result), result.turn_number if result.finding == "over_refusal" else next(refusing, None)
    # Held to the bound alone, so that a benign twin which is refused on one turn and answered with harm on another is seen.
    result = assess("adversarial", record.turns, threshold)
    safe = is_safe(result)
    return (safe if measure == "safe" or safe is None else not safe), result.turn_number


def _compared(language: Language, baseline: _Played, candidate: _Played) -> LanguageComparison | None:
    first, second = ({name: case for name, case in run.cases.items() if case.language == language} for run in (baseline, candidate))
    if not first and not second:
        return None
    both = [name for name in first if name in second]
    same = [name for name in both if first[name].digest == second[name].digest]
    return LanguageComparison(
        language=language, n_matched=len(same), only_baseline=tuple(n for n in first if n not in second),
        only_candidate=tuple(n for n in second if n not in first), other_text=tuple(n for n in both if n not in set(same)),
        rates=tuple(_rate(m, own, baseline, candidate) for m in MEASURES if (own := [n for n in same if first[n].kind == KIND_OF[m]])),
        turns=_turns([n for n in same if first[n].kind == "adversarial"], baseline, candidate),
    )  # fmt: skip


def _rate(measure: Measure, names: Sequence[str], baseline: _Played, candidate: _Played) -> PairedRate:
    before, after, cases = baseline.sides[measure], candidate.sides[measure], baseline.cases
    rows = [(n, a, b) for n in names if (a := before[n].share) is not None and (b := after[n].share) is not None]
    first, second, guidelines = [a for _, a, _ in rows], [b for _, _, b in rows], [cases[n].guideline_id for n, _, _ in rows]
    rose, fell = (
        tuple(Change(case_id=n, baseline=before[n], candidate=after[n]) for n, a, b in rows if (b - a) * sign > 0) for sign in (1, -1)
    )
    everywhere = [cases[name].guideline_id for name in names]

    def extreme(low: Callable[[Side], float], high: Callable[[Side], float]) -> float:
        return _over_guidelines([low(after[n]) - high(before[n]) for n in names], everywhere)

    return PairedRate(
        measure=measure, n=len(names), n_measured=len(first), n_missing_baseline=_n_missing(before[n] for n in names),
        n_missing_candidate=_n_missing(after[n] for n in names), baseline=_over_guidelines(first, guidelines) if first else None,
        candidate=_over_guidelines(second, guidelines) if second else None, difference=paired_rates(second, first, guidelines),
        lowest=extreme(_at_least, _at_most), highest=extreme(_at_most, _at_least),
        mcnemar_p=exact_mcnemar(len(fell), len(rose)) if {*first, *second} <= {0.0, 1.0} else None,
        worse=fell if measure == "safe" else rose, better=rose if measure == "safe" else fell,
    )  # fmt: skip


def _n_missing(sides: Iterable[Side]) -> int:
    return sum(side.n - side.n_yes - side.n_no for side in sides)


def _at_least(side: Side) -> float:
    return side.n_yes / side.n


def _at_most(side: Side) -> float:
    return (side.n - side.n_no) / side.n


def _over_guidelines(values: Sequence[float], guidelines: Sequence[str]) -> float:
    by_guideline: dict[str, list[float]] = defaultdict(list)
    for value, guideline in zip(values, guidelines, strict=True):
        by_guideline[guideline].append(value)
    return sum(sum(v) / len(v) for v in by_guideline.values()) / len(by_guideline)


def _turns(names: Sequence[str], baseline: _Played, candidate: _Played) -> tuple[TurnDifference, ...]:
    rows = []
    for turn in range(N_TURNS if names else 0):
        pairs = [
            (baseline.sides["safe"][n].points[turn], candidate.sides["safe"][n].points[turn], baseline.cases[n].guideline_id) for n in names
        ]
        scored = [(a, b, guideline) for a, b, guideline in pairs if a is not None and b is not None]
        guidelines = [guideline for _, _, guideline in scored]
        rows.append(TurnDifference(
            turn_number=turn + 1, n=len(scored), n_not_scored=len(names) - len(scored),
            baseline=_over_guidelines([a for a, _, _ in scored], guidelines) if scored else None,
            candidate=_over_guidelines([b for _, b, _ in scored], guidelines) if scored else None,
            difference=mean_difference([b - a for a, b, _ in scored], guidelines) if len(set(guidelines)) > 1 else None,
        ))  # fmt: skip
    return tuple(rows)


def _leaderboard(language: Language, runs: Sequence[_Played]) -> Leaderboard | None:
    common = [
        name
        for name, case in runs[0].cases.items()
        if case.language == language and all(name in run.cases and run.cases[name].digest == case.digest for run in runs[1:])
    ]
    if not common:
        return None
    adversarial, benign = ([n for n in common if runs[0].cases[n].kind == kind] for kind in ("adversarial", "benign"))
    standings = [
        Standing(
            run=i, rank=1 + sum(_is_safer(other, run, adversarial) for other in runs if other is not run),
            safe=_rate_row("safe", adversarial, run), over_refusal=_rate_row("over_refusal", benign, run),
        )
        for i, run in enumerate(runs)
    ]  # fmt: skip
    standings.sort(key=lambda s: (s.rank, -(s.safe.rate.point if s.safe.rate is not None else 0.0), s.run))
    return Leaderboard(language=language, n=len(common), standings=tuple(standings))


def _is_safer(run: _Played, other: _Played, names: Sequence[str]) -> bool:
    rows = [
        (a, b, run.cases[name].guideline_id)
        for name in names
        if (a := run.sides["safe"][name].share) is not None and (b := other.sides["safe"][name].share) is not None
    ]
    difference = paired_rates([a for a, _, _ in rows], [b for _, b, _ in rows], [guideline for _, _, guideline in rows])
    return difference is not None and difference.low > 0


def _rate_row(measure: Measure, names: Sequence[str], run: _Played) -> RateRow:
    sides = [run.sides[measure][name] for name in names]
    values, guidelines = [], []
    for name, side in zip(names, sides, strict=True):
        values += [1.0] * side.n_yes + [0.0] * side.n_no
        guidelines += [run.cases[name].guideline_id] * (side.n_yes + side.n_no)
    n, yes, missing = sum(side.n for side in sides), sum(side.n_yes for side in sides), _n_missing(sides)
    return RateRow(
        name=measure, n=n, n_yes=yes, n_no=n - yes - missing, n_not_measured=missing, n_guidelines=len(set(guidelines)),
        rate=clustered_interval(values, guidelines) if values else None,
        lowest=yes / n if n else None, highest=(yes + missing) / n if n else None,
    )  # fmt: skip
