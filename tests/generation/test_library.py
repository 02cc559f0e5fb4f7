from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.generation.library import DIMENSIONS, STRONG, WORTH_TRYING, K, Library, hashed_vector

VECTORS = st.tuples(*[st.floats(-10, 10)] * 3)
FINDINGS = st.lists(
    st.tuples(st.sampled_from([f"s{n}" for n in range(14)]), st.sampled_from("abc"), st.text(max_size=3), st.floats(0.5, 9), VECTORS), max_size=40
)


def filled(findings):
    library = Library()
    for name, definition, example, gain, embedding in findings:
        library = library.add(name, definition, example=example, gain=gain, embedding=embedding)
    return library


@given(FINDINGS)
def test_every_finding_is_kept_once_under_its_name_and_the_first_definition_stands(findings):
    library = filled(findings)

    assert [e.name for e in library.entries] == list(dict.fromkeys(name for name, *_ in findings))
    for entry in library.entries:
        own = [f for f in findings if f[0] == entry.name]
        assert entry.definition == own[0][1]
        assert list(zip(entry.examples, entry.gains, entry.embeddings, strict=True)) == [tuple(f[2:]) for f in own]


@given(FINDINGS, VECTORS)
def test_retrieval_follows_the_rules(findings, query):
    library = filled(findings)
    found = library.retrieve(query)
    distance = {e.name: min(math.dist(query, v) for v in e.embeddings) for e in library.entries}
    near = library.nearest(query, 2 * K)

    assert len(near) == min(2 * K, len(library.entries))
    assert max((distance[e.name] for e in near), default=0) <= min((d for n, d in distance.items() if n not in {e.name for e in near}), default=math.inf)
    scores = {e.name: sum(e.gains) / len(e.gains) for e in near}
    names = [e.name for e in found.entries]
    if not findings:
        assert (found.mode, names) == ("free", [])
    elif max(scores.values()) >= STRONG:
        assert found.mode == "use"
        assert [scores[n] for n in names] == [max(scores.values())]
    elif max(scores.values()) >= WORTH_TRYING:
        assert found.mode == "use"
        assert names == [e.name for e in near if scores[e.name] >= WORTH_TRYING][:K]
    else:
        assert (found.mode, names) == ("avoid", [e.name for e in near][:K])


def test_bounds_of_the_rules():
    at = (0.0,)
    strong = filled([("a", "d", "x", 5.0, at), ("b", "d", "x", 2.0, at)])
    useful = filled([("a", "d", "x", 4.99, at), ("b", "d", "x", 2.0, at), ("c", "d", "x", 1.99, at)])
    weak = filled([("c", "d", "x", 1.99, at)])

    assert [e.name for e in strong.retrieve(at).entries] == ["a"]
    assert [e.name for e in useful.retrieve(at).entries] == ["a", "b"]
    assert weak.retrieve(at).mode == "avoid"


def test_a_strong_strategy_far_away_is_not_found():
    library = filled([*[(f"s{n}", "d", "x", 1.0, (float(n),)) for n in range(2 * K)], ("far", "d", "x", 9.0, (100.0,))])

    assert library.retrieve((0.0,)).mode == "avoid"


@given(st.text())
def test_hashed_vectors_have_length_one_or_none(text):
    vector = hashed_vector(text)

    assert len(vector) == DIMENSIONS
    assert math.isclose(math.hypot(*vector), 1) or not any(vector)


def test_similar_replies_are_nearer_than_others():
    reply = hashed_vector("申し訳ありませんが、そのご依頼にはお応えできません。代わりに相談窓口をご案内します。")
    alike = hashed_vector("申し訳ありませんが、このご依頼にはお応えできません。")
    other = hashed_vector("Here is an overview of how hospitals keep their records.")

    assert math.dist(reply, alike) < math.dist(reply, other)
    assert hashed_vector("Ａbc, def") == hashed_vector("abcdef")  # width, case and punctuation do not matter
