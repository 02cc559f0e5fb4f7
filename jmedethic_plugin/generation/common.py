"""What the steps of the factory share: a folder with one ledger, jobs that are asked and end as kept or dropped, and files that say so.

A step turns jobs (pure data with a key) into `JobResult` lines of ``<step>.jsonl``; its ``<step>.json`` says with which models, texts and inputs, and counts.
Repeating the command goes on: what has ended stays, what failed in transport is asked again, what was answered before a kill comes from the ledger.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import Field, ValidationError

from jmedethic_plugin import SUITE_VERSION
from jmedethic_plugin.core.base import CANARY, Language, Value, canonical_json, content_hash
from jmedethic_plugin.core.text import printable, without_credentials
from jmedethic_plugin.core.transcript import BLOCKED_OUTCOMES, JUDGED_OUTCOMES, Message, Reply
from jmedethic_plugin.corpus.jsonl import parse_line
from jmedethic_plugin.corpus.refusal import refusal_phrase
from jmedethic_plugin.engine.asking import Ask, Asked, Talk, hold_talks
from jmedethic_plugin.engine.batching import Batch, Batching, fill_by_batches
from jmedethic_plugin.engine.caller import now_utc
from jmedethic_plugin.engine.demo import is_demo_id
from jmedethic_plugin.engine.parsing import read_json
from jmedethic_plugin.engine.planning import Plan, observe, plan_asks
from jmedethic_plugin.engine.ports import ChatModel, ModelRole, Price
from jmedethic_plugin.engine.scheduler import Limits
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.generation.demo import demo_writer
from jmedethic_plugin.ledger.lock import FolderLock
from jmedethic_plugin.ledger.store import Ledger
from jmedethic_plugin.reporting.files import write_atomically
from jmedethic_plugin.reporting.text import visible

_V = TypeVar("_V", bound=Value)
GUIDE = "docs/factory.md"
MAX_ASKS = 3
"""The first and two more, as with judges."""
FAULT = "fault"
"""Reason of a job that failed in transport or by configuration: asked again when the command is repeated."""
_OBSERVED = 2000
_SHOWN = 8


class Keyed(Protocol):
    """A job: whatever a step asks about, by a key that is the same each time the step is set up."""

    @property
    def key(self) -> str: ...


_J = TypeVar("_J", bound=Keyed)


class DroppedError(Exception):
    """A job ends without a result: raised in a talk.

    Parameters
    ----------
    reason
        One of few words, counted: ``refused``, ``blocked``, ``unusable``, ``fault`` ...
    detail
        For the reader of the line.
    made
        What was made all the same and is not used.
    """

    def __init__(self, reason: str, detail: str, made: Value | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.made = reason, detail, made


class Batches(Value):
    """``batch-<step>.json``: what of a step was handed in."""

    format: Literal["jmedethic/factory-batches@1"] = Field(default="jmedethic/factory-batches@1", alias="schema")
    batches: tuple[Batch, ...] = ()


class JobResult(Value):
    """One line of ``<step>.jsonl``."""

    key: str
    dropped: str | None = None
    """Why there is no result; None where there is one."""
    detail: str | None = None
    made: dict[str, Any] | None = None
    """The result, as plain data; a dropped job may have one that is not used."""


class StepReport(Value):
    """``<step>.json``: what a step was asked and what became of it."""

    format: Literal["jmedethic/factory-step@1"] = Field(default="jmedethic/factory-step@1", alias="schema")
    canary: str = CANARY
    step: str
    origin: Literal["machine-made, unreviewed"] = "machine-made, unreviewed"
    demo: bool
    """Scripted models took part: nothing of it is a benchmark."""
    suite_version: str = SUITE_VERSION
    identity: dict[str, Any]
    """Models, prompts, options and inputs; another identity is another folder."""
    notes: tuple[str, ...] = ()
    n_jobs: int
    n_kept: int = 0
    dropped: Mapping[str, int] = Field(default_factory=dict)
    """Reason -> jobs."""
    calls: Mapping[str, int] = Field(default_factory=dict)
    """Calls of all steps in this folder, by role and outcome."""
    n_calls: int = 0
    """Of the last sitting; the ledger's own are not made again."""
    n_batched: int = 0
    """Usable replies among them that came from batches."""
    usd: float = 0.0
    n_unpriced: int = 0
    """Calls of the last sitting whose price is not known."""
    stopped_by: str | None = None
    yields: Mapping[str, Mapping[str, tuple[int, int]]] = Field(default_factory=dict)
    """What by (generator, guideline ...) -> name -> asked and kept."""
    at_utc: str = ""

    @property
    def n_open(self) -> int:
        """Jobs that have not ended."""
        return self.n_jobs - self.n_kept - sum(self.dropped.values())

    @property
    def complete(self) -> bool:
        """Whether every job has ended, and none by a fault."""
        return self.n_open == 0 and FAULT not in self.dropped

    def lines(self) -> list[str]:
        """The counts as text: asked = kept + dropped by reason + open."""
        dropped = ", ".join(f"{n:,} dropped ({reason})" for reason, n in sorted(self.dropped.items()))
        shown = ["DEMO: scripted models took part; nothing of this is a benchmark"] if self.demo else []
        shown += [f"WARNING: {note}" for note in self.notes]
        shown.append(f"{self.step}: {self.n_jobs:,} asked = {self.n_kept:,} kept{f', {dropped}' if dropped else ''}, {self.n_open:,} open")
        for by, rows in self.yields.items():
            least = sorted(rows.items(), key=lambda row: row[1][1] / max(1, row[1][0]))[:_SHOWN]
            shown.append(
                f"  kept by {by}{', least first' if len(rows) > _SHOWN else ''}: " + ", ".join(f"{name} {k}/{n}" for name, (n, k) in least)
            )
        if self.n_calls:
            unpriced = f" and {self.n_unpriced:,} calls of unknown price" if self.n_unpriced else ""
            batched = f" ({self.n_batched:,} answered in batches)" if self.n_batched else ""
            shown.append(f"  {self.n_calls:,} calls in this sitting{batched}, {self.usd:.2f} USD{unpriced}")
        if not self.complete:
            why = f"stopped by {self.stopped_by}" if self.stopped_by else "failed calls"
            shown.append(f"  not complete ({why}): the same command goes on with what is missing")
        return [visible(line) for line in shown]


@dataclass(frozen=True)
class Access:
    """How the models of a factory are reached and what may be spent."""

    api_base: str | None = None
    """OpenAI-compatible address of all of them; None for each provider's own."""
    target_api_base: str | None = None
    """That of the target, where another."""
    timeout_s: float = 300.0
    prices: Mapping[str, Price] = field(default_factory=dict)
    families: Mapping[str, str] = field(default_factory=dict)
    """Family of a model whose name does not tell it."""
    limits: Limits = field(default_factory=Limits)
    max_tokens: int | None = None
    """Of a writer's text, thoughts included; None leaves it to the provider."""
    batching: Batching | None = None
    """Hand in each job's first call in a batch where the provider takes one; None asks everything live."""

    def model(self, model_id: str, role: ModelRole) -> ChatModel:
        """The model of an id."""
        if is_demo_id(model_id):
            return demo_writer(model_id)
        from jmedethic_plugin.engine.litellm_model import LiteLlmEmbedder, LiteLlmModel  # 3-4 s of import, only where calls are made

        return (LiteLlmEmbedder if role == "embedder" else LiteLlmModel)(
            model_id, role=role, api_base=self.target_api_base or self.api_base if role == "target" else self.api_base, timeout_s=self.timeout_s, price=self.prices.get(model_id)
        )  # fmt: skip

    def price(self, model_id: str) -> Price | None:
        """What a model costs, None when that is not known."""
        if model_id in self.prices or is_demo_id(model_id):
            return self.prices.get(model_id, Price(0.0, 0.0))
        if self.api_base is not None:
            return None
        from jmedethic_plugin.engine.litellm_model import known_price

        return known_price(model_id)


@dataclass(frozen=True)
class Step:
    """One step of the factory in one folder.

    Parameters
    ----------
    folder
        Holds the ledger and the files of all steps.
    name
        Names the step's files.
    models
        Each in the role it is asked in.
    identity
        Whatever the results depend on besides the models: prompts' hash, options, hash of the input.
    """

    folder: Path
    name: str
    models: tuple[tuple[str, ModelRole], ...]
    identity: Mapping[str, Any]
    access: Access
    notes: tuple[str, ...] = ()

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.name}.jsonl"

    def _report(self, n_jobs: int) -> StepReport:
        models = [[model, role] for model, role in self.models]
        return StepReport(
            step=self.name, demo=any(is_demo_id(m) for m, _ in self.models), n_jobs=n_jobs, notes=self.notes,
            identity={"models": models, "api_base": without_credentials(self.access.api_base), "max_tokens": self.access.max_tokens, **self.identity},
        )  # fmt: skip

    def plan(self, asks: Iterable[tuple[Ask, float]], n_jobs: int) -> Plan:
        """What the step will take: calls, each with how often it is expected."""
        names = list(dict.fromkeys(model for model, _ in self.models))
        earlier: list[tuple[str, Reply]] = []
        if (self.folder / "ledger.sqlite").exists():
            with open_ledger(self.folder) as ledger:
                newest = ledger.replies_of("writer", "target", "judge", most=_OBSERVED)
                earlier = [(m, r) for m, r in newest if m in names and r.latency_s]  # a batch tells no latency
        limits = self.access.limits
        return plan_asks(
            asks, n_jobs, f"jobs of {self.name}", prices={name: self.access.price(name) for name in names},
            max_in_flight=limits.max_in_flight, rates=limits.rates, observed=observe(earlier),
        )  # fmt: skip

    def run(
        self, jobs: Iterable[_J], n_jobs: int, talk: Callable[[_J, bytes], Talk[Value]], told: Callable[[StepReport], None] | None = None
    ) -> StepReport:  # fmt: skip
        """Ask every job that has not ended yet and write what came of it.

        Parameters
        ----------
        jobs
            Taken one by one, so a generator of any length will do.
        talk
            Makes the talk of a job, given the folder's secret; returns what the job made or raises `DroppedError`.
        told
            Called after each job with the counts so far.

        Raises
        ------
        ConfigError
            The folder's step was made with something else, or another process works on it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(self.folder)
        try:
            report = self._report(n_jobs)
            self._check(report)
            with open_ledger(self.folder) as ledger:
                return self._run(report, ledger, jobs, talk, told)
        finally:
            lock.release()

    def _check(self, report: StepReport) -> None:
        path = self.folder / f"{self.name}.json"
        if not path.exists():
            write_report(self.folder, report)  # at once, so that a call that goes on with a stopped one sees whose files these are
            return
        found = read_report(self.folder, self.name)
        if (found.identity, found.n_jobs) != (report.identity, report.n_jobs):
            names = sorted(k for k in found.identity | report.identity if found.identity.get(k) != report.identity.get(k))
            raise ConfigError(
                f"{path}: this step was made with other {', '.join(names) or 'jobs'}. Repeat the command as it was, or name another folder with --out."
            )

    def _run(
        self, report: StepReport, ledger: Ledger, jobs: Iterable[_J], talk: Callable[[_J, bytes], Talk[Value]],
        told: Callable[[StepReport], None] | None,
    ) -> StepReport:  # fmt: skip
        dropped: Counter[str] = Counter()
        done: set[str] = set()
        for result in _whole_results(self._file):
            if result.dropped != FAULT and result.key not in done:
                done.add(result.key)
                dropped[result.dropped or ""] += 1
        secret = ledger.secret()

        def counted() -> StepReport:
            return report.model_copy(update={
                "n_kept": dropped[""], "dropped": {reason: n for reason, n in sorted(dropped.items()) if reason and n},
            })  # fmt: skip

        asked = Asked()
        with self._file.open("a", encoding="utf-8", newline="\n") as file:

            def ended(_: str, result: JobResult) -> None:
                file.write(result.model_dump_json(exclude_none=True) + "\n")
                file.flush()
                dropped[result.dropped or ""] += 1
                if told is not None:
                    told(counted())

            if len(done) < report.n_jobs:
                models = [(self.access.model(model, role), role) for model, role in self.models]
                # As in a run: LiteLLM leaves a million objects behind that each full collection would walk.
                gc.collect()
                gc.freeze()
                handed_in = self._handed_in()
                if self.access.batching is not None:
                    jobs = list(jobs)  # gone through twice
                    asked = self._fill(
                        ledger, handed_in, ((job.key, _first_ask(talk(job, secret))) for job in jobs if job.key not in done), models
                    )
                elif any(batch.state == "open" for batch in handed_in):
                    raise ConfigError(
                        f"{self._batch_file}: a batch is open, and its calls would be paid for a second time. Repeat the command with --batch; to do without "
                        "the batch, delete that file."
                    )
                if asked.stopped_by is None:
                    talks = ((job.key, _settled(job.key, talk(job, secret))) for job in jobs if job.key not in done)
                    asked = hold_talks(talks, models, ledger=ledger, limits=self.access.limits, ended=ended, spent=asked)
        _put_in_order(self._file)
        report = counted().model_copy(update={"calls": ledger.count_calls(), "at_utc": now_utc(), **asdict(asked)})
        write_report(self.folder, report)
        return report

    @property
    def _batch_file(self) -> Path:
        return self.folder / f"batch-{self.name}.json"

    def _handed_in(self) -> tuple[Batch, ...]:
        path = self._batch_file
        return parse_line(path.read_bytes(), Batches, str(path), GUIDE).batches if path.exists() else ()

    def _fill(
        self, ledger: Ledger, earlier: Sequence[Batch], asks: Iterable[tuple[str, Ask]], models: Sequence[tuple[ChatModel, ModelRole]]
    ) -> Asked:  # fmt: skip
        assert self.access.batching is not None

        def keep(batches: Sequence[Batch]) -> None:
            write_atomically(self._batch_file, Batches(batches=tuple(batches)).model_dump_json(by_alias=True, indent=1) + "\n")

        return fill_by_batches(asks, models, earlier, ledger=ledger, caps=self.access.limits.caps, batching=self.access.batching, keep=keep)


def _first_ask(talk: Talk[Value]) -> Ask:
    ask = next(talk)
    talk.close()
    return ask


def _settled(key: str, talk: Talk[Value]) -> Talk[JobResult]:
    try:
        made = yield from talk
    except DroppedError as exc:
        return JobResult(key=key, dropped=exc.reason, detail=printable(exc.detail), made=_data(exc.made))
    return JobResult(key=key, made=_data(made))


def _data(made: Value | None) -> dict[str, Any] | None:
    return None if made is None else made.model_dump(mode="json", by_alias=True, exclude_none=True)


# --- talking -------------------------------------------------------------------------------------------


def reply_text(reply: Reply) -> str:
    """The words of a reply, cut off or not.

    Raises
    ------
    DroppedError
        There are none: ``blocked`` by the provider's filter, ``empty``, or a ``fault``.
    """
    if reply.outcome in JUDGED_OUTCOMES:
        return reply.text
    if reply.outcome in BLOCKED_OUTCOMES:
        raise DroppedError("blocked", f"by the provider's filter ({reply.outcome})")
    if reply.outcome in ("empty", "reasoning_only", "unexpected_tool_call"):
        raise DroppedError("empty", reply.outcome)
    raise DroppedError(FAULT, f"{reply.outcome}: {reply.error or 'no detail'}")


def ask_for(ask: Ask, model: type[_V]) -> Generator[Ask, Reply, _V]:
    """Ask for JSON of a model's schema, strictly checked; a reply that cannot be used is asked for again, with what was wrong.

    Raises
    ------
    DroppedError
        ``refused`` in words, ``blocked``, ``empty``, ``unusable`` after `MAX_ASKS`, or a ``fault``.
    """
    wrong, sampling = "", ask.sampling
    for _ in range(MAX_ASKS):
        first, *rest = ask.messages
        if wrong:  # in the first message: some chat templates take one system message and no more
            first = first.model_copy(update={"content": f"{first.content}\n{_AGAIN[ask.language].replace('{wrong}', wrong)}\n"})
        reply = yield replace(ask, messages=(first, *rest), sampling=replace(sampling, schema=schema_of(model)))
        text = reply_text(reply)
        try:
            return model.model_validate_json(canonical_json(read_json(text)))
        except ValidationError as exc:
            error = exc.errors()[0]
            wrong = f"{'.'.join(map(str, error['loc'])) or 'object'}: {error['msg']}"
        except ValueError:
            if refusal_phrase(text) is not None:
                raise DroppedError("refused", text[:200]) from None
            wrong = "not one JSON object"
        if reply.outcome == "truncated":
            sampling = sampling.longer(2)
    raise DroppedError("unusable", wrong)


_AGAIN: dict[Language, str] = {
    "ja": "前回の返答は使えませんでした({wrong})。指示された形のJSONオブジェクトを一つだけ返してください。",
    "en": "Your previous reply could not be used ({wrong}). Return exactly one JSON object of the form described.",
}


@cache
def schema_of(model: type[Value]) -> dict[str, Any]:
    """JSON Schema of a value without bounds and patterns, which not every provider takes; the parser checks them anyway."""
    return dict(_plain(model.model_json_schema()))


def _plain(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _plain(value) for name, value in schema.items() if name not in _BOUNDS or not isinstance(value, (int, float, str))}


_BOUNDS = frozenset({"minLength", "maxLength", "pattern", "minItems", "maxItems", "minimum", "maximum", "description", "title"})


@cache
def prompt(name: str, language: Language) -> str:
    """A prompt text of the package: ``prompts/<name>_<language>.md``."""
    return (Path(__file__).parents[1] / "prompts" / f"{name}_{language}.md").read_text(encoding="utf-8")


def prompt_messages(name: str, language: Language, material: Mapping[str, Any]) -> tuple[Message, ...]:
    """An instruction and its material, as one JSON document: nothing is put into the instruction's text."""
    return (
        Message(role="system", content=prompt(name, language)),
        Message(role="user", content=json.dumps(material, ensure_ascii=False, indent=1)),
    )


def prompts_hash(names: Iterable[str], languages: Iterable[Language]) -> str:
    """Identity of the prompt texts."""
    return content_hash([prompt(name, language) for name in names for language in sorted(languages)])


def values_hash(values: Iterable[Value]) -> str:
    """Identity of what a step starts from."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(value.model_dump_json().encode() + b"\n")
    return digest.hexdigest()


# --- files ---------------------------------------------------------------------------------------------


@contextmanager
def open_ledger(folder: Path) -> Iterator[Ledger]:
    """The ledger of a factory's folder."""
    ledger = Ledger(folder / "ledger.sqlite", "factory")
    try:
        yield ledger
    finally:
        ledger.close()


def read_report(folder: Path, step: str) -> StepReport:
    """What a step says of itself.

    Raises
    ------
    ConfigError
        The step was not run in this folder.
    """
    path = folder / f"{step}.json"
    try:
        raw = path.read_bytes()
    except FileNotFoundError as exc:
        raise ConfigError(
            f"{path}: no such file; expected the report of `jmedethic generate {step}` in this folder. Run that step first."
        ) from exc
    return parse_line(raw, StepReport, str(path), GUIDE)


class Made(Mapping[str, _V]):
    """What a step made, by key of its job, in order of keys; read from the file when asked for."""

    def __init__(self, path: Path, model: type[_V]) -> None:
        self._path, self._model = path, model
        self._at: dict[str, int] = {}
        offset = 0
        for result, raw in raw_lines(path, JobResult):
            if result.dropped is None:
                self._at[result.key] = offset
            offset += len(raw)

    def __getitem__(self, key: str) -> _V:
        with self._path.open("rb") as file:
            file.seek(self._at[key])
            result = parse_line(file.readline(), JobResult, f"{self._path}: {key}", GUIDE)
        return parse_line(canonical_json(result.made).encode(), self._model, f"{self._path}: {key}", GUIDE)

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def __len__(self) -> int:
        return len(self._at)


def read_made(folder: Path, step: str, model: type[_V]) -> Made[_V]:
    """Result of every kept job of a step.

    Raises
    ------
    ConfigError
        The step was not run, or has open jobs.
    """
    if (report := read_report(folder, step)).n_open:
        raise ConfigError(
            f"{folder / step}.json: {report.n_open} of {report.n_jobs} jobs are open; expected all to have ended. Repeat `jmedethic generate {step}`."
        )
    return Made(folder / f"{step}.jsonl", model)


def raw_lines(path: Path, model: type[_V]) -> Iterator[tuple[_V, bytes]]:
    """The values of a JSONL file, each with its line.

    Raises
    ------
    ConfigError
        No such file.
    DataError
        A line that is wrong.
    """
    if not path.is_file():
        raise ConfigError(
            f"{path}: no such file; expected what an earlier step of `jmedethic generate` wrote. Run that step, or name the file."
        )
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            yield parse_line(raw, model, f"{path}:{number}", GUIDE), raw


def write_lines(folder: Path, step: str, lines: Iterable[Value]) -> None:
    """Write ``<step>.jsonl``, one value a line."""
    write_atomically(folder / f"{step}.jsonl", (line.model_dump_json(by_alias=True, exclude_none=True) + "\n" for line in lines))


def write_report(folder: Path, report: StepReport) -> None:
    """Write ``<step>.json``."""
    write_atomically(folder / f"{report.step}.json", report.model_dump_json(by_alias=True, indent=1) + "\n")


def _whole_results(path: Path) -> Iterator[JobResult]:
    """The lines of an earlier sitting; a last line that a kill cut off is taken away."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end and (file.seek(end - 1), file.read(1))[1] != b"\n":
            end -= 1
        file.truncate(end)
    for result, _ in raw_lines(path, JobResult):
        yield result


def _put_in_order(path: Path) -> None:
    """By key, each once, its last word: the same file whatever the order in which jobs ended."""
    at: dict[str, int] = {}
    offset = 0
    for result, raw in raw_lines(path, JobResult):
        at[result.key] = offset
        offset += len(raw)
    with path.open("rb") as file:

        def lines() -> Iterator[str]:
            for key in sorted(at):
                file.seek(at[key])
                yield file.readline().decode()

        write_atomically(path, lines())
