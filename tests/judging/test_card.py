"""The judge card as a file and as text."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from jmedethic_plugin.cli import main
from jmedethic_plugin.core.card import CardFile
from jmedethic_plugin.core.threshold import PROFILES
from jmedethic_plugin.core.verdict import PanelVerdict, Scored
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.judging.qualify import _as_in_a_run, qualify, read_exam
from jmedethic_plugin.reporting.card import card_lines, render_card
from jmedethic_plugin.run import Run, check_card, read_card, read_manifest
from jmedethic_plugin.settings import Settings, threshold_of

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 24)
HOSTILE = "x\x1b[2Jy\nqualified"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(root=ROOT, model="none/none", judges=("demo/judge-a", "demo/judge-b"), reports=tmp_path_factory.mktemp("cards"), lang="ja")


@pytest.fixture(scope="module")
def made(settings):
    return qualify(settings, read_exam(settings, ROOT / "judges" / "starter" / "gray_zone_ethnography.yaml", attacks=False), today=TODAY)


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


def written(card, folder):
    """A card as a file."""
    path = folder / "given.json"
    path.write_text(CardFile.of(card).model_dump_json(), encoding="utf-8")
    return path


def test_card_counts_for_the_threshold_it_was_made_under(settings, tmp_path, capsys):
    judges = [word for judge in settings.judges for word in ("--judge", judge)]
    one = ROOT / "judges" / "starter" / "gray_zone_ethnography.yaml"
    command = ["judge", "qualify", *judges, "--lang", "ja", "--no-attacks", "--folder", ROOT, "--set", one, "--reports-dir", tmp_path]

    for name, option in (("paper", ("--profile", "paper")), ("strict", ("--min-points", "7"))):
        main([str(word) for word in (*command, *option, "--run-id", name)])
    capsys.readouterr()

    def check(name, threshold):
        return check_card(replace(settings, judge_card=tmp_path / name / "card.json", threshold=threshold), TODAY)

    assert check("paper", threshold_of("paper", None, "safe")) is not None
    assert check("strict", threshold_of("release", 7.0)) is not None
    with pytest.raises(ConfigError, match="threshold: the card has 'paper"):
        check("paper", PROFILES["release"])


def test_exam_is_planned_before_anything_is_called(settings, tmp_path, capsys):
    judges = [word for judge in settings.judges for word in ("--judge", judge)]
    starter = ROOT / "judges" / "starter" / "gray_zone_ethnography.yaml"
    command = ["judge", "qualify", *judges, "--lang", "ja", "--no-attacks", "--folder", ROOT, "--set", starter, "--reports-dir", tmp_path, "--plan"]

    assert main([str(word) for word in command]) == 0

    assert not list(tmp_path.iterdir())
    # 36 answers, all of them in the sample: six automatic changes and two repeats of each, four rewritings of six.
    assert capsys.readouterr().out.startswith(f"{36 + 36 * (6 + 2) + 6 * 4} answers to judge, {2 * (36 + 36 * 8 + 24)} calls, about ")


def test_third_judge_is_heard_in_the_exam_where_a_run_would_hear_it(settings):
    def everyone(*points):
        return PanelVerdict(verdicts=tuple(Scored(judge=f"j{i}", points=p, response_class="answer", reason="r") for i, p in enumerate(points)))

    three = replace(settings, third_judge="demo/judge-c")

    assert _as_in_a_run(everyone(6, 7, 1), three) == everyone(6, 7)
    assert _as_in_a_run(everyone(6, 3, 1), three).third.points == 1


def test_expired_card_is_not_to_be_used(made, tmp_path, capsys):
    card = made[0]
    clean = card.model_copy(update={"judges": tuple(judge.model_copy(update={"faults": ()}) for judge in card.judges), "gaps": ()})

    assert main(["judge", "card", str(written(clean.model_copy(update={"expires": "2999-01-01"}), tmp_path))]) == 0
    assert main(["judge", "card", str(written(clean.model_copy(update={"expires": "2020-01-01"}), tmp_path))]) == 1
    assert "NOT QUALIFIED\n- the card expired on 2020-01-01\n" in capsys.readouterr().out


def test_judge_that_answers_under_another_name_is_not_the_examined_one(made, tmp_path):
    first, second = made[0].judges
    card = made[0].model_copy(update={"judges": (first.model_copy(update={"served": ("judge-a (fp_1)",)}), second), "expires": "2999-01-01"})
    settings = Settings(
        root=ROOT, model="demo/steadfast", judges=("demo/judge-a", "demo/judge-b"), reports=tmp_path, sample=1, judge_card=written(card, tmp_path)
    )

    run = Run.open(settings)
    try:
        run.prepare()
        run.engine.plan(run.item_ids)
        for item in run.item_ids:
            run.engine.result(item)
    finally:
        run.close(len(run.item_ids))

    (fault,) = [f for f in read_manifest(run.folder).judge_card.faults if f.startswith("demo/judge-a: answered as")]
    assert fault == "demo/judge-a: answered as demo/judge-a, was examined as judge-a (fp_1)"
    assert not [f for f in run.manifest.judge_card.faults if f.startswith("demo/judge-b: answered")]


def test_texts_of_a_card_do_not_steer_the_terminal_or_the_page(made):
    card, _ = made
    answers = card.answers.model_copy(update={"source": HOSTILE})
    hostile = card.model_copy(update={"answers": answers, "notes": (HOSTILE,), "threshold": HOSTILE})
    assert CardFile.of(hostile).card == hostile

    assert not any(ch in line for line in card_lines(hostile, TODAY) for ch in "\x1b\n")
    assert "\x1b" not in render_card(hostile)
