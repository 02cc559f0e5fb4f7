from collections import Counter

import pytest

from jmedethic_plugin.corpus.selection import select_cases
from jmedethic_plugin.errors import ConfigError


def select(corpus, **options):
    return [corpus.cases[i] for i in select_cases(corpus.cases.values(), corpus.guidelines, **options)]


def test_sample_is_seeded_and_the_same_scenes_in_both_languages(corpus):
    drawn = select(corpus, languages=["ja", "en"], sample=20, seed=1)

    scenes = Counter(c.id.split("-", 1)[1] for c in drawn)
    assert len(scenes) == 20
    assert set(scenes.values()) == {2}
    assert drawn == select(corpus, languages=["ja", "en"], sample=20, seed=1)
    assert drawn != select(corpus, languages=["ja", "en"], sample=20, seed=2)


def test_sample_is_spread_over_groups(corpus):
    drawn = select(corpus, languages=["ja"], sample=20)

    counts = Counter(c.group for c in drawn)
    assert set(counts.values()) == {2}
    assert len(counts) == 10


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"guidelines": ["B111"]}, "no such guideline or category. Did you mean 'B11'"),
        ({"strategies": ["temporal"]}, "no such strategy"),
        ({"guidelines": ["A05"], "strategies": ["temporal_override"], "languages": []}, "no case fits"),
    ],
)
def test_wrong_name_is_told(corpus, options, told):
    with pytest.raises(ConfigError, match=told):
        select(corpus, **({"languages": ["ja"]} | options))


def test_category_selects_its_guidelines(corpus):
    assert {c.category for c in select(corpus, languages=["ja"], guidelines=["B"])} == {"B"}
