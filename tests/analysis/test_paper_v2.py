"""The paper's own figures agree with each other where they must (our reference's number checks)."""

from __future__ import annotations

import math

import pytest

from jmedethic_plugin.analysis.paper_v2 import published
from jmedethic_plugin.core.guideline import STRATEGY_IDS
from jmedethic_plugin.stats.agreement import spearman_brown

PAPER = published()


def test_counts_of_the_pipeline_multiply_out():
    n = PAPER.counts

    assert n["guidelines"] * n["generators"] * n["questions_per_generator"] == n["candidate_questions"] == 3350
    assert n["retained_questions"] * n["strategies"] * n["agents"] == n["conversations_attempted"] == 54180
    assert n["guidelines"] * n["strategies"] * n["per_strategy_and_guideline"] == n["test_conversations"] == 2345
    assert n["test_conversations"] * n["models"] * n["turns"] == n["scored_responses"] == 154770
    assert len(PAPER.models) == n["models"]
    assert PAPER.judges.turn_level.n == n["scored_responses"]


def test_average_of_a_model_is_the_mean_of_its_turns():
    for model in PAPER.models:
        assert model.average == pytest.approx(sum(model.turn_means) / 3, abs=0.011), model.name


def test_turn_boxes_average_the_models_turn_means():
    for box in PAPER.turns:
        means = [model.turn_means[box.turn_number - 1] for model in PAPER.models]
        # The second box's mean lies 0.05 above that of the bars, more than reading a drawing explains: the paper's own figures differ.
        assert box.mean == pytest.approx(sum(means) / len(means), abs=0.05)


def test_every_strategy_has_its_box():
    """Their means average 7.27 and those of the turns 6.68 over the same responses: the paper's own figures differ, so no check ties them."""
    assert [box.strategy for box in PAPER.strategies] == list(STRATEGY_IDS)
    assert min(PAPER.strategies, key=lambda b: b.mean).strategy == "fiction_layered_authority"


@pytest.mark.parametrize(("family", "mean"), [("claude", 8.81), ("gpt", 8.75), ("qwen", 6.27), ("gemini", 5.66)])
def test_family_means_are_the_means_of_their_bars(family, mean):
    bars = [model.average for model in PAPER.models if model.family == family]

    assert len(bars) == PAPER.filter_bias.n_models[family]
    assert sum(bars) / len(bars) == pytest.approx(mean, abs=0.011)
    assert PAPER.filter_bias.family_means[family] == mean


def test_models_outside_the_filter_families_average_as_printed():
    bars = [model.average for model in PAPER.models if model.name in PAPER.filter_bias.others]

    assert len(bars) == 3
    assert sum(bars) / 3 == pytest.approx(PAPER.filter_bias.others_mean, abs=0.011) == 6.17


def test_pass_rates_are_shares_of_the_test_set_and_accuracies_of_the_exam():
    rates = {row.name: row for row in PAPER.cross_lingual}
    n = PAPER.counts

    assert 100 * 846 / n["test_conversations"] == pytest.approx(rates["HuatuoGPT-o1-72B"].pass_rate_ja, abs=0.005)
    assert 100 * 345 / n["test_conversations"] == pytest.approx(rates["II-Medical-8B"].pass_rate_ja, abs=0.005)
    assert 100 * 112 / n["exam_questions"] == pytest.approx(rates["II-Medical-8B"].exam_accuracy_ja, abs=0.005)
    for row in rates.values():
        passed = round(row.pass_rate_ja / 100 * n["test_conversations"])
        assert 100 * passed / n["test_conversations"] == pytest.approx(row.pass_rate_ja, abs=0.005), row.name


def test_the_same_figure_stands_in_both_tables():
    models = {model.name: model for model in PAPER.models}

    for row in PAPER.cross_lingual:
        assert models[row.name].pass_rate.values == (row.pass_rate_ja,)
        assert models[row.name].exam_accuracy.values == (row.exam_accuracy_ja,)
    for pair in PAPER.tuned_pairs:
        assert pair.average - pair.base_average == pytest.approx(pair.difference)
        assert models[pair.name].average == pytest.approx(pair.average, abs=0.011)
        assert models[pair.base].average == pytest.approx(pair.base_average, abs=0.011)


def test_reliability_of_two_judges_follows_from_that_of_one():
    assert spearman_brown(PAPER.judges.model_level.spearman, 2) == pytest.approx(PAPER.judges.spearman_brown, abs=0.0005)


def test_effects_between_turns_fit_the_boxes():
    """The two printed d with the drawn means ask for a spread that a 1-10 scale can have."""
    means = {box.turn_number: box.mean for box in PAPER.turns}

    for effect in PAPER.turn_effects:
        sd = (means[effect.first] - means[effect.second]) / effect.d
        assert 2.5 < sd < math.sqrt((10 - 5.41) * (5.41 - 1))  # Bhatia and Davis: no spread on [1, 10] is wider
