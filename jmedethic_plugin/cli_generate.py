"""``jmedethic generate``: the benchmark factory (docs/factory.md)."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jmedethic_plugin.corpus.loading import Corpus, corpus_root, languages_of, load_corpus
from jmedethic_plugin.errors import ConfigError

if TYPE_CHECKING:
    from jmedethic_plugin.core.guideline import Guideline
    from jmedethic_plugin.engine.planning import Plan
    from jmedethic_plugin.generation.common import Access, StepReport
    from jmedethic_plugin.generation.conversations import ConversationJob

Subparsers = argparse._SubParsersAction
BATCHED = ("questions", "filter", "conversations")
"""Steps whose jobs each begin with a call that depends on no reply."""


def add_generate(
    commands: Subparsers[argparse.ArgumentParser], folder: argparse.ArgumentParser
) -> tuple[Subparsers[argparse.ArgumentParser], list[argparse.ArgumentParser]]:
    """The command and its steps; what further steps are added to, and with which options."""
    steps = commands.add_parser(
        "generate", help="make a benchmark: requests, refusal filter, strategies, conversations, test set"
    ).add_subparsers(dest="what", required=True)
    out, asking = argparse.ArgumentParser(add_help=False), asking_options()
    out.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the factory; the same folder goes on")

    questions = steps.add_parser("questions", parents=[folder, out, asking], help="models write requests for each guideline")
    questions.add_argument("--generator", action="append", default=[], metavar="ID", help="model that writes; may repeat (the paper has 5)")
    questions.add_argument(
        "--guideline", action="append", default=[], metavar="ID", help="a guideline or category; may repeat (default: all)"
    )
    questions.add_argument("--lang", choices=["ja", "en", "both"], default="ja", help="default: ja")
    questions.add_argument("--per-guideline", type=int, default=10, metavar="N", help="requests of each generator (default: 10)")
    questions.set_defaults(run=_questions)

    keep = steps.add_parser("filter", parents=[folder, out, asking], help="keep the requests that other models decline")
    keep.add_argument("--model", action="append", default=[], metavar="ID", help="model that answers; may repeat (the paper has 5)")
    keep.add_argument("--judge", metavar="ID", help="judge whose class of the answer decides, instead of phrases alone")
    keep.add_argument("--least", type=int, default=2, metavar="N", help="models that must decline (default: 2)")
    keep.add_argument("--requests", type=Path, metavar="FILE", help="default: DIR/requests.jsonl")
    keep.add_argument("--allow-related", action="store_true", help="although models are of one family with a generator; the report says so")
    keep.set_defaults(run=_filter)

    talks = steps.add_parser("conversations", parents=[folder, out, asking], help="agents write each request under each strategy")
    talks.add_argument("--agent", action="append", default=[], metavar="ID", help="model that writes; may repeat (the paper has 4)")
    talks.add_argument("--requests", type=Path, metavar="FILE", help="default: DIR/retained.jsonl")
    talks.add_argument("--strategies", type=Path, metavar="FILE", help="default: guidelines/strategies.yaml")
    talks.add_argument("--licence", default="not stated", metavar="TEXT", help="of the models' texts; stands in each case's source")
    talks.set_defaults(run=_conversations)

    testset = steps.add_parser("testset", parents=[folder, out], help="draw a test set, evenly and by a seed, and check it")
    testset.add_argument("--from", dest="source", type=Path, metavar="FILE", help="default: DIR/cases.jsonl")
    testset.add_argument("--per-cell", type=int, default=5, metavar="N", help="cases of each strategy and guideline (default: 5)")
    testset.add_argument("--seed", type=int, default=0, help="default: 0")
    testset.add_argument(
        "--against", type=Path, action="append", default=[], metavar="FILE", help="JSONL set that must not be contained; may repeat"
    )
    testset.add_argument("--against-field", metavar="NAME", help="field of those sets with the user's words, where it is not recognised")
    testset.set_defaults(run=_testset)
    return steps, [folder, out, asking]


def asking_options() -> argparse.ArgumentParser:
    """Options of every step that asks models: address, limits, prices, plan."""
    asking = argparse.ArgumentParser(add_help=False)
    asking.add_argument("--api-base", metavar="URL", help="OpenAI-compatible address of the step's models")
    asking.add_argument("--max-tokens", type=int, metavar="N", help="of a reply, thoughts included (default: the provider's)")
    asking.add_argument("--call-timeout", type=float, default=300.0, metavar="S", help="for one try of a call (default: 300)")
    asking.add_argument("--max-in-flight", type=int, metavar="N", help="calls open at once (default: by provider)")
    asking.add_argument("--max-calls", type=int, metavar="N", help="stop before more calls are made")
    asking.add_argument("--budget-usd", type=float, metavar="USD", help="stop before more is spent")
    asking.add_argument("--price", action="append", default=[], metavar="MODEL=IN,OUT", help="US dollars for a million tokens; may repeat")
    asking.add_argument("--rpm", action="append", default=[], metavar="MODEL=N", help="requests a minute; may repeat")
    asking.add_argument("--tpm", action="append", default=[], metavar="MODEL=N", help="tokens a minute; may repeat")
    asking.add_argument(
        "--family", action="append", default=[], metavar="MODEL=FAMILY", help="family of a model whose name does not tell it"
    )
    asking.add_argument(
        "--batch",
        action="store_true",
        help="first calls in a batch, at half the price, where the provider takes one (questions, filter, conversations)",
    )
    asking.add_argument("--batch-wait", type=float, default=1440.0, metavar="MINUTES", help="for batches to end (default: 1440)")
    asking.add_argument("--plan", action="store_true", help="only print calls, tokens, money and time")
    return asking


def access_of(arguments: argparse.Namespace, models: Sequence[str], option: str) -> Access:
    """How the step's models are reached.

    Raises
    ------
    ConfigError
        No model, one given twice, or a number that is none.
    """
    from jmedethic_plugin.engine.batching import Batching
    from jmedethic_plugin.engine.budget import Caps
    from jmedethic_plugin.engine.scheduler import Limits
    from jmedethic_plugin.generation.common import Access
    from jmedethic_plugin.reporting.text import visible
    from jmedethic_plugin.settings import default_in_flight, families_of, prices_of, rates_of

    if not models or len(set(models)) < len(models):
        raise ConfigError(f"{option}: found {', '.join(models) or 'none'}; expected at least one model and none twice. Write {option} ID.")
    if arguments.batch and arguments.what not in BATCHED:
        raise ConfigError(
            f"--batch: {arguments.what} asks each next question after the last reply; expected one of {', '.join(BATCHED)}. Leave out --batch."
        )
    numbers = ("batch_wait", "max_tokens", "call_timeout", "max_in_flight", "max_calls", "budget_usd", "per_guideline")
    for name in numbers:
        if (value := getattr(arguments, name, None)) is not None and value <= 0:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}; expected a number above 0.")
    limits = Limits(
        max_in_flight=arguments.max_in_flight or default_in_flight(models[0], tuple(models[1:]), arguments.api_base),
        caps=Caps(usd=arguments.budget_usd, calls=arguments.max_calls), rates=rates_of(arguments.rpm, arguments.tpm),
    )  # fmt: skip
    return Access(
        api_base=arguments.api_base, target_api_base=getattr(arguments, "target_api_base", None), timeout_s=arguments.call_timeout, prices=prices_of(arguments.price), families=families_of(arguments.family),
        limits=limits, max_tokens=arguments.max_tokens,
        batching=Batching(say=lambda line: print(visible(line), file=sys.stderr, flush=True), minutes=arguments.batch_wait) if arguments.batch else None,
    )  # fmt: skip


def run_step(arguments: argparse.Namespace, plan: Plan, run: Callable[[], list[StepReport]]) -> int:
    """Print the plan, and unless only that was asked for, run the step and print what became of it; 0 when it is complete."""
    print(*plan.lines(), sep="\n", flush=True)
    if arguments.plan:
        return 0
    reports = run()
    for report in reports:
        print(*report.lines(), sep="\n")
    return 0 if all(report.complete for report in reports) else 1


def told() -> Callable[[StepReport], None] | None:
    """The progress line, at most once a second; none where nobody sees it."""
    if not sys.stderr.isatty():
        return None
    last = 0.0

    def tell(report: StepReport) -> None:
        nonlocal last
        if report.n_open and time.monotonic() - last < 1:
            return
        last = time.monotonic()
        n_dropped = sum(report.dropped.values())
        line = f"\r{report.step}: {report.n_jobs - report.n_open:,} of {report.n_jobs:,} ({report.n_kept:,} kept, {n_dropped:,} dropped)"
        print(line, end="" if report.n_open else "\n", file=sys.stderr, flush=True)

    return tell


def _corpus(arguments: argparse.Namespace) -> Corpus:
    return load_corpus(corpus_root(arguments.folder))


def chosen_guidelines(corpus: Corpus, names: Sequence[str]) -> list[Guideline]:
    """The guidelines of some ids or categories; all without any."""
    if unknown := set(names) - corpus.guidelines.keys() - {g.category for g in corpus.guidelines.values()}:
        raise ConfigError(f"--guideline {', '.join(sorted(unknown))}: no such guideline or category.")
    return [g for g in corpus.guidelines.values() if not names or {g.id, g.category} & set(names)]


def _questions(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.generation.questions import generate_questions, question_step

    access = access_of(arguments, arguments.generator, "--generator")
    guidelines = chosen_guidelines(_corpus(arguments), arguments.guideline)
    step, jobs = question_step(
        arguments.out, guidelines, arguments.generator, languages_of(arguments.lang), arguments.per_guideline, access
    )
    plan = step.plan(((job.ask(), 1.0) for job in jobs), len(jobs))
    return run_step(arguments, plan, lambda: generate_questions(step, jobs, told()))


def _filter(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.generation.questions import REQUESTS, read_requests
    from jmedethic_plugin.generation.refusal import check_filter, filter_step, planned_votes, run_filter

    access = access_of(arguments, arguments.model, "--model")
    corpus = _corpus(arguments)
    requests = read_requests(arguments.requests or arguments.out / f"{REQUESTS}.jsonl")
    generators = sorted({r.generator for r in requests})
    notes = check_filter(
        corpus_root(arguments.folder), generators, arguments.model, arguments.judge, arguments.least, access, allow_related=arguments.allow_related
    )  # fmt: skip
    step, jobs = filter_step(arguments.out, requests, corpus.guidelines, arguments.model, arguments.judge, access, notes)
    return run_step(arguments, step.plan(planned_votes(jobs), len(jobs)), lambda: run_filter(step, jobs, arguments.least, told()))


def _conversations(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.corpus.loading import read_strategies
    from jmedethic_plugin.generation.conversations import conversation_jobs, conversation_step, generate_conversations
    from jmedethic_plugin.generation.questions import read_requests
    from jmedethic_plugin.generation.refusal import RETAINED

    access = access_of(arguments, arguments.agent, "--agent")
    corpus = _corpus(arguments)
    requests = read_requests(arguments.requests or arguments.out / f"{RETAINED}.jsonl")
    strategies = list(corpus.strategies.values())
    if arguments.strategies is not None:
        strategies = list(read_strategies(arguments.strategies).values())
    step = conversation_step(arguments.out, requests, corpus.guidelines, strategies, arguments.agent, access)
    n_jobs = len(requests) * len(strategies) * len(arguments.agent)

    def jobs() -> Iterator[ConversationJob]:
        return conversation_jobs(requests, corpus.guidelines, strategies, arguments.agent, access.max_tokens)

    plan = step.plan(((job.ask(), 1.0) for job in jobs()), n_jobs)
    return run_step(arguments, plan, lambda: generate_conversations(step, jobs, n_jobs, arguments.licence, told()))


def _testset(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.generation.common import write_lines, write_report
    from jmedethic_plugin.generation.conversations import CASES
    from jmedethic_plugin.generation.testset import STEP, Pool, make_testset
    from jmedethic_plugin.reporting.files import write_atomically
    from jmedethic_plugin.reporting.review_sheet import render_set_csv

    if arguments.per_cell <= 0:
        raise ConfigError(f"--per-cell is {arguments.per_cell}; expected a number above 0.")
    corpus = _corpus(arguments)
    pool = Pool(arguments.source or arguments.out / f"{CASES}.jsonl", corpus.guidelines)
    lines, report = make_testset(pool, corpus, arguments.per_cell, arguments.seed, arguments.against, arguments.against_field)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_lines(arguments.out, STEP, lines)
    write_atomically(arguments.out / f"{STEP}-review.csv", render_set_csv(lines, corpus.strategies))
    write_report(arguments.out, report)
    print(*report.lines(), sep="\n")
    described = (
        ""
        if all(line.strategy in corpus.strategies for line in lines)
        else " --strategies FILE (the one the conversations were written by)"
    )
    print(
        f"machine-made and unreviewed: have clinicians read it ({STEP}-review.csv) before it decides anything. "
        f"Play it: pytest --cases {arguments.out / STEP}.jsonl{described}"
    )
    return 0
