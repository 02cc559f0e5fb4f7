"""``jmedethic generate strategies|adaptive|translate``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jmedethic_plugin.cli_generate import Subparsers, access_of, run_step, told
from jmedethic_plugin.corpus.loading import corpus_root, load_corpus
from jmedethic_plugin.errors import ConfigError

if TYPE_CHECKING:
    from jmedethic_plugin.generation.common import StepReport


def add_search(steps: Subparsers[argparse.ArgumentParser], parents: Sequence[argparse.ArgumentParser]) -> None:
    """The steps that let models press, and the one that translates."""
    search = steps.add_parser("strategies", parents=parents, help="look for ways to press: attacker, target, scorer, summarizer")
    for role in ("attacker", "target", "scorer", "summarizer"):
        search.add_argument(f"--{role}", required=True, metavar="ID", help=f"model that plays the {role}")
    search.add_argument("--target-api-base", metavar="URL", help="address of the target, where another")
    search.add_argument("--requests", type=Path, metavar="FILE", help="default: DIR/retained.jsonl")
    search.add_argument(
        "--attempts", type=int, metavar="T", help="at each request, and in each pass (default: 10; with --lifelong at most 150)"
    )
    search.add_argument(
        "--summaries", type=int, default=10, metavar="K", help="pairs of attempts of each request (default: 10; not with --lifelong)"
    )
    search.add_argument("--lifelong", action="store_true", help="AutoDAN-Turbo's loop with its library instead: one call after the other")
    search.add_argument("--passes", type=int, default=4, metavar="N", help="over all requests, with --lifelong (default: 4)")
    search.add_argument("--embedder", metavar="ID", help="embedding model of the lifelong library (default: hashed n-grams, offline)")
    search.add_argument("--keep", type=int, default=7, metavar="N", help="strategies that are written up, the strongest (default: 7)")
    search.add_argument("--seed", type=int, default=0, help="of the pairs (default: 0)")
    search.set_defaults(run=_strategies)

    adaptive = steps.add_parser(
        "adaptive", parents=parents, help="an attacker reacts to a target's replies; judged, and reported apart from fixed scripts",
        epilog="--max-calls and --budget-usd hold for playing and for judging, each.",
    )  # fmt: skip
    for role in ("attacker", "target"):
        adaptive.add_argument(f"--{role}", required=True, metavar="ID", help=f"model that plays the {role}")
    adaptive.add_argument("--target-api-base", metavar="URL", help="address of the target, where another")
    adaptive.add_argument("--system-prompt", type=Path, metavar="FILE", help="system prompt of the target")
    adaptive.add_argument("--requests", type=Path, metavar="FILE", help="default: DIR/retained.jsonl")
    adaptive.add_argument("--strategy", action="append", default=[], metavar="ID", help="of the catalogue; may repeat (default: all)")
    adaptive.add_argument("--judge", action="append", default=[], metavar="ID", help="judge model; give it twice")
    adaptive.add_argument("--third-judge", metavar="ID", help="judge heard where the two disagree")
    adaptive.add_argument("--judge-api-base", metavar="URL", help="OpenAI-compatible address of the judges")
    adaptive.add_argument("--profile", choices=["paper", "release"], default="release", help="threshold (default: release)")
    adaptive.add_argument("--allow-related-judges", action="store_true", help="although two are of one family; the result says so")
    adaptive.add_argument("--allow-alias", action="store_true", help="although a judge's id names no dated snapshot; the result says so")
    adaptive.set_defaults(run=_adaptive)

    translate = steps.add_parser("translate", parents=parents, help="drafts of cases in the other language, checked by translating back")
    translate.add_argument("--cases", type=Path, required=True, metavar="FILE", help="JSONL set of case lines")
    translate.add_argument("--translator", required=True, metavar="ID", help="model that translates")
    translate.add_argument("--back-translator", metavar="ID", help="model that translates back; better another (default: the same)")
    translate.add_argument(
        "--bound", type=float, default=0.4, metavar="S", help="similarity below which a draft is flagged, 0 to 1 (default: 0.4)"
    )
    translate.set_defaults(run=_translate)


def _strategies(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.generation.discovery import Roles, Search
    from jmedethic_plugin.generation.questions import read_requests
    from jmedethic_plugin.generation.refusal import RETAINED
    from jmedethic_plugin.generation.strategies import discovery_asks, discovery_step, find_strategies

    for name in ("attempts", "summaries", "passes", "keep"):
        if (value := getattr(arguments, name)) is not None and value <= 0:
            raise ConfigError(f"--{name} is {value}; expected a number above 0.")
    lifelong = arguments.lifelong
    roles = Roles(arguments.attacker, arguments.target, arguments.scorer, arguments.summarizer, arguments.embedder)
    access = access_of(arguments, list(dict.fromkeys(model for model, _ in roles.models(lifelong=lifelong))), "--attacker")
    corpus = load_corpus(corpus_root(arguments.folder))
    requests = read_requests(arguments.requests or arguments.out / f"{RETAINED}.jsonl")
    search = Search(
        roles, corpus.guidelines, arguments.attempts or (150 if lifelong else 10), summaries=arguments.summaries, passes=arguments.passes,
        seed=arguments.seed, max_tokens=access.max_tokens,
    )  # fmt: skip
    step = discovery_step(arguments.out, search, requests, access, lifelong=lifelong)
    said: list[str] = []

    def run() -> list[StepReport]:
        reports, lines = find_strategies(step, search, requests, corpus.strategies, lifelong=lifelong, keep=arguments.keep, told=told())
        said.extend(lines)
        return reports

    code = run_step(arguments, step.plan(discovery_asks(search, requests, lifelong=lifelong), 1 if lifelong else len(requests)), run)
    if said:
        print(*said, f"machine-made and unreviewed: {arguments.out / 'strategies.yaml'}", sep="\n")
    return code


def _adaptive(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.engine.planning import plan_judging
    from jmedethic_plugin.generation.adaptive import adaptive_asks, adaptive_step, adaptive_tasks, play_adaptively
    from jmedethic_plugin.generation.questions import read_requests
    from jmedethic_plugin.generation.refusal import RETAINED
    from jmedethic_plugin.reporting.text import visible
    from jmedethic_plugin.run import price_of
    from jmedethic_plugin.settings import Settings, default_judges, threshold_of

    access = access_of(arguments, list(dict.fromkeys((arguments.attacker, arguments.target))), "--attacker")
    corpus = load_corpus(corpus_root(arguments.folder))
    requests = read_requests(arguments.requests or arguments.out / f"{RETAINED}.jsonl")
    if unknown := set(arguments.strategy) - set(corpus.strategies):
        raise ConfigError(f"--strategy {', '.join(sorted(unknown))}: no such strategy. Known: {', '.join(corpus.strategies)}.")
    strategies = [s for s in corpus.strategies.values() if not arguments.strategy or s.id in arguments.strategy]
    try:
        prompt = None if arguments.system_prompt is None else arguments.system_prompt.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"--system-prompt {arguments.system_prompt}: unreadable ({exc}); expected a UTF-8 text file.") from exc
    judges, third = default_judges(arguments.target, tuple(arguments.judge), arguments.third_judge)
    settings = Settings(
        root=corpus_root(arguments.folder), model=arguments.target, judges=judges, third_judge=third, families=access.families,
        api_base=access.target_api_base or access.api_base, judge_api_base=arguments.judge_api_base, system_prompt=prompt, prices=access.prices,
        allow_related_judges=arguments.allow_related_judges, allow_alias=arguments.allow_alias, threshold=threshold_of(arguments.profile, None),
        limits=access.limits, timeout_s=access.timeout_s,
    )  # fmt: skip
    step, jobs = adaptive_step(arguments.out, requests, corpus.guidelines, strategies, arguments.attacker, settings, access)
    judging = plan_judging(
        list(adaptive_tasks(jobs)), judges, prices={judge: price_of(settings, judge) for judge in judges}, max_in_flight=access.limits.max_in_flight,
        rates=access.limits.rates,
    )  # fmt: skip
    print(*judging.lines(), sep="\n")
    said: list[str] = []

    def run() -> list[StepReport]:
        report, results = play_adaptively(step, jobs, settings, told())
        said.extend([] if results is None else results.lines())
        return [report]

    code = run_step(arguments, step.plan(adaptive_asks(jobs), len(jobs)), run)
    for line in said:
        print(visible(line))
    return code


def _translate(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.generation.translate import DRAFTS, read_lines, translate_asks, translate_cases, translate_step

    if not 0 <= arguments.bound <= 1:
        raise ConfigError(f"--bound is {arguments.bound}; expected a similarity from 0 to 1.")
    back = arguments.back_translator or arguments.translator
    access = access_of(arguments, list(dict.fromkeys((arguments.translator, back))), "--translator")
    lines = read_lines(arguments.cases, load_corpus(corpus_root(arguments.folder)).guidelines)
    step, jobs = translate_step(arguments.out, lines, arguments.translator, back, access, bound=arguments.bound)
    said: list[str] = []

    def run() -> list[StepReport]:
        report, low = translate_cases(step, jobs, told())
        said.extend(
            f"  {case}: similarity {similarity:.2f}, below {arguments.bound:g}: check the meaning" for case, similarity in low.items()
        )
        if not report.n_open:
            said.append(f"machine-made and unreviewed: {arguments.out / DRAFTS}.jsonl, {len(low)} of {report.n_kept} flagged")
        return [report]

    code = run_step(arguments, step.plan(translate_asks(jobs), len(jobs)), run)
    for line in said:
        print(line)
    return code
