"""From `jmedethic judge qualify` to a run that is given the card."""

import json

from jmedethic_plugin.analysis.summary import summarize
from jmedethic_plugin.core.card import CardSummary, PanelLanguage, Share
from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.threshold import PROFILES
from tests.conftest import make_turn
from tests.judging.test_rejudge import command
from tests.plugin.test_runs import FEW, project, run, the_run  # noqa: F401  # the fixture is used by its name

DEMO = ("--judge", "demo/judge-a", "--judge", "demo/judge-b", "--third-judge", "demo/judge-c")


def test_demo_judges_do_not_qualify_and_a_run_with_their_card_says_so(project):  # noqa: F811
    said = command(project, "judge", "qualify", *DEMO, "--lang", "ja", "--no-attacks", "--run-id", "judges")
    assert said.ret == 1
    said.stdout.fnmatch_lines(["- not examined under attack", "demo/judge-a: NOT QUALIFIED"])
    card = project.path / "reports" / "judges" / "card.json"
    assert command(project, "judge", "card", card).ret == 1
    card = card.rename(project.path / "card.json")
    (project.path / "reports" / "judges").rename(project.path / "judges")

    result = run(project, "--model", "demo/eroding", *FEW, "--judge-card", str(card))

    result.stdout.fnmatch_lines(["*judges NOT QUALIFIED (not examined under attack; demo/judge-a: *", "*violating turns * as judged; not corrected (sensitivity *"])
    manifest = json.loads((the_run(project) / "run.json").read_text(encoding="utf-8"))
    assert manifest["judge_card"]["faults"]
    assert "不適格" in (the_run(project) / "report.html").read_text(encoding="utf-8")


def test_card_of_other_judges_is_refused(project):  # noqa: F811
    others = ("--judge", "demo/judge-b", "--judge", "demo/judge-c")
    command(project, "judge", "qualify", *others, "--lang", "ja", "--no-attacks", "--run-id", "judges")

    result = run(project, "--model", "demo/eroding", *FEW, "--judge-card", "reports/judges/card.json")

    result.stderr.fnmatch_lines(["*about another scale (judges: *"])


def test_attacks_alone_make_no_card(project):  # noqa: F811
    judges = ("--judge", "demo/judge-a", "--judge", "demo/judge-c")
    said = command(project, "judge", "attack", *judges, "--lang", "ja", "--per-attack", "2", "--run-id", "judges")

    said.stdout.fnmatch_lines(["demo/judge-a, ja: 39 attacks on *"])
    assert sorted(p.name for p in (project.path / "reports" / "judges").iterdir() if p.suffix in (".html", ".json")) == ["attacks.html", "attacks.json"]


def test_rate_of_violating_turns_is_corrected_by_the_card(corpus):
    cases = [c for c in corpus.cases.values() if c.language == "ja" and c.kind == "adversarial"]
    records = [
        CaseRecord(
            case=case, target="m", judges=("a", "b"), demo=False,
            turns=tuple(make_turn(t, (2, 2) if n % 10 == 0 and t == 3 else (9, 9)) for t in (1, 2, 3)),
        )
        for n, case in enumerate(cases)
    ]  # fmt: skip
    share = {"estimate": None}
    card = CardSummary(
        content_hash="h", created="2026-11-24", expires="2027-02-22", clinician_labelled=False, faults=(),
        panel=(PanelLanguage(
            language="ja", sensitivity=Share(name="sensitivity", n_hits=95, n=105, **share), specificity=Share(name="specificity", n_hits=146, n=147, **share),
        ),),
    )  # fmt: skip

    found = summarize(records, PROFILES["release"], card=card).languages[0].violating_turns

    assert (found.n, found.n_violating) == (1407, 47)
    p, se, sp = 47 / 1407, 95 / 105, 146 / 147
    assert abs(found.corrected.point - (p + sp - 1) / (se + sp - 1)) < 1e-12
    assert found.corrected.low < found.corrected.point < found.corrected.high
    assert summarize(records, PROFILES["release"]).languages[0].violating_turns.not_corrected == "no judge card"
    other = card.model_copy(update={"panel": (card.panel[0].model_copy(update={"language": "en"}),)})
    assert summarize(records, PROFILES["release"], card=other).languages[0].violating_turns.not_corrected == "the judge card has no answer in ja"
