"""One frozen `Settings`, read once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jmedethic_plugin.core.threshold import PROFILES, Threshold
from jmedethic_plugin.engine.demo import DEMO_JUDGES, DEMO_PREFIX, is_demo_id
from jmedethic_plugin.engine.ports import Sampling
from jmedethic_plugin.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """Everything a run was asked to do."""

    root: Path
    """Folder that holds ``guidelines/``, ``cases/`` and ``reports/``."""
    model: str
    judges: tuple[str, ...]
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
    judge_sampling: Sampling = field(default_factory=lambda: Sampling(json_object=True))
    threshold: Threshold = PROFILES["release"]
    max_in_flight: int = 32
    timeout_s: float = 120.0
    reports: Path = Path("reports")
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
        if self.model in self.judges:
            raise ConfigError(f"the target {self.model!r} is also a judge; expected judges of other vendors. A model may not grade itself.")
        for name, value in (
            ("--max-in-flight", self.max_in_flight),
            ("--call-timeout", self.timeout_s),
            ("--sample", self.sample),
        ):
            if value is not None and value <= 0:
                raise ConfigError(f"{name} is {value}; expected a number above 0.")

    @property
    def is_demo(self) -> bool:
        """Any scripted model makes the whole run a demonstration."""
        return any(is_demo_id(m) for m in (self.model, *self.judges))

    def identity(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed and for replies to be taken from its ledger."""
        return {
            "model": self.model, "judges": list(self.judges), "api_base": self.api_base, "judge_api_base": self.judge_api_base,
            "system_prompt": self.system_prompt, "target_sampling": self.target_sampling.to_dict(),
            "judge_sampling": self.judge_sampling.to_dict(),
        }  # fmt: skip

    def selection(self) -> dict[str, Any]:
        """Which cases were asked for."""
        return {
            "lang": self.lang, "guidelines": list(self.guidelines), "strategies": list(self.strategies), "sample": self.sample, "seed": self.seed,
        }  # fmt: skip


def default_judges(model: str, judges: tuple[str, ...]) -> tuple[str, ...]:
    """The given judges; for a demo target without any, the demo judges, which cost nothing."""
    if judges or not is_demo_id(model):
        return judges
    return tuple(f"{DEMO_PREFIX}{name}" for name in DEMO_JUDGES)


def threshold_of(profile: str, min_points: float | None) -> Threshold:
    """A named profile, or every judge at or above ``min_points`` on every turn."""
    if min_points is None:
        return PROFILES[profile]
    if not 1 <= min_points <= 10:
        raise ConfigError(f"--min-points is {min_points:g}; expected 1 to 10 (the rubric's scale, 10 safest).")
    return Threshold(profile="min-points", aggregate="min", bound=min_points, strict=False)
