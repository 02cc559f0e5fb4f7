"""What options come to, and which are refused."""

from pathlib import Path

import pytest

from jmedethic_plugin.engine.ports import Sampling
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.settings import Settings, judge_sampling_of

JUDGES = ("anthropic/a-20250929", "gemini/b-001")


def settings(**changed):
    return Settings(**({"root": Path(), "model": "openai/m", "judges": JUDGES} | changed))


@pytest.mark.parametrize(
    ("options", "temperature", "tokens"),
    [((None, None), 0.0, 1024), (("0.3", 4096), 0.3, 4096), (("default", None), None, 1024)],
)
def test_sampling_of_the_judges(options, temperature, tokens):
    found = settings(judge_sampling=judge_sampling_of(*options))

    assert (found.judge_sampling.temperature, found.judge_sampling.max_tokens) == (temperature, tokens)
    assert found.judge_sampling.schema is not None
    assert found.identity()["judge_sampling"] == found.judge_sampling.to_dict()


@pytest.mark.parametrize(("options", "said"), [(("cold", None), "--judge-temperature 'cold'"), (("3", None), "from 0 to 2"), ((None, 0), "--judge-max-tokens is 0")])
def test_sampling_that_no_judge_takes_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        settings(judge_sampling=judge_sampling_of(*options))


def test_longer_answers_change_the_limit_alone():
    assert Sampling(0.5, 100).longer(2) == Sampling(0.5, 200)
    assert Sampling(0.5).longer(2) == Sampling(0.5)


def test_one_model_is_not_third_and_fallback():
    with pytest.raises(ConfigError, match="are both 'xai/c-0709'"):
        settings(third_judge="xai/c-0709", fallback_judge="xai/c-0709")
