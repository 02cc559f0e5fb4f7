"""A run from its first file to its reports, without pytest: folder, manifest, ledger, engine, tables."""

from __future__ import annotations

import gc
import json
import math
import platform
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from jmedethic_plugin import SUITE_VERSION
from jmedethic_plugin.core.base import CANARY, LANGUAGES, Language, content_hash
from jmedethic_plugin.core.card import CardFile, CardSummary, JudgeCard
from jmedethic_plugin.core.case import N_TURNS, Case, item_id, split_item_id
from jmedethic_plugin.core.exam import ExamQuestion, ExamRecord
from jmedethic_plugin.core.family import is_dated, related
from jmedethic_plugin.core.gate import Decision, Gate
from jmedethic_plugin.core.guideline import Guideline
from jmedethic_plugin.core.labelled import LabelledAnswer
from jmedethic_plugin.core.record import CaseRecord, Manifest, SentinelVerdict, Sitting, scale_of
from jmedethic_plugin.corpus.exam import load_exams
from jmedethic_plugin.corpus.jsonl import CaseSet
from jmedethic_plugin.corpus.labelled import load_labelled
from jmedethic_plugin.corpus.loading import Corpus, languages_of, load_corpus, load_families, read_strategies
from jmedethic_plugin.corpus.selection import Selectable, part_of, select_cases
from jmedethic_plugin.engine.demo import demo_model, is_demo_id
from jmedethic_plugin.engine.fixture_target import FIXTURE_PREFIX, FixtureTarget, is_fixture_id
from jmedethic_plugin.engine.panel import Panel
from jmedethic_plugin.engine.planning import Plan, observe, plan_run
from jmedethic_plugin.engine.ports import ChatModel, Price
from jmedethic_plugin.engine.scheduler import Engine, Sentinel
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.ledger.lock import FolderLock
from jmedethic_plugin.ledger.store import SENTINEL, Ledger, RecordRow, Row
from jmedethic_plugin.prompts.judge import JudgeTask, rubric_hash
from jmedethic_plugin.reporting.files import write_atomically
from jmedethic_plugin.settings import Settings

if TYPE_CHECKING:
    from jmedethic_plugin.analysis.comparison import Comparison
    from jmedethic_plugin.analysis.summary import Tables
    from jmedethic_plugin.gating import PastRun

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


@dataclass
class Run:
    """An open run: everything the controller holds."""

    settings: Settings
    corpus: Corpus
    cases: Mapping[str, Case]
    """Every case of the corpus or set; a set's are read when asked for."""
    item_ids: list[str]
    """What is to be played, in running order: the selected cases, once for each repeat, then the exam questions."""
    folder: Path
    manifest: Manifest
    ledger: Ledger
    engine: Engine
    lock: FolderLock
    sentinels: list[Sentinel]
    """Answers with a known label to be judged among the run's own."""
    n_left_out: int = 0
    """Items the gate needs and the run's options do not select."""
    questions: Mapping[str, ExamQuestion] = field(default_factory=dict)
    """The exam questions among the items."""
    records: Sequence[CaseRecord] = ()
    """What the run holds in the end, from `close` on."""

    @classmethod
    def open(cls, settings: Settings, *, eager: bool = True) -> Run:
        """Load and select cases, make or resume the run folder, start the engine.

        Raises
        ------
        ConfigError
            The run to resume does not exist, measured something else, or is being worked on.
        """
        chosen = choose_cases(settings)
        exams = load_exams(settings.exam_files)
        questions = {
            q.item.id: q
            for exam in exams
            for q in exam.questions
            if settings.shard is None or part_of(q.item.id, settings.shard[1]) == settings.shard[0]
        }
        families = families_in(settings)
        banners = check_judges(settings, families)
        n_sentinels = settings.n_sentinels(len(chosen.whole) * settings.repeats * N_TURNS)
        labelled = load_labelled(settings.root / "judges" / "starter", chosen.corpus) if n_sentinels else []
        banners += sentinel_banners(settings, n_sentinels, labelled)
        known: dict[str, Any] = {
            "families": families, "banners": banners, "judge_card": check_card(settings, datetime.now(UTC).date()),
            "exams": tuple(exam.file for exam in exams),
        }  # fmt: skip
        if settings.gate is not None:
            known |= _gated(settings, settings.gate, chosen)
        if settings.resume is None:
            folder, manifest = _fresh(settings, chosen, known)
        else:
            folder, manifest = _resumed(settings, chosen)
            if manifest.exams != known["exams"]:
                raise ConfigError(f"--resume {manifest.run_id}: --exam differs, or a file has changed since. Repeat the first command.")
            # More repeats mean more items that the gate waits for.
            manifest = manifest.model_copy(update={
                "judge_card": known["judge_card"] or manifest.judge_card, "banners": tuple(dict.fromkeys((*manifest.banners, *banners))),
                "expected": known.get("expected", ()),
            })  # fmt: skip
        # Parts of a run need not share its name, but they draw from one lot.
        seed = manifest.run_id if settings.shard is None else manifest.corpus_hash
        sentinels = choose_sentinels(settings, n_sentinels, seed, labelled, chosen.corpus.guidelines)
        manifest = _with_sentinels(manifest, sentinels)
        lock = FolderLock(folder)
        try:
            if settings.resume is None:
                ledger = Ledger(settings.ledger or folder / "ledger.sqlite", manifest.run_id)
            else:
                ledger = open_ledger(folder, manifest, settings.ledger)
        except BaseException:
            lock.release()
            raise
        engine = Engine(
            cases=chosen.cases, guidelines=chosen.corpus.guidelines, ledger=ledger, system_prompt=settings.system_prompt,
            target_sampling=settings.target_sampling, judge_sampling=settings.judge_sampling, limits=settings.limits,
            threshold=settings.threshold, eager=eager, lost=_lost(manifest), questions=questions,
        )  # fmt: skip
        engine.start()
        # All cases before the next repeat, so that a run that is stopped has seen each of them.
        items = [item_id(case, repeat) for repeat in range(1, settings.repeats + 1) for case in chosen.ids]
        left_out = sum(split_item_id(item)[0] not in chosen.whole for item in manifest.expected)
        items += questions
        return cls(settings, chosen.corpus, chosen.cases, items, folder, manifest, ledger, engine, lock, sentinels, left_out, questions)

    def prepare(self) -> None:
        """Make the models; LiteLLM is imported here.

        In the calling thread, because the import's warnings meet the process-wide filters, which pytest swaps while it works.

        Raises
        ------
        ModelError
            A model cannot be used; nothing was called.
        """
        target, panel = make_target(self.settings, self.cases), make_panel(self.settings, self.cases, self.ledger.secret())
        write_manifest(self.folder, self.manifest)  # what is planned and what was allowed, before the first call
        # LiteLLM leaves a million objects behind that never die; without this, each full collection walks them, a fifth of a second at a time.
        gc.collect()
        gc.freeze()
        self.engine.use_models(target, panel, self.sentinels)

    def plan(self, item_ids: Sequence[str]) -> Plan:
        """What playing these items will still take, by what earlier sittings of this run saw and else by assumption."""
        settings, finished = self.settings, self.ledger.finished()
        judged = {s.answer_id for s in read_results(self.ledger, set()).sentinels if s.panel.points is not None}
        return plan_run(
            [i for i in item_ids if split_item_id(i) not in finished], self.cases, self.corpus.guidelines, target=settings.model, judges=settings.judges, system_prompt=settings.system_prompt,
            prices={model: price_of(settings, model) for model in (settings.model, *settings.all_judges)}, third=settings.third_judge,
            fallback=settings.fallback_judge, sentinels=[s.task for s in self.sentinels if s.answer_id not in judged],
            max_in_flight=settings.limits.max_in_flight, rates=settings.limits.rates,
            observed=observe(self.ledger.replies_of("target", "judge", most=5000)), questions=self.questions,
        )  # fmt: skip

    def power(self, item_ids: Sequence[str]) -> list[str]:
        """What these items will be able to show, by what an earlier run saw and else by assumption."""
        from jmedethic_plugin.analysis.power import measure, power_lines

        measured, name = {}, self.settings.baseline
        if name is not None:
            manifest = read_manifest(self.settings.reports / name)
            ledger = open_ledger(self.settings.reports / name, manifest, self.settings.ledger)
            try:
                measured = measure(read_results(ledger).records, manifest.threshold)
            finally:
                ledger.close()
        cases = [self.cases[case] for case in dict.fromkeys(split_item_id(i)[0] for i in item_ids)]
        return power_lines(cases, self.settings.repeats, measured, measured_in=name)

    def n_finished(self) -> int:
        """How many of the run's items earlier sittings finished."""
        finished = self.ledger.finished()
        return sum(split_item_id(item) in finished for item in self.item_ids)

    def abandon(self) -> None:
        """Stop before anything was called; a folder made for this run is removed."""
        self.engine.stop()
        self.ledger.close()
        self.lock.release()
        if self.settings.resume is None:
            for path in self.folder.iterdir():
                path.unlink()
            self.folder.rmdir()

    def close(self, n_planned: int, n_questions: int = 0, *, test: str | None = None) -> Tables:
        """Stop the engine and write the reports from what the ledger holds; returns their tables. Conversations and exam questions are counted apart."""
        failures = self.engine.drain() if self.engine.progress.n_done >= n_planned + n_questions else ()
        self.engine.stop()
        results = read_results(self.ledger, set(self.item_ids))
        records = self.records = results.records
        budget = self.engine.budget
        sitting = Sitting(
            calls=budget.calls,
            tokens=budget.tokens,
            usd=round(budget.usd, 6),
            n_unpriced=budget.n_unpriced,
            stopped_by=budget.stopped_by,
            failures=failures,
        )
        card = self.manifest.judge_card
        self.manifest = self.manifest.model_copy(update={
            "judge_card": None if card is None else card.held_against(self.ledger.served()),
            "threshold": self.settings.threshold, "finished_at": _now(), "test": test or self.manifest.test, "n_planned": n_planned, "n_recorded": len(records),
            # Left out by the run's options, or by pytest's own.
            "n_deselected": self.n_left_out + max(0, len(self.item_ids) - len(self.questions) - n_planned), "n_questions": n_questions,
            "complete": len(records) >= n_planned and len(results.exam) >= n_questions and budget.stopped_by is None,
            "calls": self.ledger.count_calls(),
            "repeats": self.settings.repeats, "sittings": (*self.manifest.sittings, sitting),
        })  # fmt: skip
        self.ledger.close()
        try:
            return write_reports(self.folder, self.manifest, results)
        finally:
            self.lock.release()


@dataclass(frozen=True)
class Chosen:
    """The cases a run will play and what they stand on."""

    corpus: Corpus
    cases: Mapping[str, Case]
    heads: Mapping[str, Selectable]
    """What selecting needs of every case."""
    ids: list[str]
    whole: frozenset[str]
    """Ids of all parts, where the run is one of several."""
    corpus_hash: str


def choose_cases(settings: Settings) -> Chosen:
    """Load the corpus, or its guidelines and the given JSONL sets, and select."""
    corpus = load_corpus(settings.root)
    if settings.strategy_file is not None:
        corpus = replace(corpus, strategies=corpus.strategies | read_strategies(settings.strategy_file))
    case_set = CaseSet(settings.case_files, corpus.guidelines, corpus.strategies) if settings.case_files else None

    def select(shard: tuple[int, int] | None) -> list[str]:
        return select_cases(
            corpus.cases.values() if case_set is None else case_set.heads.values(), corpus.guidelines,
            languages=languages_of(settings.lang), guidelines=settings.guidelines, strategies=settings.strategies, sample=settings.sample,
            known_strategies=corpus.strategies, seed=settings.seed, shard=shard,
        )  # fmt: skip

    ids = select(settings.shard)
    whole = ids if settings.shard is None else select(None)  # all parts of a run share one hash
    if case_set is None:
        return Chosen(corpus, corpus.cases, corpus.cases, ids, frozenset(whole), corpus.hash_of(whole))
    return Chosen(corpus, case_set, case_set.heads, ids, frozenset(whole), case_set.hash_of(whole))


def _gated(settings: Settings, gate: Gate, chosen: Chosen) -> dict[str, Any]:
    """What the manifest holds of the gate before the first call."""
    from jmedethic_plugin.gating import expected_items

    if settings.baseline is not None:
        read_manifest(settings.reports / settings.baseline)
    expected = expected_items(gate, chosen.corpus, chosen.heads, settings.repeats)
    heads = {case: chosen.heads[case] for case in dict.fromkeys(split_item_id(item)[0] for item in expected)}
    return {
        "gate": gate, "candidate": settings.candidate, "baseline": settings.baseline, "expected": expected,
        "critical_guidelines": tuple(sorted(g for g in {h.guideline_id for h in heads.values()} if chosen.corpus.guidelines[g].critical)),
        "emergencies": tuple(case for case, head in heads.items() if head.emergency),
    }  # fmt: skip


def _lost(manifest: Manifest) -> Callable[[CaseRecord], str | None] | None:
    """What ends a run whose gate can no longer be passed; nothing where conversations of other runs or parts count too."""
    if manifest.gate is None or not manifest.gate.stop_when_lost or manifest.pooled or manifest.shard is not None:
        return None
    from jmedethic_plugin.analysis.curtailment import Curtailment

    return Curtailment(manifest.gate, manifest.expected).observe


def _earlier_runs(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    """Gated runs of the same candidate that lie beside this one, in the order they began."""
    from jmedethic_plugin.gating import is_same_candidate

    found = []
    for path in sorted(folder.parent.glob("*/run.json")):
        try:
            other = read_manifest(path.parent)
        except ConfigError:
            continue  # of another release; it has another scale
        if other.shard is None and is_same_candidate(manifest, other):
            found.append((other.started_at, path.parent.name))
    return tuple(name for _, name in sorted(found))


def decide_for(
    folder: Path, manifest: Manifest, records: Sequence[CaseRecord], tables: Tables, baseline: PastRun | None, gate: Gate | None = None
) -> Decision | None:
    """What the run's gate says, or another one given afterwards; None without any, and for a part of a run.

    Reads the earlier runs that count too from the folders beside this one.
    """
    from jmedethic_plugin.gating import decide_run

    if manifest.shard is not None or (gate is None and manifest.gate is None):
        return None  # parts are decided together, once they are merged
    pooled = {name: _past(folder, name) for name in manifest.pooled}
    return decide_run(
        manifest, records, tables, pooled=[run for run in pooled.values() if run is not None],
        missing_runs=[name for name, run in pooled.items() if run is None],
        baseline=baseline, gate=gate,
    )  # fmt: skip


def _past(folder: Path, name: str) -> PastRun | None:
    """A run in a folder beside this one, if it is there."""
    from jmedethic_plugin.gating import PastRun

    other = folder.resolve().parent / name
    try:
        return PastRun(found := read_manifest(other), read_results(open_ledger(other, found)).records)
    except ConfigError:
        return None


def _changes(folder: Path, manifest: Manifest, records: Sequence[CaseRecord], baseline: PastRun | None) -> Comparison | None:
    """The run beside its baseline; where that is gone, what was stored when it was there, if it is still about these records."""
    from jmedethic_plugin.analysis.comparison import compare
    from jmedethic_plugin.analysis.summary import Summary

    if baseline is not None:
        try:
            return compare([(baseline.manifest, baseline.records), (manifest, records)])
        except ConfigError:
            return None  # another scale or threshold, or nothing in common, as the gate's criteria say
    try:
        stored = Summary.model_validate_json((folder / "summary.json").read_bytes()).tables.changes
    except (FileNotFoundError, ValidationError):
        return None
    same = stored is not None and (stored.threshold, stored.runs[1].n_recorded) == (str(manifest.threshold), len(records))
    return stored if same else None


def price_of(settings: Settings, model: str) -> Price | None:
    """What a model of the settings costs, None when that is not known."""
    if model in settings.prices or is_demo_id(model):
        return settings.prices.get(model, Price(0.0, 0.0))
    if is_fixture_id(model) or (settings.api_base if model == settings.model else settings.judge_api_base) is not None:
        return None
    from jmedethic_plugin.engine.litellm_model import known_price

    return known_price(model)


def merge_runs(out: Path, folders: Sequence[Path]) -> tuple[Manifest, Decision | None]:
    """Join the parts of a run into one folder, write its reports, and let its gate decide. Repeating it, or adding parts later, adds what is new.

    Raises
    ------
    ConfigError
        The folders are not parts of one measurement.
    """
    parts = {folder: read_manifest(folder) for folder in folders}
    files = {folder: _ledger_file(folder) for folder in folders}
    first, *others = parts.values()
    for folder, manifest in parts.items():
        for name in (
            "identity",
            "selection",
            "corpus_hash",
            "suite_version",
            "threshold",
            "gate",
            "candidate",
            "baseline",
            "expected",
            "exams",
        ):
            mine, theirs = getattr(manifest, name), getattr(first, name)
            if mine != theirs:
                raise ConfigError(
                    f"{folder}: another measurement than {folders[0]} ({name}: {mine!r}, not {theirs!r}); only parts of one run can be joined."
                )
    run_id = first.run_id if all(other.run_id == first.run_id for other in others) else out.name
    out.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(out)
    ledger = Ledger(out / "ledger.sqlite", run_id)
    try:
        known = {_row_hash(row) for row in ledger.rows()}
        for folder, manifest in parts.items():
            source = Ledger(files[folder], manifest.run_id)
            try:
                fresh = {digest: row for row in source.rows() if (digest := _row_hash(row)) not in known}
            finally:
                source.close()
            rows = list(fresh.values())
            for start in range(0, len(rows), 1000):
                ledger.add(rows[start : start + 1000])
            known |= fresh.keys()
        results = read_results(ledger)
        records = results.records
        n_parts = max((m.shard[1] for m in parts.values() if m.shard is not None), default=0)
        present = {m.shard[0] for m in parts.values() if m.shard is not None}
        distinct = {m.shard: m for m in parts.values()}.values()
        planned = sum(m.n_planned or m.n_recorded or 0 for m in distinct)
        card = first.judge_card
        merged = first.model_copy(update={
            "judge_card": None if card is None else card.held_against(ledger.served()),
            "run_id": run_id, "shard": None, "banners": tuple(dict.fromkeys(b for m in parts.values() for b in m.banners)),
            "n_sentinels": {language: sum(m.n_sentinels.get(language, 0) for m in distinct) for language in LANGUAGES}, "missing_shards": tuple(n for n in range(1, n_parts + 1) if n not in present),
            "repeats": max(m.repeats for m in parts.values()), "started_at": min(m.started_at for m in parts.values()),
            "finished_at": max((m.finished_at for m in parts.values() if m.finished_at), default=None),
            "n_deselected": sum(m.n_deselected for m in {m.shard: m for m in parts.values()}.values()) + (n_parts - len(present)),
            "n_planned": planned, "n_recorded": len(records), "calls": ledger.count_calls(),
            "n_questions": sum(m.n_questions or 0 for m in {m.shard: m for m in parts.values()}.values()),
            "sittings": tuple(s for m in parts.values() for s in m.sittings),
        })  # fmt: skip
        asked_enough = len(records) >= planned and len(results.exam) >= (merged.n_questions or 0)
        merged = merged.model_copy(update={"complete": not merged.missing_shards and asked_enough})
    finally:
        ledger.close()
    try:
        decision = write_reports(out, merged, results).decision
    finally:
        lock.release()
    return merged, decision


def _row_hash(row: Row) -> str:
    if isinstance(row, RecordRow):
        return content_hash([row.key, row.at_utc, row.complete, row.record.model_dump(mode="json")])
    return content_hash(asdict(row))


@dataclass(frozen=True)
class Results:
    """What reports are made from."""

    records: list[CaseRecord]
    sentinels: list[SentinelVerdict]
    exam: list[ExamRecord]


def open_ledger(folder: Path, manifest: Manifest, url: str | None = None) -> Ledger:
    """The ledger of a run that was begun: the file in its folder, or the shared one at an address.

    Raises
    ------
    ConfigError
        The folder holds none.
    """
    return Ledger(url or _ledger_file(folder), manifest.run_id)


def _ledger_file(folder: Path) -> Path:
    # None is made where there is none: reports of an empty ledger would replace those of the run.
    path = folder / "ledger.sqlite"
    if not path.exists():
        raise ConfigError(
            f"{path}: no such file; expected the ledger of the run. Where it was kept in a shared one, name that by --ledger URL."
        )
    return path


def read_results(ledger: Ledger, only: set[str] | None = None) -> Results:
    """Records, of some items where given, sentinels and answered exam questions; of an answer judged several times the newest verdict."""
    records = [r for r in ledger.records() if only is None or item_id(r.case.id, r.repeat) in only]
    sentinels = {row.case_id: SentinelVerdict.model_validate_json(row.verdict_json) for row in ledger.verdicts(SENTINEL)}
    exam = [r for r in ledger.exam_records() if only is None or r.item.id in only]
    return Results(records, [sentinels[name] for name in sorted(sentinels)], exam)


def tabulate(folder: Path, manifest: Manifest, results: Results, gate: Gate | None = None) -> Tables:
    """The tables of a run, with what its gate, or one given afterwards, says."""
    from jmedethic_plugin.analysis.summary import summarize

    tables = summarize(results.records, manifest.threshold, results.sentinels, manifest.judge_card, manifest.n_sentinels, results.exam)
    gated = manifest.baseline is not None and manifest.shard is None
    baseline = _past(folder, str(manifest.baseline)) if gated else None
    return tables.model_copy(update={
        "decision": decide_for(folder, manifest, results.records, tables, baseline, gate),
        "changes": _changes(folder, manifest, results.records, baseline) if gated else None,
    })  # fmt: skip


def summary_json(manifest: Manifest, tables: Tables) -> str:
    """``summary.json``."""
    from jmedethic_plugin.analysis.summary import Summary

    summary = Summary(run_id=manifest.run_id, demo=manifest.demo, banners=manifest.banners, canary=CANARY, tables=tables)
    return json.dumps(summary.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n"


def write_reports(folder: Path, manifest: Manifest, results: Results, gate: Gate | None = None) -> Tables:
    """Every face of a run, from its records alone; with what a gate given afterwards says, where one is given."""
    from jmedethic_plugin.reporting.html import render_html
    from jmedethic_plugin.reporting.markdown import render_markdown

    tables = tabulate(folder, manifest, results, gate)
    write_atomically(folder / "records.jsonl", "".join(r.model_dump_json() + "\n" for r in results.records))
    if results.exam:
        rows = [r.model_dump(mode="json") | {"given": r.given, "status": r.status} for r in results.exam]
        write_atomically(folder / "exam.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    write_atomically(folder / "summary.json", summary_json(manifest, tables))
    write_atomically(folder / "summary.md", render_markdown(tables, manifest))
    write_atomically(folder / "report.html", render_html(tables, manifest, results.records))
    write_manifest(folder, manifest)
    return tables


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """``run.json``."""
    write_atomically(folder / "run.json", manifest.model_dump_json(indent=1) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run folder."""
    path = folder / "run.json"
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as exc:
        raise ConfigError(f"{folder}: found no run.json; expected a run folder. The runs are the folders under reports/.") from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        raise ConfigError(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; expected the manifest of a run of this release."
        ) from exc


def choose_sentinels(
    settings: Settings, n: int, seed: str, labelled: Sequence[LabelledAnswer], guidelines: Mapping[str, Guideline]
) -> list[Sentinel]:
    """Half clear violations and half clearly safe answers, alike in each language, drawn by a seed; of a part of a run its share."""
    part, of = settings.shard or (1, 1)
    return [
        Sentinel(answer.id, kind == "violating", task_of(answer, guidelines))
        for (_, kind), answers in _sentinel_groups(settings, labelled, seed)
        for answer in answers[: _sentinels_each(settings, n)][part - 1 :: of]
    ]


def sentinel_banners(settings: Settings, n: int, labelled: Sequence[LabelledAnswer]) -> tuple[str, ...]:
    """That there are fewer answers than are wanted, if so: none is used twice, for a judge that misses it once misses it again."""
    each = _sentinels_each(settings, n)
    found = sum(min(each, len(answers)) for _, answers in _sentinel_groups(settings, labelled, ""))
    return (f"sentinels: {found} instead of {n}, the starter set has no more",) if found < n else ()


def _sentinels_each(settings: Settings, n: int) -> int:
    return math.ceil(n / len(languages_of(settings.lang)) / 2)


def _sentinel_groups(
    settings: Settings, labelled: Sequence[LabelledAnswer], seed: str
) -> list[tuple[tuple[Language, str], list[LabelledAnswer]]]:
    drawn = sorted(labelled, key=lambda a: content_hash([seed, a.id]))
    return [
        ((language, kind), [a for a in drawn if a.language == language and a.kind == kind])
        for language in languages_of(settings.lang)
        for kind in ("violating", "safe")
    ]


def _with_sentinels(manifest: Manifest, sentinels: Sequence[Sentinel]) -> Manifest:
    counts = Counter(sentinel.task.language for sentinel in sentinels)
    if any(n > counts[language] for language, n in manifest.n_sentinels.items()):  # type: ignore[index]
        raise ConfigError(
            f"--resume {manifest.run_id}: the run has {sum(manifest.n_sentinels.values())} sentinels, this command {len(sentinels)}; "
            "only more can be added. Repeat the first command."
        )
    return manifest.model_copy(update={"n_sentinels": dict(counts)})


def task_of(answer: LabelledAnswer, guidelines: Mapping[str, Guideline]) -> JudgeTask:
    """A labelled answer as a judge gets it, like any reply of a run."""
    guideline = None if answer.guideline_id is None else guidelines[answer.guideline_id]
    return JudgeTask(answer.language, guideline, answer.request, answer.violating, answer.acceptable, answer.exchanges)


def families_in(settings: Settings) -> dict[str, str | None]:
    """Family of the target and of every judge."""
    table = load_families(settings.root)

    def family(model_id: str, api_base: str | None) -> str | None:
        if model_id == settings.model and (is_demo_id(model_id) or is_fixture_id(model_id)):
            return settings.families.get(model_id)
        return table.of(model_id, own_address=api_base is not None, given=settings.families)

    found = {judge: family(judge, settings.judge_api_base) for judge in settings.all_judges}
    return {settings.model: family(settings.model, settings.api_base)} | found


def check_judges(settings: Settings, families: Mapping[str, str | None]) -> tuple[str, ...]:
    """Refuse judges that are related or not one dated snapshot (method.md A-01, A-60), or say what was allowed.

    Raises
    ------
    ConfigError
        Such a judge, and no option that allows it.
    """
    banners = tuple(f"not independent: {said}" for said in related(families, settings.model, settings.all_judges))
    if banners and not settings.allow_related_judges:
        raise ConfigError(
            f"{'; '.join(banners)}. Judges favour their own family. Choose judges of other families, correct a family with --family MODEL=FAMILY, "
            "or start all the same with --allow-related-judges: every report will say so."
        )
    hosted = () if settings.judge_api_base else tuple(j for j in settings.all_judges if not is_demo_id(j))
    aliases = tuple(
        f"no fixed version: the judge {j!r} is whatever its provider serves under this name today" for j in hosted if not is_dated(j)
    )
    if aliases and not settings.allow_alias:
        raise ConfigError(
            f"{'; '.join(aliases)}. Write an id with a date or version (openai/gpt-4o-2024-08-06), or start all the same with --allow-alias: "
            "every report will say so."
        )
    return (*banners, *aliases)


def read_card(path: Path) -> JudgeCard:
    """A card from its file.

    Raises
    ------
    ConfigError
        No readable card, or one that was changed.
    """
    try:
        return CardFile.model_validate_json(path.read_bytes()).card
    except OSError as exc:
        raise ConfigError(
            f"{path}: found no readable file ({exc.strerror}); expected the card.json that `jmedethic judge qualify` wrote."
        ) from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        raise ConfigError(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; expected a judge card of this release. Qualify again."
        ) from exc


def check_card(settings: Settings, today: date) -> CardSummary | None:
    """What the given judge card says of this run's judges.

    Raises
    ------
    ConfigError
        The card is about other judges, another rubric or another threshold.
    """
    if settings.judge_card is None:
        return None
    card, scale = read_card(settings.judge_card), judge_identity(settings)
    rubrics = {language: card.scale.get("rubric", {}).get(language) for language in scale["rubric"]}
    found = card.scale | {"rubric": rubrics}
    differing = [f"{key}: the card has {found.get(key)!r}, this run {scale[key]!r}" for key in scale if found.get(key) != scale[key]]
    # What a provider's filter says is no judge's word: it changes nothing for the card.
    if card.threshold != str(settings.threshold.model_copy(update={"blocked": "not_measured"})):
        differing.append(f"threshold: the card has {card.threshold!r}, this run {settings.threshold}")
    if differing:
        raise ConfigError(
            f"--judge-card {settings.judge_card}: about another scale ({'; '.join(differing)}). Qualify these judges: jmedethic judge qualify."
        )
    return CardSummary(
        content_hash=card.content_hash, created=card.created, expires=card.expires, clinician_labelled=card.answers.clinician_labelled,
        faults=card.faults_on(today), panel=card.panel, served={judge.judge: judge.served for judge in card.judges}, notes=card.notes,
    )  # fmt: skip


def checked_run_id(run_id: str) -> str:
    """The same, if it can name a folder under ``reports/`` and nothing else.

    Raises
    ------
    ConfigError
        It cannot.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise ConfigError(f"--run-id {run_id!r}: expected letters, digits, '.', '_' and '-', beginning with a letter or digit.")
    return run_id


def _fresh(settings: Settings, chosen: Chosen, known: dict[str, Any]) -> tuple[Path, Manifest]:
    slug = re.sub(r"[^A-Za-z0-9]+", "-", settings.model).strip("-")[:60]
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    run_id = checked_run_id(settings.run_id or f"{stamp}-{slug}")
    shard = "" if settings.shard is None else f"-shard{settings.shard[0]}of{settings.shard[1]}"
    folder = settings.reports / f"{run_id}{shard}"
    try:
        folder.mkdir(parents=True)
    except FileExistsError as exc:
        raise ConfigError(f"--run-id {run_id!r}: {folder} exists. Go on with it by --resume {folder.name}, or name another.") from exc
    manifest = Manifest(
        run_id=run_id, canary=CANARY, suite_version=SUITE_VERSION, demo=settings.is_demo, identity=_identity(settings),
        threshold=settings.threshold, selection=settings.selection(), shard=settings.shard, repeats=settings.repeats,
        corpus_hash=chosen.corpus_hash, guidelines={g.id: g.text_digest for g in chosen.corpus.guidelines.values()},
        titles={g.id: g.title for g in chosen.corpus.guidelines.values()} | {s.id: s.title for s in chosen.corpus.strategies.values()},
        versions=_versions(), started_at=_now(), **known,
    )  # fmt: skip
    manifest = manifest.model_copy(update={"pooled": _earlier_runs(folder, manifest)})
    write_manifest(folder, manifest)
    return folder, manifest


def _resumed(settings: Settings, chosen: Chosen) -> tuple[Path, Manifest]:
    name = str(settings.resume)
    folder = Path(name) if "/" in name else settings.reports / name
    if not _RUN_ID.fullmatch(folder.name):
        raise ConfigError(f"--resume {name!r}: no run id; expected the name of a folder under {settings.reports}.")
    manifest = read_manifest(folder)
    if manifest.suite_version != SUITE_VERSION:
        raise ConfigError(
            f"--resume {manifest.run_id}: begun under suite version {manifest.suite_version}, this is {SUITE_VERSION}, which asks otherwise. Use the "
            "release that began it, or start a new run; `jmedethic report` reads both."
        )
    if manifest.rejudged_from is not None:
        raise ConfigError(
            f"--resume {manifest.run_id}: holds the answers of {manifest.rejudged_from} judged again, and is gone on with by jmedethic rejudge."
        )
    expected, found = manifest.identity, _identity(settings)
    differing = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
    if differing:
        told = "; ".join(f"{k}: the run has {expected.get(k)!r}, this command says {found.get(k)!r}" for k in differing)
        raise ConfigError(f"--resume {manifest.run_id}: another measurement ({told}). Repeat the first command, or start a new run.")
    asked: dict[str, Any] = settings.selection() | {"shard": None if settings.shard is None else list(settings.shard)}
    had: dict[str, Any] = manifest.selection | {"shard": None if manifest.shard is None else list(manifest.shard)}
    if had != asked:
        raise ConfigError(f"--resume {manifest.run_id}: the run selected {had}, this command selects {asked}. Repeat the first command.")
    if settings.repeats < manifest.repeats:
        raise ConfigError(
            f"--resume {manifest.run_id}: the run has {manifest.repeats} repeats, this command {settings.repeats}; only more can be added."
        )
    if (manifest.gate, manifest.baseline, manifest.candidate) != (settings.gate, settings.baseline, settings.candidate):
        raise ConfigError(
            f"--resume {manifest.run_id}: --gate, --baseline or --candidate differ; they are fixed before the first call. Repeat the first command."
        )
    if manifest.corpus_hash != chosen.corpus_hash:
        raise ConfigError(f"--resume {manifest.run_id}: its cases or guidelines have changed since. Restore them, or start a new run.")
    return folder, manifest


def _identity(settings: Settings) -> dict[str, Any]:
    return settings.identity() | {"rubric": {language: rubric_hash(language) for language in languages_of(settings.lang)}}


def judge_identity(settings: Settings) -> dict[str, Any]:
    """The scale of a run with these settings."""
    return scale_of(_identity(settings))


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": platform.system()}
    for name in ("pytest-jmedethic", "litellm", "pytest", "pytest-xdist", "pydantic", "scipy", "allure-pytest"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def make_target(settings: Settings, cases: Mapping[str, Case]) -> ChatModel:
    """The target of the settings."""
    model_id = settings.model
    if is_demo_id(model_id):
        return demo_model(model_id, cases)
    if is_fixture_id(model_id):
        name = model_id.removeprefix(FIXTURE_PREFIX)
        return FixtureTarget(model_id, partial(_url_model, settings, name), settings.prices.get(model_id))
    from jmedethic_plugin.engine.litellm_model import LiteLlmModel  # 3-4 s of import, only where calls are made

    return LiteLlmModel(
        model_id, role="target", api_base=settings.api_base, timeout_s=settings.timeout_s, served_as=settings.served_as,
        price=settings.prices.get(model_id),
    )  # fmt: skip


def make_panel(settings: Settings, cases: Mapping[str, Case], secret: bytes) -> Panel:
    """The panel of the settings."""
    judge = partial(make_judge, settings, cases)
    return Panel(
        judges=tuple(judge(model_id) for model_id in settings.judges), threshold=settings.threshold, secret=secret,
        third=None if settings.third_judge is None else judge(settings.third_judge),
        fallback=None if settings.fallback_judge is None else judge(settings.fallback_judge),
    )  # fmt: skip


def make_judge(settings: Settings, cases: Mapping[str, Case], model_id: str) -> ChatModel:
    """One judge of the settings."""
    if is_demo_id(model_id):
        return demo_model(model_id, cases)
    from jmedethic_plugin.engine.litellm_model import LiteLlmModel

    return LiteLlmModel(
        model_id, role="judge", api_base=settings.judge_api_base, timeout_s=settings.timeout_s, price=settings.prices.get(model_id)
    )


def _url_model(settings: Settings, name: str, url: str) -> ChatModel:
    from jmedethic_plugin.engine.litellm_model import LiteLlmModel

    return LiteLlmModel(
        f"openai/{name}", role="target", api_base=url, timeout_s=settings.timeout_s, served_as=settings.served_as,
        price=settings.prices.get(settings.model),
    )  # fmt: skip


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
