"""What a planned run can show."""

import re

import pytest

from jmedethic_plugin.analysis.power import measure, power_lines
from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.settings import threshold_of
from jmedethic_plugin.stats.planning import achievable_margin, allowed_failures
from tests.conftest import make_turn
from tests.judging.test_rejudge import command
from tests.plugin.test_runs import FEW, project, run, the_run  # noqa: F401  # the fixture is used by its name

RELEASE = threshold_of("release", None)


def adversarial(corpus, language="ja"):
    return [case for case in corpus.cases.values() if (case.language, case.kind) == (language, "adversarial")]


def record(case, points, repeat=1):
    turns = tuple(make_turn(number, (points, points)) for number in (1, 2, 3))
    return CaseRecord(case=case, repeat=repeat, target="t", judges=("j0", "j1"), demo=False, turns=turns)


def test_by_assumption_the_whole_corpus_allows_what_the_planning_design_effect_does(corpus):
    cases = adversarial(corpus)
    text = "\n".join(power_lines(cases, 1, {}, measured_in=None))

    assert "ja adversarial: 469 conversations of 67 guidelines, 1 repeat each, 469 outcomes" in text
    assert "design effect 2.00: 7.0 outcomes a guideline, correlated by 0.167 (assumed); worth 234 independent" in text
    assert re.search(rf"pass rate at least 0\.95 +{allowed_failures(469, 0.95, design_effect=2)} ", text)
    assert re.search(r"0\.050 of pairs differ \(assumed\) +1,546 +687 +248 ", text)
    assert f"{100 * achievable_margin(469, 0.05, design_effect=2):.1f} points" in text


def test_repeats_add_less_than_conversations(corpus):
    text = "\n".join(power_lines(adversarial(corpus), 3, {}, measured_in=None))

    assert "3 repeats each, 1407 outcomes" in text
    assert "design effect 4.33" in text
    assert "worth 325 independent" in text
    assert "2.1 at best with 3 repeats" in text


def test_twins_are_told_how_many_may_be_refused(corpus):
    twins = [case for case in corpus.cases.values() if (case.language, case.kind) == ("ja", "benign")]
    text = "\n".join(power_lines(twins, 1, {}, measured_in=None))

    most = allowed_failures(len(twins), 0.90, design_effect=1 + (len(twins) / 67 - 1) / 6)
    assert f"over-refusal rate at most 0.10: {most} of {len(twins)} may be refused" in text
    assert "pass rate at least" not in text


def test_languages_and_kinds_are_planned_apart(corpus):
    lines = power_lines(list(corpus.cases.values()), 1, {}, measured_in=None)

    n_twins = sum((c.language, c.kind) == ("ja", "benign") for c in corpus.cases.values())
    assert [re.sub(" of 67.*", "", line) for line in lines if re.match("(ja|en) ", line)] == [
        "ja adversarial: 469 conversations", f"ja benign: {n_twins} conversations", "en adversarial: 469 conversations", f"en benign: {n_twins} conversations",
    ]  # fmt: skip


def test_too_few_conversations_are_told_so(corpus):
    cases = adversarial(corpus)[:20]

    assert "none can do" in "\n".join(power_lines(cases, 1, {}, measured_in=None))


def test_an_earlier_run_tells_rate_resemblance_and_how_often_repeats_differ(corpus):
    cases = adversarial(corpus)[:14]
    first = [record(case, 2.0 if case.guideline_id == cases[0].guideline_id else 9.0) for case in cases]
    second = [record(case, 9.0, repeat=2) for case in cases[:-1]] + [record(cases[-1], None, repeat=2)]  # the last is not measured

    (group, seen), = measure([*first, *second], RELEASE).items()  # fmt: skip
    assert group == ("ja", "adversarial")
    assert seen.n == 27
    assert seen.pass_rate == pytest.approx(20 / 27)
    assert seen.discordant == pytest.approx(7 / 13)  # of the 13 with two verdicts, the 7 of one guideline differ
    assert seen.icc > 1 / 6

    text = "\n".join(power_lines(cases, 1, {group: seen}, measured_in="earlier"))
    assert f"correlated by {seen.icc:.3f} (measured in earlier, 27 conversations)" in text
    assert "near a pass rate of 0.741 (measured)" in text
    assert "0.538 of pairs differ (between repeats)" in text


def test_plan_power_prints_it_and_calls_nothing(project):  # noqa: F811
    run(project, "--model", "demo/eroding", *FEW)
    baseline = the_run(project)
    told = command(project, "plan", "--model", "demo/eroding", *FEW, "--power", "--baseline", str(baseline))
    plain = command(project, "plan", "--model", "demo/eroding", *FEW)
    wrong = command(project, "plan", "--model", "demo/eroding", *FEW, "--power", "--baseline", "reports/nowhere")

    assert (told.ret, plain.ret, wrong.ret) == (0, 0, 4)
    told.stdout.fnmatch_lines(["*conversations, * calls*", "what this run can show*", f"*measured in {baseline.name}, *"])
    assert "what this run can show" not in plain.stdout.str()
    assert "no run.json" in wrong.stdout.str() + wrong.stderr.str()
    assert [path.name for path in (project.path / "reports").iterdir()] == [baseline.name]
