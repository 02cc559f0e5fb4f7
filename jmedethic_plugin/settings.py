"""One frozen `Settings`, read once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from jmedethic_plugin.core.gate import Gate
from jmedethic_plugin.core.text import without_credentials
from jmedethic_plugin.core.threshold import PROFILES, Blocked, Threshold
from jmedethic_plugin.engine.demo import DEMO_JUDGES, DEMO_PREFIX, is_demo_id
from jmedethic_plugin.engine.limits import RateCap
from jmedethic_plugin.engine.ports import Price, Sampling
from jmedethic_plugin.engine.scheduler import Limits
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.prompts.judge import VERDICT_SCHEMA

_T = TypeVar("_T")
MIN_SENTINELS, SENTINEL_SHARE, SENTINELS_FROM_TURNS = 20, 0.02, 300


@dataclass(frozen=True)
class Settings:
    """Everything a run was asked to do."""

    root: Path
    """Folder that holds ``guidelines/``, ``cases/`` and ``reports/``."""
    model: str
    judges: tuple[str, ...]
    third_judge: str | None = None
    """Heard where the two disagree."""
    fallback_judge: str | None = None
    """Heard in the place of a judge whose reply cannot be used."""
    families: Mapping[str, str] = field(default_factory=dict)
    """Family of a model whose name does not tell it, by id."""
    judge_card: Path | None = None
    gate: Gate | None = None
    """The rule over the whole run; languages, repeats, threshold and sample follow it."""
    baseline: str | None = None
    """Run to compare with: its folder under `reports`."""
    candidate: str | None = None
    """What the target's maker calls the version under test."""
    sentinels: int | None = None
    """Answers with a known label to mix in; None: as many as the method asks for, see `n_sentinels`."""
    allow_related_judges: bool = False
    allow_alias: bool = False
    lang: str = "ja"
    guidelines: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    sample: int | None = None
    seed: int = 0
    api_base: str | None = None
    judge_api_base: str | None = None
    served_as: str | None = None
    system_prompt: str | None = field(default=None, repr=False)
    target_sampling: Sampling = field(default_factory=Sampling)
    judge_sampling: Sampling = field(default_factory=lambda: judge_sampling_of(None, None))
    threshold: Threshold = PROFILES["release"]
    limits: Limits = field(default_factory=Limits)
    prices: Mapping[str, Price] = field(default_factory=dict)
    timeout_s: float = 120.0
    repeats: int = 1
    shard: tuple[int, int] | None = None
    """Which part of how many, both from 1."""
    case_files: tuple[Path, ...] = ()
    """JSONL sets to play instead of the corpus's own cases."""
    strategy_file: Path | None = None
    """Describes strategies of those sets that are not the catalogue's."""
    exam_files: tuple[Path, ...] = ()
    """Exams whose text-only questions are asked too."""
    blocked: Blocked = "not_measured"
    reports: Path = Path("reports")
    ledger: str | None = None
    """PostgreSQL address of a shared ledger; None for a SQLite file in the run's folder."""
    run_id: str | None = None
    resume: str | None = None

    def __post_init__(self) -> None:
        if len(self.judges) != 2:
            raise ConfigError(
                f"a panel has two judges, found {len(self.judges)}. Write --judge ID --judge ID (two vendors, neither the target's own), "
                "or set jmedethic_judges in the ini file."
            )
        if self.judges[0] == self.judges[1]:
            raise ConfigError(
                f"both judges are {self.judges[0]!r}; expected two different models. One judge's error cannot be seen with itself."
            )
        for option, extra in (("--third-judge", self.third_judge), ("--fallback-judge", self.fallback_judge)):
            if extra in (self.model, *self.judges):
                raise ConfigError(f"{option} {extra!r} is the target or one of the two judges; expected another model.")
        if self.third_judge is not None and self.third_judge == self.fallback_judge:
            raise ConfigError(
                f"--third-judge and --fallback-judge are both {self.third_judge!r}; expected two models: one may not count twice."
            )
        if self.model in self.judges:
            raise ConfigError(f"the target {self.model!r} is also a judge; expected judges of other vendors. A model may not grade itself.")
        for name, value in (
            ("--judge-max-tokens", self.judge_sampling.max_tokens),
            ("--max-in-flight", self.limits.max_in_flight),
            ("--call-timeout", self.timeout_s),
            ("--case-timeout", self.limits.conversation_s),
            ("--sample", self.sample),
            ("--sentinels", None if self.sentinels == 0 else self.sentinels),
            ("--repeats", self.repeats),
            ("--budget-usd", self.limits.caps.usd),
            ("--max-calls", self.limits.caps.calls),
            ("--max-tokens-total", self.limits.caps.tokens),
            ("--max-minutes", self.limits.caps.minutes),
        ):
            if value is not None and value <= 0:
                raise ConfigError(f"{name} is {value}; expected a number above 0.")

    @property
    def is_demo(self) -> bool:
        """Any scripted model makes the whole run a demonstration."""
        return any(is_demo_id(m) for m in (self.model, *self.all_judges))

    def n_sentinels(self, n_turns: int) -> int:
        """How many answers with a known label are mixed in (method.md A-26): 20, and 2 % of the judged turns.

        None in a try-out of a few conversations, where they would cost more than what is tried, nor for demo judges, who know the demo's phrases and
        nothing else.
        """
        if self.sentinels is not None:
            return self.sentinels
        if n_turns < SENTINELS_FROM_TURNS or any(is_demo_id(j) for j in self.all_judges):
            return 0
        return max(MIN_SENTINELS, math.ceil(SENTINEL_SHARE * n_turns))

    @property
    def all_judges(self) -> tuple[str, ...]:
        """Every judge that may be asked."""
        return (*self.judges, *dict.fromkeys(j for j in (self.third_judge, self.fallback_judge) if j is not None))

    def identity(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed and for replies to be taken from its ledger."""
        return {
            "model": self.model, "judges": list(self.judges), "third_judge": self.third_judge, "fallback_judge": self.fallback_judge, "api_base": without_credentials(self.api_base),
            "judge_api_base": without_credentials(self.judge_api_base),
            "system_prompt": self.system_prompt, "target_sampling": self.target_sampling.to_dict(),
            "judge_sampling": self.judge_sampling.to_dict(),
            "third_judge_rule": None if self.third_judge is None else self.threshold.third_rule,
        }  # fmt: skip

    def selection(self) -> dict[str, Any]:
        """Which cases were asked for."""
        return {
            "lang": self.lang, "guidelines": list(self.guidelines), "strategies": list(self.strategies), "sample": self.sample, "seed": self.seed,
            "case_files": [path.name for path in self.case_files],
        }  # fmt: skip


def default_judges(model: str, judges: tuple[str, ...], third: str | None) -> tuple[tuple[str, ...], str | None]:
    """The given judges; for a demo target without any, the demo judges, which cost nothing."""
    if judges or not is_demo_id(model):
        return judges, third
    first, second, last = (f"{DEMO_PREFIX}{name}" for name in DEMO_JUDGES)
    return (first, second), third or last


_IN_FLIGHT = {
    "openai": 64, "azure": 64, "anthropic": 32, "gemini": 32, "vertex_ai": 32, "mistral": 16, "bedrock": 16, "groq": 8, "ollama": 4, "ollama_chat": 4,
}  # fmt: skip
"""Calls open at once to begin with; 429 and overload lower it. Providers publish no such number: these are cautious starting points."""


def default_in_flight(model: str, judges: tuple[str, ...], api_base: str | None) -> int:
    """Calls open at once over the whole run: what the most cautious of the run's providers is given; 64 for an address of one's own."""
    if api_base is not None or is_demo_id(model):
        return 64
    return min(_IN_FLIGHT.get(m.partition("/")[0], 32) for m in (model, *judges))


def threshold_of(profile: str, min_points: float | None, blocked: Blocked = "not_measured") -> Threshold:
    """A named profile, or every judge at or above ``min_points`` on every turn."""
    if min_points is None:
        return PROFILES[profile].model_copy(update={"blocked": blocked})
    if not 1 <= min_points <= 10:
        raise ConfigError(f"--min-points is {min_points:g}; expected 1 to 10 (the rubric's scale, 10 safest).")
    return Threshold(profile="min-points", aggregate="min", bound=min_points, strict=False, blocked=blocked)


def judge_sampling_of(temperature: str | None, max_tokens: int | None) -> Sampling:
    """From the judges' options: a temperature, or ``default`` for what the provider uses, and the limit for thoughts and verdict together."""
    try:
        number = None if temperature == "default" else float(temperature or 0)
    except ValueError:
        number = -1.0
    if number is not None and not 0 <= number <= 2:
        raise ConfigError(f"--judge-temperature {temperature!r}: expected a number from 0 to 2, or 'default' for models that take none.")
    return Sampling(temperature=number, max_tokens=1024 if max_tokens is None else max_tokens, schema=VERDICT_SCHEMA)


def prices_of(options: Iterable[str]) -> dict[str, Price]:
    """From texts like ``openai/gpt-x=2.5,10``: US dollars for a million prompt and completion tokens."""
    prices = {}
    for option in options:
        model, _, numbers = option.rpartition("=")
        try:
            prompt, completion = (float(n) for n in numbers.split(","))
        except ValueError:
            prompt = completion = -1.0
        if not model or prompt < 0 or completion < 0:
            raise ConfigError(
                f"--price {option!r}: expected MODEL=IN,OUT, US dollars for a million prompt and completion tokens, e.g. openai/x=0.15,0.6."
            )
        prices[model] = Price(prompt, completion)
    return prices


def families_of(options: Iterable[str]) -> dict[str, str]:
    """From texts like ``openai/our-model=qwen``."""
    families = {}
    for option in options:
        model, _, family = option.rpartition("=")
        if not model or not family:
            raise ConfigError(f"--family {option!r}: expected MODEL=FAMILY, e.g. openai/our-model=qwen (families: judges/families.yaml).")
        families[model] = family.lower()
    return families


def rates_of(requests: Iterable[str], tokens: Iterable[str]) -> dict[str, RateCap]:
    """From texts like ``openai/gpt-x=500`` (requests or tokens a minute)."""
    caps: dict[str, dict[str, float]] = {}
    for name, key, options in (("--rpm", "requests", requests), ("--tpm", "tokens", tokens)):
        for option in options:
            model, _, number = option.rpartition("=")
            if not model or not number.replace(".", "", 1).isdigit() or float(number) <= 0:
                raise ConfigError(f"{name} {option!r}: expected MODEL=NUMBER, a number a minute above 0, e.g. openai/x=500.")
            caps.setdefault(model, {})[key] = float(number)
    return {model: RateCap(**cap) for model, cap in caps.items()}


def fixed_by(gate: Gate | None, option: str, given: _T | None, fixed: _T | None, default: _T) -> _T:
    """What an option amounts to: the given value, the gate's, or the default.

    Raises
    ------
    ConfigError
        The given value is not the gate's.
    """
    if gate is None or fixed is None:
        return default if given is None else given
    if given is not None and given != fixed:
        raise ConfigError(
            f"{option} {given}: the gate {gate.name!r} fixes {fixed}. Leave the option out, or change the gate file before the run."
        )
    return fixed


def shard_of(option: str | None) -> tuple[int, int] | None:
    """From a text like ``3/10``."""
    if option is None:
        return None
    part, _, of = option.partition("/")
    if not (part.isdigit() and of.isdigit() and 1 <= int(part) <= int(of)):
        raise ConfigError(f"--shard {option!r}: expected PART/OF with 1 <= PART <= OF, e.g. 3/10.")
    return int(part), int(of)
