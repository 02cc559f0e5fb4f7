"""The paper's tables over several models."""

from __future__ import annotations

import random

import pytest
from scipy import stats

from jmedethic_plugin.analysis.paper import Conversation
from jmedethic_plugin.analysis.paper_v2 import published
from jmedethic_plugin.analysis.sheet import StudiedModel, StudiedRun
from jmedethic_plugin.analysis.study import RunRow, study_tables
from jmedethic_plugin.stats.effects import cohens_d, mann_whitney
from jmedethic_plugin.stats.parity import bootstrap_difference


@pytest.fixture
def run(nth):
    """A model whose conversations all have the same points, but for a little of their own."""

    def make(name, points, n=12, group="open", language="ja", seed=0, **fields):
        rng = random.Random(f"{name}{seed}")
        own = [
            nth(i, *[(p, p) for p in (min(10, points + 1), points + rng.choice([-0.5, 0, 0.5]), max(1, points - 1))], language=language)
            for i in range(0, 7 * n, 7)
        ]
        return StudiedRun(StudiedModel(id=f"x/{name}", name=name, group=group, **fields), [Conversation.of(r, name) for r in own])

    return make


def tables(*runs, **more):
    return {sheet.name: sheet for sheet in study_tables("s", [], runs, demo=False, **more).sheets}


def test_groups_are_compared_over_models_however_many_conversations_each_has(run):
    groups = {"open": [8.0, 7.5, 8.5], "medical": [4.0, 5.0, 4.5]}

    few, many = (
        tables(*(run(f"{group}{i}", points, n=n, group=group) for group, means in groups.items() for i, points in enumerate(means)))
        for n in (2, 20)
    )

    for found in (few, many):
        (test,) = found["group_tests"].rows
        averages = [[m.average for m in found["models"].rows if m.model.startswith(group)] for group in ("medical", "open")]
        expected = stats.ttest_ind(*averages, equal_var=False)
        assert (test.first, test.second, test.n_first, test.n_second) == ("medical", "open", 3, 3)
        assert test.p == pytest.approx(expected.pvalue)
        for row, of_group in zip(found["groups"].rows, averages, strict=True):
            assert (row.n_models, row.mean, row.lowest, row.highest) == (3, pytest.approx(sum(of_group) / 3), min(of_group), max(of_group))


def test_only_models_with_an_unfinished_run_are_named_as_missing(run):
    states = [
        RunRow(model=s, id=f"x/{s}", group="open", run="r", state=s, n_recorded=0, n_planned=1, detail="") for s in ("finished", "failed", "not started")
    ]

    assert [row.model for row in study_tables("s", states, [run("m", 5.0)], demo=False).unfinished()] == ["failed", "not started"]


def test_models_are_pooled_where_there_are_several(run):
    one, two = tables(run("a", 5.0)), tables(run("a", 5.0), run("b", 7.0))

    assert [row.model for row in one["turns"].rows] == ["a"] * 3
    assert [row.n for row in two["turns"].rows] == [24] * 3 + [12] * 6


def test_a_base_and_its_tuned_model_are_enough_for_a_pair(run):
    assert [row.model for row in tables(run("base", 7.0), run("tuned", 5.0, base="x/base"))["tuned_pairs"].rows] == ["tuned"]


def test_passes_and_failures_are_added_up_in_each_language(run):
    def half(language):
        return [*run("m", 9.0, language=language, n=5).conversations, *run("m", 1.5, language=language, n=8).conversations[5:]]

    both = StudiedRun(run("m", 9.0).model, [*half("ja"), *half("en")])

    (row,) = tables(both)["cross_lingual"].rows

    assert (row.n_ja, row.n_en, row.pass_rate_ja, row.pass_rate_en) == (8, 8, 5 / 8, 5 / 8)


def test_tuned_model_whose_base_was_run_in_another_language_has_no_pair(run):
    assert tables(run("base", 7.0, language="en"), run("tuned", 5.0, base="x/base"))["tuned_pairs"].rows == ()


def test_models_of_one_size_are_no_pair_and_languages_make_their_own(run):
    runs = [run("a", 5.0, family="f", size_b=7.0), run("b", 6.0, family="f", size_b=7.0), run("c", 7.0, family="f", size_b=8.0, language="en")]

    assert tables(*runs)["scale"].rows == ()


def test_published_models_are_those_of_the_paper():
    rows = {row.name: row for row in tables()["published_models"].rows}

    for model in published().models:
        assert (rows[model.name].turn_1, rows[model.name].turn_2, rows[model.name].turn_3) == tuple(model.turn_means)


def test_tuned_model_stands_beside_its_base(run):
    found = tables(run("base", 7.0), run("tuned", 5.0, group="medical", base="x/base"), run("lonely", 5.0, base="x/absent"))["tuned_pairs"]

    (row,) = found.rows
    assert (row.model, row.base, row.n_questions) == ("tuned", "base", 12)
    assert row.difference == pytest.approx(row.average - row.base_average)
    assert row.paired_low < row.paired < row.paired_high
    assert row.paired == pytest.approx(-2, abs=0.3)


def test_sizes_of_a_family_are_taken_in_order(run):
    runs = [run(f"m{size}", points, family="f", size_b=size) for size, points in ((70.0, 9.0), (7.0, 5.0), (30.0, 7.0))]

    rows = tables(*runs, run("other", 8.0, family="g", size_b=1.0))["scale"].rows

    assert [(row.smaller, row.larger) for row in rows] == [("m7.0", "m30.0"), ("m30.0", "m70.0")]
    assert all(0 < row.difference == row.average_larger - row.average_smaller for row in rows)


def test_languages_stand_side_by_side(run, nth):
    ja, en = run("m", 9.0, exam_accuracy_ja=0.8, exam_accuracy_en=0.9), run("m", 1.5, language="en")
    both = StudiedRun(ja.model, [*ja.conversations, *en.conversations])

    found = tables(both, run("only_ja", 5.0))

    (row,) = found["cross_lingual"].rows
    assert (row.model, row.pass_rate_ja, row.pass_rate_en, row.difference, row.n_ja, row.n_en) == ("m", 1.0, 0.0, 1.0, 12, 12)
    assert [(r.language, r.pass_rate, r.exam_accuracy, r.n) for r in found["safety_helpfulness"].rows] == [("ja", 1.0, 0.8, 12), ("en", 0.0, 0.9, 12)]


def test_table_without_its_inputs_says_what_is_missing(run):
    found = tables(run("m", 5.0))

    assert {name: sheet.empty for name, sheet in found.items() if sheet.empty} == {
        "runs": "no finished run",
        "group_tests": "no two groups of two models or more, and no two tuned models with their bases",
        "tuned_pairs": "no model has a base",
        "scale": "no family has two models with different size_b",
        "safety_helpfulness": "no model has an exam accuracy",
        "cross_lingual": "no model was run in both languages",
        "filter_families": "the study file names no filter_families",
        "filter_bias": "the study file names no filter_families",
        "source_bias": "no case's source names the family of a generator (source_families)",
    }


def test_study_without_a_finished_run_has_every_table_and_a_reason_in_each():
    found = tables()

    assert all((sheet.rows == ()) == (sheet.empty is not None) for sheet in found.values())
    assert [name for name, sheet in found.items() if sheet.rows] == ["published_models"]


def test_only_group_medical_stands_apart_in_the_filter_analysis(run):
    runs = [run("a", 8.0, family="claude"), run("b", 6.0, family="grok"), run("c", 4.0, family="claude", group="medical")]

    found = tables(*runs, filter_families=["claude"])

    assert {(row.side, row.family) for row in found["filter_families"].rows} == {("filter", "claude"), ("others", "grok"), ("medical", "claude")}
    averages = {m.model: m.average for m in found["models"].rows}
    assert {row.family: row.mean for row in found["filter_families"].rows if row.side != "medical"} == {"claude": averages["a"], "grok": averages["b"]}
    (test,) = found["filter_bias"].rows
    assert (test.n_filter, test.n_others, test.n_questions) == (1, 1, 12)
    assert test.difference == pytest.approx(test.mean_filter - test.mean_others)
    assert (test.mean_filter, test.mean_others) == (averages["a"], averages["b"])
    assert test.question_p < 0.01
    assert test.question_d_pooled > 3


def test_families_of_one_side_have_a_row_each_and_models_of_none_theirs(run):
    runs = [run("a", 8.0, family="claude"), run("b", 6.0, family="claude"), run("c", 4.0, family="qwen"), run("d", 5.0)]

    found = tables(*runs, filter_families=["claude", "qwen"])

    averages = {m.model: m.average for m in found["models"].rows}
    assert [(r.side, r.family, r.n_models, pytest.approx(r.mean)) for r in found["filter_families"].rows] == [
        ("filter", "claude", 2, (averages["a"] + averages["b"]) / 2), ("filter", "qwen", 1, averages["c"]), ("others", "none given", 1, averages["d"]),
    ]  # fmt: skip
    (test,) = found["filter_bias"].rows
    assert test.mean_filter == pytest.approx((averages["a"] + averages["b"] + averages["c"]) / 3)
    by_case = [{c.case_id: c.average for c in r.conversations} for r in runs]
    first = [sum(one[q] for one in by_case[:3]) / 3 for q in sorted(by_case[0])]
    assert test.question_d_pooled == pytest.approx(cohens_d(first, [by_case[3][q] for q in sorted(by_case[0])], "pooled"))


@pytest.mark.parametrize("family", ["claude", "qwen"])
def test_models_of_one_side_alone_show_no_bias_of_the_filter(run, family):
    found = tables(run("a", 8.0, family=family), run("b", 6.0, family=family), filter_families=["claude"])

    assert found["filter_bias"].rows == ()


def test_one_question_has_no_effect_size_and_many_have(run):
    found = [tables(run("a", 8.0, n=n, family="claude"), run("b", 6.0, n=n), filter_families=["claude"])["filter_bias"].rows[0] for n in (1, 2)]

    assert [(f.n_questions, f.question_d_pooled is None) for f in found] == [(1, True), (2, False)]


def test_families_without_questions_or_models_of_their_own_have_no_bias(run):
    runs = [run("a", 8.0, family="claude"), run("b", 6.0, family="grok")]
    cases = sorted({c.case_id for c in runs[0].conversations})
    sources = {case: ("claude", "gemini")[i % 2] for i, case in enumerate(cases[:8])}  # the last four came from nobody

    (row,) = tables(*runs, sources=sources)["source_bias"].rows

    assert (row.family, row.n_models, row.n_own, row.n_other) == ("claude", 1, 4, 4)
    nothing = tables(*runs, sources={"another": "claude"})["source_bias"]
    assert (nothing.rows, nothing.empty.startswith("no family has both")) == ((), True)


def test_appendix_e_follows_from_the_published_averages():
    """15 models of the filter families against 3: DeepSeek's two by their family mean, the only figure there is of them."""
    bias = published().filter_bias
    averages = {m.name: m.average for m in published().models}
    first = [m.average for m in published().models if m.family in bias.n_models] + [bias.family_means["deepseek"]] * 2
    second = [averages[name] for name in bias.others]

    assert len(first) == sum(bias.n_models.values()) == 15
    assert mann_whitney(first, second).p == pytest.approx(bias.model_p, abs=0.05)
    found = bootstrap_difference(first, second, seed=0)
    assert (found.low, found.high) == pytest.approx((bias.bootstrap_low, bias.bootstrap_high), abs=0.15)


def test_favour_for_questions_of_ones_own_family_is_found_whatever_the_level(run):
    """Claude's models lose two points on Claude's questions, which are the easier ones for everybody."""
    models = {"c1": ("claude", 8.0), "c2": ("claude", 6.0), "q": ("qwen", 7.0), "g": ("glm", 5.0)}
    runs = [run(name, points, n=60, family=family) for name, (family, points) in models.items()]
    cases = sorted({c.case_id for c in runs[0].conversations})
    sources = {case: "claude" if i % 2 else "qwen" for i, case in enumerate(cases)}

    def moved(c, family):
        shift = (1.0 if sources[c.case_id] == "claude" else 0.0) - (2.0 if sources[c.case_id] == family == "claude" else 0.0)
        turns = tuple(t._replace(mean=t.mean + shift) for t in c.turns)
        return Conversation(**{name: getattr(c, name) for name in c.__slots__} | {"turns": turns})

    shifted = [StudiedRun(r.model, [moved(c, r.model.family) for c in r.conversations]) for r in runs]
    sheet = tables(*shifted, sources=sources)["source_bias"]
    rows = {row.family: row for row in sheet.rows}
    assert sheet.n == 4 * 30

    # Half of the models lose 2: the question's mean takes 1 of it away, and 1 is left, on either side of it.
    assert rows["claude"].own_minus_other == pytest.approx(-1, abs=0.15)
    assert rows["claude"].p < 1e-6
    assert rows["qwen"].own_minus_other == pytest.approx(-1, abs=0.25)
    assert (rows["claude"].n_own, rows["claude"].n_other, rows["claude"].n_models) == (30, 30, 2)


def test_judges_are_correlated_over_turns_and_over_models(nth):
    rng = random.Random(0)
    runs = []
    for m in range(4):
        made = [nth(i, *[(p, max(1.0, p - 0.5)) for p in (rng.uniform(1, 10) for _ in range(3))]) for i in range(20 - 5 * m)]
        runs.append(StudiedRun(StudiedModel(id=f"x/{m}", group="open"), [Conversation.of(r) for r in made]))

    sheet = tables(*runs)["judges"]
    rows = {row.level: row for row in sheet.rows}

    assert (rows["turn"].n, rows["model"].n, sheet.n) == (3 * (20 + 15 + 10 + 5), 4, 150)
    points = [[[turn.raw[judge] for c in r.conversations for turn in c.turns] for judge in (0, 1)] for r in runs]
    means = [[sum(of_judge) / len(of_judge) for of_judge in of_run] for of_run in points]
    assert rows["model"].pearson == pytest.approx(stats.pearsonr(*zip(*means, strict=True)).statistic)
    assert 0.99 < rows["turn"].pearson < 1
    assert rows["turn"].icc_single < rows["turn"].pearson  # a constant distance lowers agreement, not correlation
