"""A product under test that a fixture provides: a function, or a server the fixture started."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from jmedethic_plugin.testing.server import LoopbackServer
from tests.plugin.test_runs import FEW, project, run, summary, the_run  # noqa: F401  # the fixture is used by its name

JUDGES = ("--judge", "demo/judge-a", "--judge", "demo/judge-b")

ECHO = """
import asyncio, os, pathlib, pytest

@pytest.fixture(scope="session")
def target():
    async def answer(messages):
        await asyncio.sleep(0.001)
        assert messages[0]["role"] == "system" and messages[-1]["role"] == "user"
        pathlib.Path("calls.txt").open("a").write(f"{os.getpid()} {len(messages)}\\n")
        return "申し訳ありませんが、お引き受けいたしかねます。代わりに相談先をご案内します。"
    return answer
"""


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_function_of_a_fixture_is_the_target(project, workers):  # noqa: F811
    project.makeconftest(ECHO)
    project.path.joinpath("prompt.txt").write_text("あなたは院内の相談窓口です。", encoding="utf-8")

    result = run(project, "--model", "fixture/desk", *JUDGES, *FEW, "--system-prompt", "prompt.txt", *workers)

    result.assert_outcomes(passed=7, failed=3)  # it refuses the twins too
    calls = [line.split() for line in project.path.joinpath("calls.txt").read_text().splitlines()]
    assert sorted(int(n) for _, n in calls) == sorted([2, 4, 6] * 10)  # each turn once, with all that was said
    manifest = json.loads((the_run(project) / "run.json").read_text(encoding="utf-8"))
    assert manifest["identity"]["model"] == "fixture/desk"


def test_callable_object_and_plain_function_do_as_well(project):  # noqa: F811
    project.makeconftest(ECHO.replace("async def", "def").replace("await asyncio.sleep(0.001)", "pass"))
    project.path.joinpath("prompt.txt").write_text("s", encoding="utf-8")

    result = run(project, "--model", "fixture/desk", *JUDGES, *FEW, "--system-prompt", "prompt.txt", "-k", "sanitized")

    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_address_from_a_fixture_is_called_over_http(project, corpus, workers):  # noqa: F811
    with LoopbackServer(corpus.cases) as server:
        project.makeconftest(f"import pytest\n@pytest.fixture(scope='session')\ndef target():\n    return {server.url!r}\n")
        result = run(project, "--model", "fixture/eroding", "--price", "fixture/eroding=1,2", *JUDGES, *FEW, *workers)

    result.assert_outcomes(passed=3, failed=7)
    assert server.stats.by_model == {"eroding": 30}
    sitting = json.loads((the_run(project) / "run.json").read_text(encoding="utf-8"))["sittings"][0]
    assert (sitting["usd"] > 0, sitting["n_unpriced"]) == (True, 0)
    assert summary(the_run(project))["tables"]["languages"][0]["first_violation"] == {"1": 0, "2": 0, "3": 7}


def test_target_that_raises_is_tried_again_and_then_not_measured(project):  # noqa: F811
    project.makeconftest(
        "import pytest\n"
        "@pytest.fixture(scope='session')\n"
        "def target():\n"
        "    tries = []\n"
        "    async def answer(messages):\n"
        "        tries.append(1)\n"
        "        if len(tries) == 1:\n"
        "            raise ConnectionError('secret-detail')\n"
        "        return 3 if len(messages) > 1 else 'ご質問にお答えします。'\n"
        "    return answer\n"
    )
    result = run(project, "--model", "fixture/app", *JUDGES, *FEW, "-k", "sanitized")

    result.assert_outcomes(failed=1)
    assert "turn 2: rejected" in result.stdout.str()
    assert "secret-detail" not in result.stdout.str()
    assert "secret-detail" not in (the_run(project) / "records.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
@pytest.mark.parametrize(
    ("conftest", "model", "told"),
    [
        ("", "fixture/app", "the fixture 'target' provides nothing"),
        ("import pytest\n@pytest.fixture(scope='session')\ndef target():\n    return len\n", "demo/steadfast", "Write --model fixture/NAME"),
        ("import pytest\n@pytest.fixture(scope='session')\ndef target():\n    return 3\n", "fixture/app", "returned int; expected a function"),
    ],
)
def test_option_and_fixture_that_do_not_fit_are_told(project, conftest, model, told, workers):  # noqa: F811
    project.makeconftest(conftest)

    result = run(project, "--model", model, *JUDGES, *FEW, "-k", "sanitized", *workers)

    result.assert_outcomes(errors=1)
    assert told in result.stdout.str()


MY_APP = """
import os, pathlib

class Busy(Exception):
    pass

async def answer(messages):
    with pathlib.Path("calls.txt").open("a") as calls:
        calls.write(f"{os.getpid()} {len(messages)}\\n")
    if len(pathlib.Path("calls.txt").read_text().splitlines()) == 1:
        raise Busy
    return "申し訳ありませんが、お引き受けいたしかねます。代わりに相談先をご案内します。"
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_custom_provider_of_litellm_as_documented(project, workers):  # noqa: F811
    document = (Path(__file__).parents[2] / "docs/other-targets.md").read_text(encoding="utf-8")
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", document, re.DOTALL):
        project.path.joinpath(name).write_text(code, encoding="utf-8")
    project.path.joinpath("my_app.py").write_text(MY_APP, encoding="utf-8")

    result = run(project, "--model", "my-provider/anything", *JUDGES, *FEW, "-n", workers)

    result.assert_outcomes(passed=7, failed=3)
    calls = [line.split() for line in project.path.joinpath("calls.txt").read_text().splitlines()]
    assert len({pid for pid, _ in calls}) == 1
    assert sorted(int(n) for _, n in calls) == sorted([1, 3, 5] * 10 + [1])  # the busy one was asked again
