"""The gate of a run: what it expects to be measured, which earlier runs count too, and the decision from records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jmedethic_plugin.analysis.decision import Evidence, decide
from jmedethic_plugin.analysis.summary import Tables
from jmedethic_plugin.core.base import Bilingual
from jmedethic_plugin.core.case import item_id, split_item_id
from jmedethic_plugin.core.gate import Decision, Gate
from jmedethic_plugin.core.record import CaseRecord, Manifest, scale_of
from jmedethic_plugin.corpus.loading import Corpus
from jmedethic_plugin.corpus.selection import Selectable, select_cases
from jmedethic_plugin.errors import ConfigError


@dataclass(frozen=True)
class PastRun:
    """Another run as it lies on disk."""

    manifest: Manifest
    records: Sequence[CaseRecord]


def expected_items(gate: Gate, corpus: Corpus, cases: Mapping[str, Selectable], repeats: int) -> tuple[str, ...]:
    """Items that the gate's measurement consists of, whatever the command line selects.

    Parameters
    ----------
    cases
        What there is to select from.
    repeats
        Of the run; at least the gate's.

    Raises
    ------
    ConfigError
        A case that must pass or is waived does not exist.
    """
    m = gate.measurement
    found = select_cases(cases.values(), corpus.guidelines, languages=m.languages, sample=m.sample, seed=m.seed)
    known = set(found)
    wanted = [f"{language}-{scene}" for scene in gate.must_pass for language in m.languages] + [w.case for w in gate.waivers]
    if unknown := [case for case in wanted if case not in known]:
        raise ConfigError(
            f"gate {gate.name}: {', '.join(unknown)}: not among the gate's cases. Correct must_pass or waivers in the gate file."
        )
    return tuple(item_id(case, repeat) for repeat in range(1, max(repeats, m.repeats) + 1) for case in found)


def is_same_candidate(one: Manifest, other: Manifest) -> bool:
    """Whether two gated runs measured the same thing, so that they count together: a second run is more repeats, not a second chance."""
    return (
        one.gate is not None and other.gate is not None and one.run_id != other.run_id and one.identity == other.identity
        and one.candidate == other.candidate and one.suite_version == other.suite_version and one.corpus_hash == other.corpus_hash
    )  # fmt: skip


def decide_run(
    manifest: Manifest, records: Sequence[CaseRecord], tables: Tables, *, pooled: Sequence[PastRun], missing_runs: Sequence[str],
    baseline: PastRun | None, gate: Gate | None = None,
) -> Decision | None:  # fmt: skip
    """What the run's gate says, or another gate given afterwards, which nothing can pass; None for a run without any.

    Parameters
    ----------
    tables
        Of the run itself, for its sentinels.
    pooled
        The runs that `Manifest.pooled` names, as far as they are there.
    missing_runs
        Those of them that are not.
    """
    gate = gate or manifest.gate
    if gate is None:
        return None
    expected, found = list(manifest.expected), {item_id(r.case.id, r.repeat): r for r in records}
    offset = manifest.repeats
    for past in pooled:
        expected += [_shifted(item, offset) for item in past.manifest.expected]
        found |= {item_id(r.case.id, r.repeat + offset): r for r in past.records}
        offset += past.manifest.repeats
    sentinels = {t.language: t.sentinels for t in tables.languages}
    faults = {
        language: Bilingual(
            ja=f"明らかな違反の見落とし{s.n_missed}、{s.n_planned}のうち採点なし{s.n_unscored + s.n_not_judged}",
            en=f"{s.n_missed} clear violations missed, {s.n_unscored + s.n_not_judged} of {s.n_planned} without a verdict",
        )
        for language, s in sentinels.items() if s is not None and s.fails
    }  # fmt: skip
    digests = {r.case.id: r.case.digest for r in found.values()}
    matched = None
    fault = None if manifest.baseline is None else Bilingual(
        ja=f"基準の実行{manifest.baseline}が同じフォルダーにない", en=f"the baseline run {manifest.baseline} is not beside this run"
    )  # fmt: skip
    if baseline is not None:
        if _scale(baseline.manifest, gate) != _scale(manifest, gate):
            fault = Bilingual(
                ja="基準の実行は別の尺度で採点されている(jmedethic rejudge で橋渡しが要る)",
                en="the baseline was judged on another scale; build a bridge with jmedethic rejudge",
            )
        else:
            matched = {item_id(r.case.id, r.repeat): r for r in baseline.records if digests.get(r.case.id) == r.case.digest}
    return decide(gate, Evidence(
        expected=expected, records=found,
        critical_guidelines=frozenset(manifest.critical_guidelines), emergencies=frozenset(manifest.emergencies),
        n_deselected=manifest.n_deselected + sum(p.manifest.n_deselected for p in pooled) + len(missing_runs),
        sentinel_faults=faults, n_sentinels=sum(s.n_planned for s in sentinels.values() if s is not None), card=manifest.judge_card,
        baseline=matched, baseline_fault=fault, today=(manifest.finished_at or manifest.started_at)[:10],
        pooled=manifest.pooled, fixed_before=gate == manifest.gate, demo=manifest.demo,
    ))  # fmt: skip


def _scale(manifest: Manifest, gate: Gate) -> dict[str, Any]:
    """The scale as far as the gate's languages go: a run may hold more of them than its baseline."""
    scale = scale_of(manifest.identity)
    return scale | {"rubric": {language: scale["rubric"].get(language) for language in gate.measurement.languages}}


def _shifted(item: str, offset: int) -> str:
    case, repeat = split_item_id(item)
    return item_id(case, repeat + offset)
