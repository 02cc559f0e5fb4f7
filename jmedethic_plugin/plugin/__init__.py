"""The pytest plugin: options, parametrization, xdist, fixtures, summary. Thin; asleep unless a target model is named.

Only the controller (or the one process without xdist) opens a run: it loads the corpus, holds the engine and the ledger. Workers get the
ids of the selected cases and the engine's address, load no corpus, import no LiteLLM and see no key.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jmedethic_plugin.core.base import LANGUAGES
from jmedethic_plugin.core.case import KINDS, Case, kind_of
from jmedethic_plugin.core.record import CaseRecord
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
    add(
        "--lang",
        dest="jmedethic_lang",
        choices=[*LANGUAGES, "both"],
        default="ja",
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
    add("--sample-seed", dest="jmedethic_seed", metavar="N", type=int, default=0, help="seed of --sample (default: 0)")
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
    add(
        "--profile",
        dest="jmedethic_profile",
        choices=sorted(PROFILES),
        default="release",
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
        "--max-in-flight",
        dest="jmedethic_max_in_flight",
        metavar="N",
        type=int,
        default=32,
        help="calls open at once, all workers (default: 32)",
    )
    add(
        "--call-timeout",
        dest="jmedethic_timeout_s",
        metavar="S",
        type=float,
        default=120.0,
        help="limit for one call in seconds (default: 120)",
    )
    add("--reports-dir", dest="jmedethic_reports", metavar="DIR", help="where run folders are made (default: reports)")
    add("--resume", dest="jmedethic_resume", metavar="RUN", help="go on with a run: pay only for what is missing")
    parser.addini("jmedethic_judges", "judge models, one a line", type="linelist", default=[])


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Open the run, or connect to it."""
    for kind in KINDS:
        config.addinivalue_line(
            "markers",
            f"{kind}: an {kind} medical-ethics conversation" if kind == "adversarial" else f"{kind}: a benign twin",
        )
    if (handed_over := getattr(config, "workerinput", {}).get("jmedethic")) is not None:
        config.stash[SESSION] = WorkerSession(handed_over)
    elif config.getoption("jmedethic_model") and not hasattr(config, "workerinput") and not config.option.help:
        with _usage_errors():
            config.stash[SESSION] = ControllerSession(_settings(config), eager=config.getoption("maxfail") != 1)
    if SESSION in config.stash:
        for line in ENGINE_WARNINGS:
            config.addinivalue_line("filterwarnings", line)
    if SESSION in config.stash and config.args_source in (
        pytest.Config.ArgsSource.TESTPATHS,
        pytest.Config.ArgsSource.INVOCATION_DIR,
    ):
        config.args = [str(config.stash[SESSION].default_tests)]  # `pytest --model X` means the cases, not the suite's own tests


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One item per case."""
    if "case" not in metafunc.fixturenames:
        return
    session = metafunc.config.stash.get(SESSION, None)
    if session is None and hasattr(metafunc.config, "workerinput"):
        raise pytest.Collector.CollectError(NO_MODEL)
    if session is None:
        metafunc.config.stash[NO_MODEL_SEEN] = True
        metafunc.parametrize("case", [])
        return
    params = [pytest.param(i, id=i, marks=getattr(pytest.mark, kind_of(i))) for i in session.case_ids]
    metafunc.parametrize("case", params, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """Cases without a target are a mistake in the command."""
    if config.stash.get(NO_MODEL_SEEN, False) and not config.option.collectonly:
        raise pytest.UsageError(NO_MODEL)


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """The case of this item."""
    record: CaseRecord = request.getfixturevalue("judged").record
    return record.case


@pytest.fixture
def judged(request: pytest.FixtureRequest) -> JudgedCase:
    """The finished conversation of this item with its verdicts; waits for the engine."""
    session = request.config.stash[SESSION]
    record = session.result(request.node.callspec.params["case"])
    return JudgedCase(record, session.threshold, session.record_place)


class JudgedCase:
    """A finished conversation, ready to be asserted on."""

    def __init__(self, record: CaseRecord, threshold: Threshold, place: str) -> None:
        self.record = record
        self.threshold = threshold
        self._place = place

    def require(self) -> None:
        """Raise `ThresholdFailure` when the case is below the bar, `NotMeasuredError` when it could not be measured."""
        __tracebackhide__ = True
        self.record.require(self.threshold, where=self._place)

    def __repr__(self) -> str:
        return f"JudgedCase({self.record.case.id!r})"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Under Allure: the turns as steps of the test itself; steps made in a fixture would be hidden in its set-up."""
    judged = pyfuncitem.funcargs.get("judged")
    if isinstance(judged, JudgedCase) and pyfuncitem.config.getoption("allure_report_dir", None):
        from jmedethic_plugin.reporting.allure import report_case

        report_case(judged.record, judged.threshold)
    return (yield)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Without xdist: the selected items are the plan."""
    run = session.config.stash.get(SESSION, None)
    if isinstance(run, ControllerSession) and not _distributes(session.config) and not session.config.option.collectonly:
        callspecs: list[Any] = [getattr(item, "callspec", None) for item in session.items]
        run.plan([spec.params["case"] for spec in callspecs if spec is not None and "case" in spec.params])


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
        run.plan([m[1] for i in ids if (m := re.search(r"\[([^\[\]]+)\]$", i))])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    """Before the first item: the models must be usable, or nothing is called."""
    run = session.config.stash.get(SESSION, None)
    if isinstance(run, ControllerSession) and not session.config.option.collectonly:
        with _usage_errors():
            run.prepare()
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the engine and write the reports; first, because on Ctrl-C xdist waits for its workers and they for the engine."""
    if (run := session.config.stash.get(SESSION, None)) is not None:
        run.finish()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is being measured with what."""
    run = config.stash.get(SESSION, None)
    return run.header() if run is not None else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The tables of the run."""
    run = config.stash.get(SESSION, None)
    if isinstance(run, ControllerSession) and (lines := run.summary()):
        terminalreporter.section("medical ethics")
        for line in lines:
            terminalreporter.line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Whatever happened, no thread and no socket stays."""
    if (run := config.stash.get(SESSION, None)) is not None:
        run.finish()


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
    from jmedethic_plugin.corpus.loading import corpus_root
    from jmedethic_plugin.engine.ports import Sampling
    from jmedethic_plugin.settings import Settings, default_judges, threshold_of

    option = config.getoption
    prompt_file = option("jmedethic_system_prompt")
    try:
        system_prompt = None if prompt_file is None else Path(prompt_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"--system-prompt {prompt_file!r}: unreadable ({exc}); expected a UTF-8 text file.") from exc
    model = option("jmedethic_model")
    return Settings(
        root=corpus_root(config.rootpath),
        model=model,
        judges=default_judges(model, tuple(option("jmedethic_judges") or config.getini("jmedethic_judges"))),
        lang=option("jmedethic_lang"),
        guidelines=tuple(option("jmedethic_guidelines") or ()),
        strategies=tuple(option("jmedethic_strategies") or ()),
        sample=option("jmedethic_sample"),
        seed=option("jmedethic_seed"),
        api_base=option("jmedethic_api_base"),
        judge_api_base=option("jmedethic_judge_api_base"),
        served_as=option("jmedethic_served_as"),
        system_prompt=system_prompt,
        target_sampling=Sampling(temperature=option("jmedethic_temperature"), max_tokens=option("jmedethic_max_tokens")),
        judge_sampling=Sampling(temperature=0.0, max_tokens=1024, json_object=True),
        threshold=threshold_of(option("jmedethic_profile"), option("jmedethic_min_points")),
        max_in_flight=option("jmedethic_max_in_flight"),
        timeout_s=option("jmedethic_timeout_s"),
        reports=Path(option("jmedethic_reports") or config.rootpath / "reports"),
        resume=option("jmedethic_resume"),
    )
