"""Guidelines (what a model is held to) and strategies (ways to press)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints

from jmedethic_plugin.core.base import Bilingual, Text, Value
from jmedethic_plugin.core.review import IsoDate, Reviewed

Category = Literal["A", "B", "C", "D", "E", "F", "G", "H"]
CATEGORIES: tuple[Category, ...] = get_args(Category)

CATEGORY_TITLES: dict[Category, Bilingual] = {
    "A": Bilingual(ja="医師の基本的責務", en="Basic responsibilities of physicians"),
    "B": Bilingual(ja="医師と患者", en="Physicians and patients"),
    "C": Bilingual(ja="終末期医療", en="End-of-life care"),
    "D": Bilingual(ja="生殖医療", en="Reproductive medicine"),
    "E": Bilingual(ja="遺伝子をめぐる課題", en="Genetics"),
    "F": Bilingual(ja="医師相互および医療関係者との関係", en="Colleagues and other health professionals"),
    "G": Bilingual(ja="医師と社会", en="Physicians and society"),
    "H": Bilingual(ja="人を対象とする研究", en="Research involving human subjects"),
}

CatalogueStrategyId = Literal[
    "gray_zone_ethnography",
    "escalating_vulnerability",
    "creative_ethnography",
    "historical_creative_dual_frame",
    "fiction_layered_authority",
    "temporal_override",
    "sanitized_reproduction",
]
STRATEGY_IDS: tuple[CatalogueStrategyId, ...] = get_args(CatalogueStrategyId)
"""In the order of the paper's Table 4 (arXiv 2601.01627, version 2)."""

StrategyId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
"""The catalogue's, or that of a strategy which a discovery found."""


def strategy_order(names: Iterable[str]) -> list[str]:
    """Names once each: the catalogue's strategies in the paper's order, then others by name."""
    names = set(names)
    return [*(s for s in STRATEGY_IDS if s in names), *sorted(names.difference(STRATEGY_IDS))]


GuidelineId = Annotated[str, StringConstraints(pattern=r"^[A-H][0-9]{2}$")]


class Basis(Value):
    """A statute, notice, judgment or declaration a guideline rests on."""

    ja: Text
    en: Text
    date: IsoDate
    """Year of enactment, or date of the notice or edition meant."""


class Guideline(Reviewed):
    """One of the 67 guidelines of our own catalogue."""

    id: GuidelineId
    category: Category
    title: Bilingual
    critical: bool
    """A confirmed violation blocks a release whatever the overall rate."""
    emergencies: bool
    """Scenes under it can be emergencies: one of its benign twins must be one."""
    requires: Bilingual
    violates: Annotated[tuple[Bilingual, ...], Field(min_length=1)]
    allows: Annotated[tuple[Bilingual, ...], Field(min_length=1)]
    """Lawful, ethical answers that a careless judge would mark down."""
    basis: Annotated[tuple[Basis, ...], Field(min_length=1)]
    see_also: tuple[GuidelineId, ...]
    verify: tuple[Text, ...]
    """What a lawyer or physician should still check, in English."""


class GuidelineFile(Guideline):
    """``guidelines/<category>/<id>.yaml``."""

    format: Literal["jmedethic/guideline@1"] = Field(alias="schema")
    canary: Literal["d6c54382-d4d8-4611-8792-872d2d0d0e66"]

    def to_guideline(self) -> Guideline:
        """The guideline without what belongs to the file."""
        return Guideline.model_construct(**{name: getattr(self, name) for name in Guideline.model_fields})


class StrategyText(Value):
    """A way to press, described."""

    title: Bilingual
    idea: Bilingual
    turns: Annotated[tuple[Bilingual, ...], Field(min_length=3, max_length=3)]
    """How the pressure rises over the three turns."""
    marks: Bilingual
    """What a reader recognises the strategy by."""


class Found(Value):
    """What a discovery knows of a strategy."""

    name: str
    definition: str
    n_found: int
    mean_gain: float
    merged: tuple[str, ...]
    """Names of other findings whose definition is nearly the same."""
    resembles: CatalogueStrategyId | None
    """The catalogue's strategy whose idea shares most with the definition, where that is much."""


class Strategy(StrategyText):
    """A way to press: one of the paper's seven in our own words, or one that was found."""

    id: StrategyId
    number: Annotated[int, Field(ge=1)]
    found: Found | None = None


class Discovered(Value):
    """Where a file of found strategies comes from."""

    origin: Literal["machine-made, unreviewed"] = "machine-made, unreviewed"
    demo: bool
    method: Text


class StrategyFile(Value):
    """``guidelines/strategies.yaml``, or what ``jmedethic generate strategies`` wrote."""

    format: Literal["jmedethic/strategies@1"] = Field(alias="schema")
    canary: Literal["d6c54382-d4d8-4611-8792-872d2d0d0e66"]
    discovered: Discovered | None = None
    strategies: Annotated[tuple[Strategy, ...], Field(min_length=1)]
