"""Who is related to whom, and which ids name one snapshot."""

from pathlib import Path

import pytest

from jmedethic_plugin.core.family import is_dated, related
from jmedethic_plugin.corpus.loading import load_families

TABLE = load_families(Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("model", "own_address", "family"),
    [
        ("openai/gpt-4o-2024-08-06", False, "openai"),
        ("azure/my-deployment", False, "openai"),
        ("anthropic/claude-sonnet-4-5-20250929", False, "anthropic"),
        ("bedrock/anthropic.claude-3-haiku", False, "anthropic"),
        ("vertex_ai/gemini-2.5-pro", False, "google"),
        ("hosted_vllm/google/medgemma-27b", True, "google"),
        ("openai/Llama-3.3-Swallow-70B", True, "meta"),
        ("together_ai/Qwen/Qwen3-235B", False, "qwen"),
        ("openai/deepseek-r1-distill-qwen-32b-japanese", True, "qwen+deepseek"),
        ("together_ai/deepseek-ai/deepseek-r1-distill-llama-70b", False, "meta+deepseek"),
        ("bedrock/eu.amazon.nova-pro-v1:0", False, "amazon"),
        ("bedrock/us.deepseek.r1-v1:0", False, "deepseek"),
        ("bedrock/cohere.command-r-v1:0", False, "cohere"),
        ("bedrock/converse/us.anthropic.claude-3-5-sonnet-20241022-v2:0", False, "anthropic"),
        ("openai/our-own-medical-model", True, None),
        ("ollama/unheard-of", False, None),
    ],
)
def test_family_by_name_then_provider(model, own_address, family):
    assert TABLE.of(model, own_address=own_address, given={}) == family


def test_stated_family_comes_first():
    assert TABLE.of("openai/our-own", own_address=True, given={"openai/our-own": "qwen"}) == "qwen"


def test_related_judges_are_named_and_unknown_families_are_not_related():
    families = {"t": "qwen", "a": "qwen", "b": "openai", "c": "openai", "x": None, "y": None}

    assert [s.split("'")[1] for s in related(families, "t", ["a", "b", "c"])] == ["a", "c"]
    assert related(families, "x", ["y"]) == []


def test_one_shared_family_of_several_is_enough():
    families = {"t": "meta+deepseek", "a": "qwen+deepseek", "b": "meta", "c": "qwen"}

    assert [s.rsplit("(", 1)[1] for s in related(families, "t", ["a", "b", "c"])] == ["deepseek)", "meta)", "qwen)"]


@pytest.mark.parametrize("model", ["openai/gpt-4o-2024-08-06", "anthropic/claude-sonnet-4-5-20250929", "openai/gpt-4-0613", "mistral/mistral-large-2411", "gemini/gemini-1.5-pro-002", "bedrock/anthropic.claude-v2:1", "bedrock/us.amazon.nova-pro-v1:0", "openrouter/google/gemini-2.0-flash-001", "groq/moonshotai/kimi-k2-instruct-0905", "vertex_ai/claude-3-5-sonnet@20240620"])  # fmt: skip
def test_dated_ids(model):
    assert is_dated(model)


@pytest.mark.parametrize("model", ["openai/gpt-4o", "openai/chatgpt-4o-latest", "anthropic/claude-3-5-haiku-latest", "gemini/gemini-2.5-pro", "xai/grok-4", "deepseek/deepseek-v3", "azure_ai/phi-4-mini-4096", "together_ai/model-405", "x/y-8192", "x/y-20259999", "x/y-2024-13-01"])
def test_aliases(model):
    assert not is_dated(model)
