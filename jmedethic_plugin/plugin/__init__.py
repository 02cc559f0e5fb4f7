"""The pytest plugin: options, parametrization, xdist, fixtures, summary. Thin; asleep unless a target model is named.

Only the controller (or the one process without xdist) opens a run: it loads the corpus, holds the engine and the ledger. Workers get the
ids of the selected cases and the engine's address, load no corpus, import no LiteLLM and see no key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jmedethic_plugin.core.base import LANGUAGES
from jmedethic_plugin.core.case import KINDS, Case, kind_of
from jmedethic_plugin.core.exam import ExamItem
from jmedethic_plugin.core.record import CaseRecord, Record
from jmedethic_plugin.core.threshold import PROFILES, Threshold
from jmedethic_plugin.errors import ConfigError, JMedEthicError
from jmedethic_plugin.plugin.session import ControllerSession, RunSession, WorkerSession

if TYPE_CHECKING:
    from jmedethic_plugin.settings import Settings

SESSION = pytest.StashKey[RunSession]()
NO_MODEL_SEEN = pytest.StashKey[bool]()

# The engine's thread shares the process-wide warning filters of whatever test runs beside it: a filter "error" would turn a
# notice inside a provider's client into a failed call.
ENGINE_WARNINGS = (
    "ignore:::litellm",
    "ignore:::pydantic",
    "ignore:::openai",
    "ignore:::aiohttp",
    "ignore::ResourceWarning",
)

_ENDS_OF_A_RUN = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
"""A gate decides about these; a run that was interrupted or broke down keeps pytest's own code, which is never 0."""

NO_MODEL = (
    "no target model: these cases talk to a model, and none is chosen by default. Write for example\n"
    "  pytest --model demo/steadfast                                  (offline demonstration)\n"
    "  pytest --model openai/MODEL --judge ID --judge ID -n 16        (calls providers and costs money)"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of a run."""
    group = parser.getgroup("jmedethic", "JMedEthic: medical-ethics release gate")
    add = group.addoption
    add(
        "--model",
        dest="jmedethic_model",
        metavar="ID",
        help="target: a LiteLLM model id, or demo/steadfast|eroding|compliant|overcautious",
    )
    add(
        "--judge",
        dest="jmedethic_judges",
        metavar="ID",
        action="append",
        help="judge model; give it twice (ini: jmedethic_judges)",
    )
    add("--third-judge", dest="jmedethic_third", metavar="ID", help="judge heard where the two disagree (ini: jmedethic_third_judge)")
    add(
        "--fallback-judge",
        dest="jmedethic_fallback",
        metavar="ID",
        help="judge heard in the place of one whose reply cannot be used, e.g. because it refuses (ini: jmedethic_fallback_judge)",
    )
    add(
        "--family",
        dest="jmedethic_families",
        metavar="MODEL=FAMILY",
        action="append",
        default=[],
        help="family (base model or vendor) of a model whose name does not tell it; may repeat",
    )
    add("--judge-card", dest="jmedethic_card", metavar="FILE", help="card.json of these judges, from jmedethic judge qualify")
    add(
        "--sentinels",
        dest="jmedethic_sentinels",
        metavar="N",
        type=int,
        help="answers with a known label, mixed in to watch the judges (default: 20 and 2 %% of the turns from 100 conversations on; 0: none)",
    )
    add(
        "--allow-related-judges",
        dest="jmedethic_allow_related",
        action="store_true",
        help="start although a judge is of the target's or the other judge's family; every report says so",
    )
    add(
        "--allow-alias",
        dest="jmedethic_allow_alias",
        action="store_true",
        help="start although a judge's id names no dated snapshot; every report says so",
    )
    add(
        "--lang",
        dest="jmedethic_lang",
        choices=[*LANGUAGES, "both"],
        help="language of the cases (default: ja)",
    )
    add(
        "--guideline",
        dest="jmedethic_guidelines",
        metavar="ID",
        action="append",
        help="only this guideline (B11) or category (B); may repeat",
    )
    add(
        "--strategy",
        dest="jmedethic_strategies",
        metavar="ID",
        action="append",
        help="only this strategy, without twins; may repeat",
    )
    add(
        "--sample",
        dest="jmedethic_sample",
        metavar="N",
        type=int,
        help="draw N scenes, spread over strategies and guidelines",
    )
    add("--sample-seed", dest="jmedethic_seed", metavar="N", type=int, help="seed of --sample (default: 0)")
    add("--api-base", dest="jmedethic_api_base", metavar="URL", help="OpenAI-compatible address of the target")
    add(
        "--judge-api-base",
        dest="jmedethic_judge_api_base",
        metavar="URL",
        help="OpenAI-compatible address of both judges",
    )
    add(
        "--served-as",
        dest="jmedethic_served_as",
        metavar="NAME",
        help="name under which the endpoint reports the target",
    )
    add("--system-prompt", dest="jmedethic_system_prompt", metavar="FILE", help="system prompt of the target")
    add(
        "--temperature",
        dest="jmedethic_temperature",
        metavar="T",
        type=float,
        help="sampling temperature of the target",
    )
    add(
        "--max-tokens",
        dest="jmedethic_max_tokens",
        metavar="N",
        type=int,
        default=2048,
        help="token limit of a reply (default: 2048)",
    )
    add("--gate", dest="jmedethic_gate", metavar="FILE", help="decide by this gate file: exit 0 PASS, 1 FAIL, 6 INCONCLUSIVE")
    add(
        "--baseline",
        dest="jmedethic_baseline",
        metavar="RUN",
        help="earlier run under reports that the gate compares with; --power takes its resemblance within guidelines",
    )
    add(
        "--candidate",
        dest="jmedethic_candidate",
        metavar="NAME",
        help="version of the target under test; gated runs of one candidate count together",
    )
    add(
        "--judge-temperature",
        dest="jmedethic_judge_temperature",
        metavar="T",
        help="sampling temperature of the judges, or 'default' for models that take none (default: 0)",
    )
    add(
        "--judge-max-tokens",
        dest="jmedethic_judge_max_tokens",
        metavar="N",
        type=int,
        help="token limit of a judge's reply, its thoughts included; twice as much when asked again after running out (default: 1024)",
    )
    add(
        "--profile",
        dest="jmedethic_profile",
        choices=sorted(PROFILES),
        help="threshold profile (default: release)",
    )
    add(
        "--min-points",
        dest="jmedethic_min_points",
        metavar="P",
        type=float,
        help="instead of a profile: every judge at least P on every turn",
    )
    add(
        "--blocked",
        dest="jmedethic_blocked",
        choices=["not_measured", "safe"],
        help="what a turn stopped by the provider's filter counts as (default: not_measured, which is red; both rates are reported)",
    )
    add("--repeats", dest="jmedethic_repeats", metavar="K", type=int, help="play every case K times (default: 1)")
    add(
        "--shard",
        dest="jmedethic_shard",
        metavar="I/N",
        help="play part I of N, by a stable hash of the case; join the parts with jmedethic merge",
    )
    add(
        "--cases",
        dest="jmedethic_case_files",
        metavar="FILE",
        action="append",
        help="play the cases of this JSONL set instead of the corpus; may repeat",
    )
    add(
        "--strategies",
        dest="jmedethic_strategy_file",
        metavar="FILE",
        help="strategies of that set beside the catalogue's, as jmedethic generate strategies writes them",
    )
    add(
        "--exam",
        dest="jmedethic_exam_files",
        metavar="FILE",
        action="append",
        help="also ask the text-only questions of this exam (docs/exam.md); may repeat",
    )
    add(
        "--max-in-flight",
        dest="jmedethic_max_in_flight",
        metavar="N",
        type=int,
        help="calls open at once, all workers (default: by provider)",
    )
    add("--rpm", dest="jmedethic_rpm", metavar="MODEL=N", action="append", default=[], help="requests a minute of a model; may repeat")
    add("--tpm", dest="jmedethic_tpm", metavar="MODEL=N", action="append", default=[], help="tokens a minute of a model; may repeat")
    add("--budget-usd", dest="jmedethic_usd", metavar="USD", type=float, help="stop before more is spent in this sitting")
    add("--max-calls", dest="jmedethic_calls", metavar="N", type=int, help="stop before more calls are made in this sitting")
    add("--max-tokens-total", dest="jmedethic_tokens", metavar="N", type=int, help="stop before more tokens are used in this sitting")
    add("--max-minutes", dest="jmedethic_minutes", metavar="M", type=float, help="start no call after this time")
    add(
        "--price",
        dest="jmedethic_prices",
        metavar="MODEL=IN,OUT",
        action="append",
        default=[],
        help="US dollars for a million prompt and completion tokens of a model; may repeat",
    )
    add(
        "--plan",
        dest="jmedethic_plan",
        action="append_const",
        const="cost",
        default=[],
        help="print calls, tokens, money and time of this run, and end without a call",
    )
    add("--power", dest="jmedethic_plan", action="append_const", const="power", help="as --plan, and what the run will be able to show")
    add(
        "--call-timeout",
        dest="jmedethic_timeout_s",
        metavar="S",
        type=float,
        default=120.0,
        help="limit for one try of a call (default: 120)",
    )
    add(
        "--case-timeout",
        dest="jmedethic_conversation_s",
        metavar="S",
        type=float,
        default=1800.0,
        help="limit for the time a conversation's calls are open or waiting for another try (default: 1800)",
    )
    add("--reports-dir", dest="jmedethic_reports", metavar="DIR", help="where run folders are made (default: reports)")
    add(
        "--ledger",
        dest="jmedethic_ledger",
        metavar="URL",
        help="shared ledger, postgresql+psycopg://... (default: a SQLite file in the run's folder)",
    )
    add("--run-id", dest="jmedethic_run_id", metavar="ID", help="name of a new run (default: time and model); shards of one run share it")
    add(
        "--show-text",
        dest="jmedethic_show_text",
        action="store_true",
        help="print the failed conversations word by word at the end; they may be harmful, and a CI log keeps them",
    )
    add("--resume", dest="jmedethic_resume", metavar="RUN", help="go on with this run: pay only for what is missing")
    parser.addini("jmedethic_judges", "judge models, one a line", type="linelist", default=[])
    parser.addini("jmedethic_third_judge", "judge heard where the two disagree", default="")
    parser.addini("jmedethic_fallback_judge", "judge heard in the place of one whose reply cannot be used", default="")


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """No more workers than processors, unless ``--maxprocesses`` says otherwise: items only wait, each worker costs memory and start time."""
    model = config.getoption("jmedethic_model")
    if model and getattr(config.option, "numprocesses", None) and not config.option.maxprocesses:
        from jmedethic_plugin.engine.fixture_target import is_fixture_id

        if not is_fixture_id(model):  # there the workers hold the target
            config.option.maxprocesses = max(2, _processors())
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Open the run, or connect to it."""
    for kind in KINDS:
        config.addinivalue_line(
            "markers",
            f"{kind}: an {kind} medical-ethics conversation" if kind == "adversarial" else f"{kind}: a benign twin",
        )
    config.addinivalue_line("markers", "exam: an exam question (--exam)")
    if (handed_over := getattr(config, "workerinput", {}).get("jmedethic")) is not None:
        config.stash[SESSION] = WorkerSession(handed_over)
    elif config.getoption("jmedethic_model") and not hasattr(config, "workerinput") and not config.option.help:
        with _usage_errors():
            run = config.stash[SESSION] = ControllerSession(_settings(config), eager=config.getoption("maxfail") != 1)
            config.pluginmanager.register(_ProgressLines(config, run))
    if SESSION in config.stash:
        for line in ENGINE_WARNINGS:
            config.addinivalue_line("filterwarnings", line)
    if SESSION in config.stash and config.args_source in (
        pytest.Config.ArgsSource.TESTPATHS,
        pytest.Config.ArgsSource.INVOCATION_DIR,
    ):
        config.args = [str(config.stash[SESSION].default_tests)]  # `pytest --model X` means the cases, not the suite's own tests


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One item per case and exam question."""
    if "case" not in metafunc.fixturenames:
        return
    session = metafunc.config.stash.get(SESSION, None)
    if session is None and hasattr(metafunc.config, "workerinput"):
        raise pytest.Collector.CollectError(NO_MODEL)
    if session is None:
        metafunc.config.stash[NO_MODEL_SEEN] = True
        metafunc.parametrize("case", [])
        return
    params = [pytest.param(i, id=i, marks=getattr(pytest.mark, kind_of(i))) for i in session.item_ids]
    metafunc.parametrize("case", params, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """Cases without a target are a mistake in the command."""
    if config.stash.get(NO_MODEL_SEEN, False) and not config.option.collectonly:
        raise pytest.UsageError(NO_MODEL)


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case | ExamItem:
    """The case of this item, or the exam question without its text."""
    record: Record = request.getfixturevalue("judged").record
    return record.case if isinstance(record, CaseRecord) else record.item


@pytest.fixture(scope="session")
def target() -> Any:
    """Override this in ``conftest.py`` to test a product: return an async function ``messages -> text``, or the URL of an OpenAI-compatible server.

    Then run with ``--model fixture/NAME``; see docs/other-targets.md.
    """
    return None


@pytest.fixture
def judged(request: pytest.FixtureRequest, target: Any) -> JudgedCase:
    """The finished conversation of this item with its verdicts; waits for the engine."""
    session = request.config.stash[SESSION]
    session.provide_target(target)
    record = session.result(request.node.callspec.params["case"])
    place = session.record_place if isinstance(record, CaseRecord) else str(Path(session.record_place).with_name("exam.jsonl"))
    return JudgedCase(record, session.threshold, place)


class JudgedCase:
    """A finished conversation or answered exam question, ready to be asserted on."""

    def __init__(self, record: Record, threshold: Threshold, place: str) -> None:
        self.record = record
        self.threshold = threshold
        self._place = place

    def require(self) -> None:
        """Raise `ThresholdFailure` when the case is below the bar, `NotMeasuredError` when it could not be measured."""
        __tracebackhide__ = True
        self.record.require(self.threshold, where=self._place)

    def __repr__(self) -> str:
        return f"JudgedCase({self.record.case_id!r})"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Under Allure: the turns as steps of the test itself; steps made in a fixture would be hidden in its set-up. For JUnit XML: properties."""
    judged, option = pyfuncitem.funcargs.get("judged"), pyfuncitem.config.getoption
    if isinstance(judged, JudgedCase) and option("allure_report_dir", None):
        from jmedethic_plugin.reporting.allure import report_case

        report_case(judged.record, judged.threshold, pyfuncitem.config.stash[SESSION].banners)
    if isinstance(judged, JudgedCase) and option("xmlpath", None):
        from jmedethic_plugin.reporting.ci import junit_properties

        pyfuncitem.user_properties += junit_properties(judged.record, judged.threshold)
    return (yield)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Without xdist: the selected items are the plan."""
    run = session.config.stash.get(SESSION, None)
    if isinstance(run, ControllerSession) and not _distributes(session.config) and not session.config.option.collectonly:
        asking = [item for item in session.items if "case" in getattr(getattr(item, "callspec", None), "params", ())]
        run.plan([item.callspec.params["case"] for item in asking], asking[0].nodeid.partition("[")[0] if asking else None)  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Under xdist: hand ids and address to a worker."""
    run = node.config.stash.get(SESSION, None)
    if isinstance(run, ControllerSession) and not node.config.option.collectonly:
        node.workerinput["jmedethic"] = run.hand_over()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Under xdist: what the first worker selected is the plan."""
    run = node.config.stash.get(SESSION, None)
    if isinstance(run, ControllerSession):
        asking = [m for i in ids if (m := re.search(r"^(.*)\[([^\[\]]+)\]$", i))]
        run.plan([m[2] for m in asking], asking[0][1] if asking else None)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """The models must be usable, or nothing is called. Before xdist starts its workers: they would slow the import of LiteLLM threefold."""
    run = session.config.stash.get(SESSION, None)
    if isinstance(run, ControllerSession) and not session.config.option.collectonly and not session.config.getoption("jmedethic_plan"):
        with _usage_errors():
            run.prepare()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """With ``--plan``: what the run would take, and no item."""
    run = session.config.stash.get(SESSION, None)
    if not isinstance(run, ControllerSession) or not session.config.getoption("jmedethic_plan"):
        return None
    with _usage_errors():
        lines = run.power_lines() if "power" in session.config.getoption("jmedethic_plan") else []
        for line in [*run.plan_lines(), *lines]:
            session.config.get_terminal_writer().line(line)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the engine, write the reports, let the gate decide; first, because on Ctrl-C xdist waits for its workers and they for the engine."""
    if (run := session.config.stash.get(SESSION, None)) is not None:
        run.finish()
        if isinstance(run, ControllerSession):
            allure = session.config.getoption("allure_report_dir", None)
            run.write_faces(Path(allure) if allure else None)
        if isinstance(run, ControllerSession) and run.exit_code is not None and session.exitstatus in _ENDS_OF_A_RUN:
            session.exitstatus = run.exit_code


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """No dots below a progress bar."""
    run = config.stash.get(SESSION, None)
    if isinstance(run, ControllerSession) and run.bar is not None and isinstance(report, pytest.TestReport) and report.when == "call":
        return report.outcome, "", ""
    return None


class _ProgressLines:
    """Without a bar: a line now and then."""

    def __init__(self, config: pytest.Config, run: ControllerSession) -> None:
        self._config = config
        self._run = run

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        """After an item."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and (line := self._run.progress_line()) is not None:
            reporter.ensure_newline()
            reporter.write_line(line)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is being measured with what."""
    run = config.stash.get(SESSION, None)
    lines = run.header() if run is not None else []
    asked, made = getattr(config.option, "numprocesses", None) or 0, len(getattr(config.option, "tx", None) or ())
    if isinstance(run, ControllerSession) and made < asked:
        lines.append(
            f"jmedethic: {made} workers instead of {asked}, as many as processors: they only wait, the engine has up to "
            f"{run.run.settings.limits.max_in_flight} calls open (--maxprocesses {asked} starts them all)"
        )
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The tables of the run."""
    run = config.stash.get(SESSION, None)
    if isinstance(run, ControllerSession) and (lines := run.summary(show_text=config.getoption("jmedethic_show_text"))):
        terminalreporter.section("medical ethics")
        for line in lines:
            terminalreporter.line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Whatever happened, no thread and no socket stays."""
    if (run := config.stash.get(SESSION, None)) is not None:
        run.finish()


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _distributes(config: pytest.Config) -> bool:
    return bool(config.getoption("tx", None)) or config.getoption("dist", "no") != "no"


class _usage_errors:  # noqa: N801  # used like a function
    """A wrong option or file is the user's to mend: pytest's usage error, without a traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, traceback: object) -> None:
        if isinstance(exc, JMedEthicError):
            raise pytest.UsageError(str(exc)) from exc


def _settings(config: pytest.Config) -> Settings:
    from jmedethic_plugin.corpus.gatefile import load_gate
    from jmedethic_plugin.corpus.loading import corpus_root
    from jmedethic_plugin.engine.budget import Caps
    from jmedethic_plugin.engine.ports import Sampling
    from jmedethic_plugin.engine.scheduler import Limits
    from jmedethic_plugin.settings import (
        Settings,
        default_in_flight,
        default_judges,
        families_of,
        fixed_by,
        judge_sampling_of,
        prices_of,
        rates_of,
        shard_of,
        threshold_of,
    )

    option = config.getoption
    prompt_file = option("jmedethic_system_prompt")
    try:
        system_prompt = None if prompt_file is None else Path(prompt_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"--system-prompt {prompt_file!r}: unreadable ({exc}); expected a UTF-8 text file.") from exc
    gate = load_gate(Path(option("jmedethic_gate"))) if option("jmedethic_gate") else None
    baseline = Path(option("jmedethic_baseline")).name if option("jmedethic_baseline") else None
    if gate is None and (option("jmedethic_candidate") or (baseline is not None and "power" not in option("jmedethic_plan", []))):
        raise ConfigError("--baseline and --candidate say something to a gate only (--baseline also to --power); add --gate FILE.")
    rule = None if gate is None else gate.measurement
    repeats = option("jmedethic_repeats") if option("jmedethic_repeats") is not None else 1 if rule is None else rule.repeats
    if rule is not None and repeats < rule.repeats:
        raise ConfigError(f"--repeats {repeats}: the gate needs at least {rule.repeats}.")
    if gate is not None and option("jmedethic_min_points") is not None:
        raise ConfigError(f"--min-points: the gate {gate.name!r} fixes the profile {gate.measurement.profile}. Leave the option out.")
    languages = None if rule is None else rule.languages[0] if len(rule.languages) == 1 else "both"
    lang = option("jmedethic_lang") or languages or "ja"
    if lang != "both" and languages not in (None, lang):
        raise ConfigError(f"--lang {lang}: the gate needs {languages}.")
    model = option("jmedethic_model")
    given = tuple(option("jmedethic_judges") or config.getini("jmedethic_judges"))
    judges, third = default_judges(model, given, option("jmedethic_third") or config.getini("jmedethic_third_judge") or None)
    return Settings(
        root=corpus_root(config.rootpath),
        model=model,
        judges=judges,
        third_judge=third,
        fallback_judge=option("jmedethic_fallback") or config.getini("jmedethic_fallback_judge") or None,
        families=families_of(option("jmedethic_families")),
        judge_card=Path(option("jmedethic_card")) if option("jmedethic_card") else None,
        sentinels=option("jmedethic_sentinels"),
        allow_related_judges=option("jmedethic_allow_related"),
        allow_alias=option("jmedethic_allow_alias"),
        gate=gate,
        baseline=baseline,
        candidate=option("jmedethic_candidate"),
        lang=lang,
        guidelines=tuple(option("jmedethic_guidelines") or ()),
        strategies=tuple(option("jmedethic_strategies") or ()),
        sample=fixed_by(gate, "--sample", option("jmedethic_sample"), rule and rule.sample, None),
        seed=fixed_by(gate, "--sample-seed", option("jmedethic_seed"), rule and rule.seed, 0),
        api_base=option("jmedethic_api_base"),
        judge_api_base=option("jmedethic_judge_api_base"),
        served_as=option("jmedethic_served_as"),
        system_prompt=system_prompt,
        target_sampling=Sampling(temperature=option("jmedethic_temperature"), max_tokens=option("jmedethic_max_tokens")),
        judge_sampling=judge_sampling_of(option("jmedethic_judge_temperature"), option("jmedethic_judge_max_tokens")),
        threshold=threshold_of(
            fixed_by(gate, "--profile", option("jmedethic_profile"), rule and rule.profile, "release"),
            option("jmedethic_min_points"),
            fixed_by(gate, "--blocked", option("jmedethic_blocked"), None if gate is None else gate.threshold.blocked, "not_measured"),
        ),
        limits=Limits(
            max_in_flight=option("jmedethic_max_in_flight") or default_in_flight(model, judges, option("jmedethic_api_base")),
            caps=Caps(
                usd=option("jmedethic_usd"),
                calls=option("jmedethic_calls"),
                tokens=option("jmedethic_tokens"),
                minutes=option("jmedethic_minutes"),
            ),
            rates=rates_of(option("jmedethic_rpm"), option("jmedethic_tpm")),
            conversation_s=option("jmedethic_conversation_s"),
        ),
        prices=prices_of(option("jmedethic_prices")),
        repeats=repeats,
        shard=shard_of(option("jmedethic_shard")),
        case_files=tuple(Path(f) for f in option("jmedethic_case_files") or ()),
        strategy_file=Path(option("jmedethic_strategy_file")) if option("jmedethic_strategy_file") else None,
        exam_files=tuple(Path(f) for f in option("jmedethic_exam_files") or ()),
        ledger=option("jmedethic_ledger") or os.environ.get("JMEDETHIC_LEDGER"),
        run_id=option("jmedethic_run_id"),
        timeout_s=option("jmedethic_timeout_s"),
        reports=Path(option("jmedethic_reports") or config.rootpath / "reports"),
        resume=option("jmedethic_resume"),
    )
