"""The judge card as a file and as text."""

import json
from datetime import date
from pathlib import Path

import pytest

from jmedethic_plugin.core.card import CardFile
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.judging.qualify import qualify
from jmedethic_plugin.reporting.card import card_lines, render_card
from jmedethic_plugin.run import read_card
from jmedethic_plugin.settings import Settings

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 24)
HOSTILE = "x\x1b[2Jy\nqualified"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(root=ROOT, model="none/none", judges=("demo/judge-a", "demo/judge-b"), reports=tmp_path_factory.mktemp("cards"), lang="ja")


@pytest.fixture(scope="module")
def made(settings):
    return qualify(settings, ROOT / "judges" / "starter" / "gray_zone_ethnography.yaml", today=TODAY, attacks=False)


def test_card_comes_back_from_its_file(made):
    card, folder = made

    assert read_card(folder / "card.json") == card
    assert json.loads((folder / "card.json").read_text(encoding="utf-8"))["content_hash"] == card.content_hash


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda card: card["judges"][0].update(faults=[]), "the card was changed"),
        (lambda card: card["answers"].update(clinician_labelled=True), "the card was changed"),
        (lambda card: card["answers"].pop("clinician_labelled"), r"card\.answers\.clinician_labelled: Field required"),
    ],
    ids=["fault", "labels", "missing"],
)
def test_changed_card_is_refused(made, tmp_path, change, said):
    data = json.loads((made[1] / "card.json").read_text(encoding="utf-8"))
    change(data["card"])
    (tmp_path / "card.json").write_text(json.dumps(data), encoding="utf-8")

    with pytest.raises(ConfigError, match=said):
        read_card(tmp_path / "card.json")


def test_texts_of_a_card_do_not_steer_the_terminal_or_the_page(made):
    card, _ = made
    answers = card.answers.model_copy(update={"source": HOSTILE})
    hostile = card.model_copy(update={"answers": answers, "notes": (HOSTILE,), "threshold": HOSTILE})
    assert CardFile.of(hostile).card == hostile

    assert not any(ch in line for line in card_lines(hostile) for ch in "\x1b\n")
    assert "\x1b" not in render_card(hostile)
