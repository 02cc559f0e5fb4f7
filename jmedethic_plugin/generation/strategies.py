"""From what a discovery finds to ``strategies.yaml``: descriptions for people to read and to adopt or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jmedethic_plugin.core.base import CANARY, LANGUAGES
from jmedethic_plugin.core.guideline import STRATEGY_IDS, CatalogueStrategyId, Discovered, Found, Strategy, StrategyFile, StrategyText
from jmedethic_plugin.core.transcript import Message
from jmedethic_plugin.corpus.overlap import pairs_above, pairs_between
from jmedethic_plugin.engine.asking import Ask, Talk
from jmedethic_plugin.engine.ports import Sampling
from jmedethic_plugin.generation.common import Access, Step, StepReport, ask_for, prompts_hash, read_made, values_hash
from jmedethic_plugin.generation.discovery import (
    PROMPTS,
    SUMMARIZING,
    Attempt,
    Discovery,
    Finding,
    LifelongJob,
    RequestJob,
    Search,
    discover,
    live_long,
)
from jmedethic_plugin.generation.library import Library, Retrieved
from jmedethic_plugin.generation.questions import Request
from jmedethic_plugin.reporting.files import write_atomically

DISCOVERY, STRATEGIES = "discovery", "strategies"
MAX_SHARED = 0.5
"""Share of 5-grams of the shorter definition from which two strategies are one. How the paper came from its library to seven is not printed."""


class Description(StrategyText):
    """A strategy as the summarizer writes it up."""


@dataclass(frozen=True)
class Distinct:
    """Findings of one strategy."""

    name: str
    definition: str
    n_found: int
    mean_gain: float
    merged: tuple[str, ...] = ()
    resembles: CatalogueStrategyId | None = None

    @property
    def key(self) -> str:
        """The name."""
        return self.name


def distinct(findings: Iterable[Finding], catalogue: Mapping[str, Strategy]) -> list[Distinct]:
    """Findings by name, those with nearly the same definition merged into the one found more often, the strongest first."""
    by_name: dict[str, list[Finding]] = {}
    for finding in findings:
        by_name.setdefault(finding.name, []).append(finding)
    order = sorted(by_name, key=lambda name: (-len(by_name[name]), name))
    alike: dict[str, set[str]] = {name: set() for name in order}
    for pair in pairs_above({name: by_name[name][0].definition for name in order}, MAX_SHARED):
        alike[pair.first].add(pair.second)
        alike[pair.second].add(pair.first)
    heads: dict[str, list[str]] = {}
    for name in order:
        head = next((h for h in heads if name in alike[h]), None)
        heads.setdefault(head or name, []).append(name)
    ideas = {f"{s.id} {language}": s.idea.get(language) for s in catalogue.values() for language in LANGUAGES}
    nearest: dict[str, Any] = {}
    for pair in pairs_between({name: by_name[name][0].definition for name in heads}, ideas, MAX_SHARED):
        nearest.setdefault(pair.first, pair.second.partition(" ")[0])
    made = []
    for head, names in heads.items():
        gains = [finding.gain for name in names for finding in by_name[name]]
        made.append(Distinct(head, by_name[head][0].definition, len(gains), sum(gains) / len(gains), tuple(names[1:]), nearest.get(head)))
    return sorted(made, key=lambda d: (-d.mean_gain, d.name))


def describe(search: Search, job: Distinct) -> Talk[Description]:
    """Have a strategy written up for reviewers, in both languages."""
    return (yield from ask_for(_describing(search, job), Description))


def _describing(search: Search, job: Distinct) -> Ask:
    return search.ask(search.roles.summarizer, "en", "strategy_describe", {"name": job.name, "definition": job.definition}, SUMMARIZING)


def discovery_step(folder: Path, search: Search, requests: Sequence[Request], access: Access, *, lifelong: bool) -> Step:
    """The step that looks for strategies."""
    n = (search.passes + 1) * search.attempts * len(requests) if lifelong else search.attempts + search.summaries
    # A job is many calls long, so it gets the time of as many conversations; the lifelong one is one call after the other.
    limits = replace(access.limits, conversation_s=access.limits.conversation_s * n)
    access = replace(access, limits=replace(limits, max_in_flight=1) if lifelong else limits)
    return Step(folder, DISCOVERY, search.roles.models(lifelong=lifelong), {
        "method": "lifelong" if lifelong else "paper", "attempts": search.attempts, **({"passes": search.passes} if lifelong else {"summaries": search.summaries}),
        "roles": [search.roles.attacker, search.roles.target, search.roles.scorer, search.roles.summarizer, search.roles.embedder if lifelong else None],
        "seed": search.seed, "requests": values_hash(requests),
        "prompts": prompts_hash(PROMPTS, sorted({r.language for r in requests})),
    }, access)  # fmt: skip


def discovery_asks(search: Search, requests: Sequence[Request], *, lifelong: bool) -> Iterator[tuple[Ask, float]]:
    """Every call of the discovery, at most; the target's reply is taken to be as long as the request."""
    laps = search.passes + 1 if lifelong else 1
    for request in requests:
        times = float(laps * search.attempts)
        tried = Attempt(request.request, request.request, 1.0)
        yield search.attack(request, Retrieved("free"), 1), times
        yield search.try_on(request, request.request, 1), times
        yield search.score(request, request.request, request.request), times
        yield search.summarize(request, tried, tried, Library()), times - laps + 1 if lifelong else float(search.summaries)
        if lifelong and search.roles.embedder is not None:
            yield (
                Ask(search.roles.embedder, "embedder", request.language, (Message(role="user", content=request.request),), Sampling()),
                times,
            )


def find_strategies(
    step: Step, search: Search, requests: Sequence[Request], catalogue: Mapping[str, Strategy], *, lifelong: bool, keep: int,
    told: Callable[[StepReport], None] | None = None,
) -> tuple[list[StepReport], list[str]]:  # fmt: skip
    """Look for strategies, take out duplicates and write the strongest up: ``strategies.yaml``.

    Parameters
    ----------
    keep
        How many are written up; the others stay in ``discovery.jsonl``.

    Returns
    -------
    tuple
        The steps' reports, the second absent while jobs of the first are open, and how many findings became how many strategies.
    """
    if lifelong:
        report = step.run([LifelongJob(tuple(requests))], 1, lambda job, _: live_long(search, job), told)
    else:
        report = step.run([RequestJob(request) for request in requests], len(requests), lambda job, _: discover(search, job), told)
    if not report.complete:
        return [report], []
    made = list(read_made(step.folder, DISCOVERY, Discovery).values())
    findings = [finding for discovery in made for finding in discovery.findings]
    found = distinct(findings, catalogue)
    chosen = found[:keep]
    writing = Step(step.folder, STRATEGIES, ((search.roles.summarizer, "writer"),), {
        "discovery": values_hash(made), "keep": keep, "prompts": prompts_hash(["strategy_describe"], ["en"]),
    }, step.access)  # fmt: skip
    written = writing.run(chosen, len(chosen), lambda job, _: describe(search, job), told)
    lost = Counter[str]()
    for discovery in made:
        lost.update(discovery.lost)
    said = [
        f"attempts: {sum(d.n_attempts for d in made):,}, of them {sum(d.n_bare for d in made):,} with the bare request; lost attempts and summaries: "
        + (", ".join(f"{n:,} {reason}" for reason, n in sorted(lost.items())) or "none"),
        f"findings: {len(findings):,} under {len({f.name for f in findings}):,} names = {len(found):,} strategies, {len(chosen):,} written up",
    ]
    if written.complete:
        _write_file(step, search, written, chosen, lifelong=lifelong)
    return [report, written], said


def _write_file(step: Step, search: Search, report: StepReport, chosen: Sequence[Distinct], *, lifelong: bool) -> None:
    texts = read_made(step.folder, STRATEGIES, Description)
    entries: list[Strategy] = []
    used: set[str] = set(STRATEGY_IDS)
    for d in (d for d in chosen if d.name in texts):
        id = _slug(d.name, used)
        used.add(id)
        found = Found(
            name=d.name, definition=d.definition, n_found=d.n_found, mean_gain=round(d.mean_gain, 3), merged=d.merged, resembles=d.resembles
        )
        entries.append(Strategy(**dict(texts[d.name]), id=id, number=len(entries) + 1, found=found))
    how = f"AutoDAN-Turbo's loop, {search.passes} passes" if lifelong else f"{search.summaries} pairs a request"
    method = (
        f"{search.attempts} attempts a request, {how}; attacker {search.roles.attacker}, target {search.roles.target}, scorer {search.roles.scorer}, summarizer {search.roles.summarizer}"
    )  # fmt: skip
    write_atomically(step.folder / "strategies.yaml", strategies_yaml(entries, Discovered(demo=report.demo, method=method)))


def _slug(name: str, used: Collection[str]) -> str:
    slug = "_".join("".join(ch if ch.isascii() and ch.isalnum() else " " for ch in name.casefold()).split())[:40]
    slug = slug if slug[:1].isalpha() and not slug.startswith("benign_") else f"s_{slug}"
    return next(s for s in (slug, *(f"{slug}_{n}" for n in range(2, len(used) + 3))) if s not in used)


def strategies_yaml(strategies: Sequence[Strategy], discovered: Discovered) -> str:
    """The text of a file of found strategies."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, said: str) -> yaml.Node:
        # In quotes, for a text may look like a number.
        return dumper.represent_scalar("tag:yaml.org,2002:str", said, style=None if said in _KEYS else "'")

    Dumper.add_representer(str, text)
    Dumper.ignore_aliases = lambda *_: True  # type: ignore[method-assign]  # the reader refuses them
    data = {
        "schema": "jmedethic/strategies@1", "canary": CANARY, "discovered": discovered.model_dump(mode="json"),
        "strategies": [{"id": s.id, "number": s.number, **s.model_dump(mode="json", exclude={"id", "number"})} for s in strategies],
    }  # fmt: skip
    head = f"# JMEDETHIC-CANARY {CANARY} (test data: keep out of training sets)\n# Machine-made and unreviewed: ways to press, found by models.{' Scripted demo models: no finding.' if discovered.demo else ''}\n"
    return head + str(yaml.dump(data, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=160))


_KEYS = {"schema", *StrategyFile.model_fields, *Strategy.model_fields, *Found.model_fields, *Discovered.model_fields, *LANGUAGES}
