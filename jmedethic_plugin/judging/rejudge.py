"""Judging a run's stored answers again with other judges; the target is not called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jmedethic_plugin.core.base import Language, Value, content_hash
from jmedethic_plugin.core.case import item_id
from jmedethic_plugin.core.guideline import Guideline
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.threshold import Threshold
from jmedethic_plugin.core.transcript import Turn
from jmedethic_plugin.corpus.loading import Corpus, load_corpus
from jmedethic_plugin.engine.bench import judge_tasks
from jmedethic_plugin.engine.caller import now_utc
from jmedethic_plugin.engine.conversation import is_complete
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.ledger.lock import FolderLock
from jmedethic_plugin.ledger.store import Ledger, RecordRow
from jmedethic_plugin.prompts.judge import JudgeTask
from jmedethic_plugin.reporting.files import write_atomically
from jmedethic_plugin.run import (
    check_card,
    check_judges,
    checked_run_id,
    families_in,
    judge_identity,
    make_panel,
    open_ledger,
    read_manifest,
    read_results,
    write_manifest,
    write_reports,
)
from jmedethic_plugin.settings import Settings


class Shift(Value):
    """How one language's turns moved from the first scale to the second."""

    language: Language
    n_turns: int
    """Turns that both scales scored."""
    mean_shift: float | None
    """Second minus first, in points of the threshold's aggregate."""
    n_to_safe: int
    n_to_unsafe: int
    n_only_first: int
    """Turns that only the first scale scored."""
    n_only_second: int


class Bridge(Value):
    """Two scales on the same answers: what must be known before scores of one are read beside scores of the other."""

    first: str
    """Run id."""
    second: str
    threshold: str
    languages: tuple[Shift, ...]
    flipped: tuple[str, ...]
    """``CASE:TURN`` of the turns that changed sides."""
    banners: tuple[str, ...] = ()
    """What was allowed against the rules on either side."""

    def lines(self) -> list[str]:
        """The bridge as text."""
        lines = [f"{self.second} beside {self.first}, {self.threshold}; points 1-10, 10 safest"]
        for row in self.languages:
            shift = "no turn scored on both" if row.mean_shift is None else f"mean shift {row.mean_shift:+.2f} points"
            lines.append(
                f"  {row.language}: {row.n_turns} turns, {shift}, {row.n_to_safe} now safe, {row.n_to_unsafe} now unsafe, "
                f"{row.n_only_first} scored only before, {row.n_only_second} only now"
            )
        return lines


@dataclass(frozen=True)
class Rejudged:
    """A run judged again."""

    folder: Path
    manifest: Manifest
    bridge: Bridge


def rejudge(source: Path, settings: Settings, *, ledger_url: str | None = None, told: Callable[[int], None] | None = None) -> Rejudged:
    """Judge every stored answer of a run again, into a run folder of its own; a second call with the same folder pays for what is missing.

    Parameters
    ----------
    settings
        Judges, their card, addresses, limits, and ``run_id`` for the new folder; of the target only its id and address, which tell its family.

    Raises
    ------
    ConfigError
        The new folder belongs to something else, the judges are not allowed, or guidelines have changed since the run.
    """
    old = read_manifest(source)
    banners = check_judges(settings, families := families_in(settings))
    ledger = open_ledger(source, old, ledger_url)
    try:
        records = read_results(ledger).records
    finally:
        ledger.close()
    corpus = load_corpus(settings.root)
    _check_guidelines(old, records, corpus)
    run_id = checked_run_id(settings.run_id or f"{old.run_id}-rejudged-{content_hash(judge_identity(settings))[:8]}")
    folder = settings.reports / run_id
    manifest = old.model_copy(update={
        "run_id": run_id, "threshold": settings.threshold, "families": families, "banners": banners, "rejudged_from": old.run_id,
        "identity": old.identity | judge_identity(settings), "judge_card": check_card(settings, datetime.now(UTC).date()),
        "demo": old.demo or settings.is_demo, "calls": None, "sittings": (), "n_sentinels": {}, "exams": (), "n_questions": None,
    })  # fmt: skip
    if folder.exists():
        found = read_manifest(folder)
        if (found.rejudged_from, found.identity) != (old.run_id, manifest.identity):
            what = "an original run" if found.rejudged_from is None else f"{found.rejudged_from} judged again"
            raise ConfigError(
                f"{folder}: holds another measurement ({what}, judges {', '.join(found.identity['judges'])}). Name another with --run-id."
            )
    folder.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(folder)
    try:
        write_manifest(folder, manifest)  # at once, so that a call that goes on with a stopped one sees whose folder it is
        return Rejudged(folder, manifest, _judge_again(folder, manifest, records, corpus, settings, told, old.banners))
    finally:
        lock.release()


def _check_guidelines(old: Manifest, records: list[CaseRecord], corpus: Corpus) -> None:
    """The cases come with their records; of the guidelines only the digests do."""
    changed = []
    for guideline_id in sorted({record.case.guideline_id for record in records}):
        guideline = corpus.guidelines.get(guideline_id)
        if guideline is None:
            changed.append(f"{guideline_id} is missing")
        elif old.guidelines.get(guideline_id, guideline.text_digest) != guideline.text_digest:
            changed.append(f"{guideline_id} says something else")
    if changed:
        raise ConfigError(
            f"{old.run_id}: guidelines have changed since ({', '.join(changed)}), so judges would be asked something else. "
            "Restore the files of that time (--folder), or play the cases anew."
        )


def _judge_again(
    folder: Path,
    manifest: Manifest,
    records: list[CaseRecord],
    corpus: Corpus,
    settings: Settings,
    told: Callable[[int], None] | None,
    banners_before: tuple[str, ...],
) -> Bridge:
    ledger = Ledger(folder / "ledger.sqlite", manifest.run_id)
    try:
        panel = make_panel(settings, corpus.cases, ledger.secret())
        tasks = {name: task for record in records for name, task in _tasks(record, corpus.guidelines)}
        numbers = {name: record.repeat for record in records for name, _ in _tasks(record, corpus.guidelines)}
        verdicts = judge_tasks(
            tasks, panel, ledger=ledger, limits=settings.limits, sampling=settings.judge_sampling, repeats=numbers, told=told
        )
        judges = tuple(judge.model_id for judge in panel.judges)
        again = []
        for record in records:
            turns = tuple(turn.model_copy(update={"panel": verdicts.get(_name(record, turn))}) for turn in record.turns)
            again.append(record.model_copy(update={"turns": turns, "judges": judges, "demo": manifest.demo}))
        known = dict(ledger.keyed_records())
        rows = [RecordRow(content_hash([manifest.identity, item_id(r.case.id, r.repeat)]), r, is_complete(r), now_utc()) for r in again]
        ledger.add([row for row in rows if known.get(row.key) != row.record])
        card = manifest.judge_card
        manifest = manifest.model_copy(
            update={
                "judge_card": None if card is None else card.held_against(ledger.served()),
                "n_recorded": len(again),
                "calls": ledger.count_calls(),
                "finished_at": now_utc(),
            }
        )
        write_reports(folder, manifest, read_results(ledger))
    finally:
        ledger.close()
    bridge = compare_scales(str(manifest.rejudged_from), manifest.run_id, records, again, manifest.threshold)
    bridge = bridge.model_copy(update={"banners": tuple(dict.fromkeys((*banners_before, *manifest.banners)))})
    write_atomically(folder / "bridge.json", bridge.model_dump_json(indent=1) + "\n")
    return bridge


def _name(record: CaseRecord, turn: Turn) -> str:
    return f"{item_id(record.case.id, record.repeat)}:{turn.turn_number}"


def _tasks(record: CaseRecord, guidelines: Mapping[str, Guideline]) -> list[tuple[str, JudgeTask]]:
    tasks: list[tuple[str, JudgeTask]] = []
    exchanges: tuple[tuple[str, str], ...] = ()
    for turn in record.turns:
        if turn.panel is not None:
            exchanges = (*exchanges, (turn.user, turn.reply.text))
            tasks.append((_name(record, turn), JudgeTask.of(record.case, guidelines[record.case.guideline_id], exchanges)))
    return tasks


def compare_scales(first: str, second: str, before: list[CaseRecord], after: list[CaseRecord], threshold: Threshold) -> Bridge:
    """Shift and flips between two judgements of the same answers, both held against one threshold.

    What a person decided on either side is left out: it is no judge's scale.
    """
    languages, flipped = [], []
    for language in sorted({r.case.language for r in before}, reverse=True):
        shifts, counts = [], Counter[str]()
        for old, new in zip(before, after, strict=True):
            for turn, again in zip(old.turns, new.turns, strict=True):
                if old.case.language != language or turn.panel is None or again.panel is None:
                    continue
                a, b = (threshold.of(panel.model_copy(update={"human": None})) for panel in (turn.panel, again.panel))
                if a is not None and b is not None:
                    shifts.append(b - a)
                    if threshold.is_met(a) != threshold.is_met(b):
                        counts["to_safe" if threshold.is_met(b) else "to_unsafe"] += 1
                        flipped.append(_name(old, turn))
                else:
                    counts["only_first"] += a is not None
                    counts["only_second"] += b is not None
        languages.append(Shift(
            language=language, n_turns=len(shifts), mean_shift=sum(shifts) / len(shifts) if shifts else None,
            n_to_safe=counts["to_safe"], n_to_unsafe=counts["to_unsafe"], n_only_first=counts["only_first"], n_only_second=counts["only_second"],
        ))  # fmt: skip
    return Bridge(first=first, second=second, threshold=str(threshold), languages=tuple(languages), flipped=tuple(flipped))
