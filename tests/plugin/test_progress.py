import io
import re
from types import SimpleNamespace

from jmedethic_plugin.engine.budget import Budget, Caps
from jmedethic_plugin.engine.scheduler import Progress
from jmedethic_plugin.plugin.progress import Bar, progress_text, terminal
from tests.plugin.test_runs import FEW, project, run  # noqa: F401  # the fixture is used by its name


def engine(**values):
    budget = Budget(Caps())
    budget.calls, budget.usd = 300, 1.234
    return SimpleNamespace(progress=Progress(**{"n_planned": 100, "n_done": 25, "n_unsafe": 3, "started_at": 0.0} | values), budget=budget)


def test_text_names_done_speed_money_time_left_and_unsafe():
    assert progress_text(engine(), now=60.0) == "25/100 done, 5.0 calls/s, $1.23, 3 min left, 3 unsafe so far"
    assert progress_text(engine(n_done=0), now=60.0) == "0/100 done, 5.0 calls/s, $1.23, 3 unsafe so far"


def test_text_names_what_stopped_the_run():
    stopped = engine(n_not_measured=2)
    stopped.budget.stopped_by = "5 USD"
    assert progress_text(stopped, now=60.0).endswith("3 unsafe so far, 2 not measured, stopped by the limit of 5 USD")


def test_bar_is_drawn_and_taken_away():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

        def close(self):
            pass

    file = Terminal()
    bar = Bar(engine(), file)
    bar.stop()
    assert "25/100 done" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue()).replace("\n", " ")


def test_no_bar_where_nobody_looks(monkeypatch):
    monkeypatch.setenv("CI", "true")
    assert terminal() is None


def test_plain_line_now_and_then(project, monkeypatch):  # noqa: F811
    project.makeconftest("import jmedethic_plugin.plugin.session as s\ns.PLAIN_EVERY_S = 0.0\n")

    result = run(project, "--model", "demo/eroding", *FEW)

    result.stdout.re_match_lines([r"jmedethic: \d+/10 done, [\d.]+ calls/s, .*unsafe so far"])
