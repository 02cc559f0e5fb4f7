"""Each kind of mistake in a file gives one clear error."""

import pytest

from jmedethic_plugin.corpus.loading import load_corpus
from jmedethic_plugin.errors import DataError, DataErrors


def replace(path, old, new, count=1):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


def test_small_corpus_loads(small):
    corpus = load_corpus(small)

    assert len(corpus.cases) == 20
    assert list(corpus.cases) == [c.id for c in sorted(corpus.cases.values(), key=lambda c: c.sort_key)]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("    kind: adversarial", "    kynd: adversarial", ["unknown key 'kynd'", "Did you mean 'kind'", "'kind'"]),
        ("kind: adversarial", "kind: nasty", ["cases[0].kind", "'nasty'", "'adversarial'"]),
        ("politeness: ", "politeness: very_", ["cases[0].factors.politeness", "'desu_masu'"]),
        ("guideline: B11", "guideline: B99", ["guideline", "'B99'", "a guideline under guidelines/"]),
        ("guideline: B11", "guideline: 11", ["guideline", "11"]),
        ("  - id: gray_zone_ethnography-1", "  - id: ../../etc/passwd-1", ["cases[", "id", "../../etc/passwd-1", "ASCII"]),
        ("  - id: gray_zone_ethnography-1", "  - id: temporal_override-2", ["the id must begin with 'gray_zone_ethnography'"]),
        ("  - id: benign_clear-1", "  - id: benign_hard-1", ["benign_"]),
        ("canary: d6c54382", "canary: e6c54382", ["canary"]),
        ("schema: jmedethic/cases@1", "schema: jmedethic/cases@9", ["schema", "jmedethic/cases@1"]),
        ("emergency: false", "emergency: 'no'", ["emergency", "boolean"]),
        ("    kind: adversarial", "    kind: &k adversarial", ["anchor &k", "refused"]),
        ("    kind: adversarial", "    kind: *k", ["*k", "refused"]),
        ("    kind: adversarial", "    kind: !!str adversarial", ["the tag", "Remove"]),
        ("    kind: adversarial", "    kind: adversarial\n    kind: adversarial", ["'kind' a second time"]),
        ("cases:\n", "cases: [\n", ["YAML"]),
    ],
)
def test_mistake_is_named_with_file_and_remedy(small, old, new, told):
    path = small / "cases/B/B11.yaml"
    replace(path, old, new)

    with pytest.raises(DataError) as caught:
        load_corpus(small)

    message = str(caught.value)
    assert str(path) in message
    assert all(part in message for part in told), message


def test_wrong_type_tells_the_line(small):
    path = small / "cases/B/B11.yaml"
    text = path.read_text(encoding="utf-8")
    line = text[: text.index("kind: adversarial")].count("\n") + 1
    replace(path, "kind: adversarial", "kind: 3")

    with pytest.raises(DataError, match=rf"B11\.yaml:{line}: cases\[0\]\.kind"):
        load_corpus(small)


def test_missing_turn(small):
    import yaml

    path = small / "cases/B/B11.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    del data["cases"][0]["turns"][2]
    path.write_text(yaml.safe_dump(data, allow_unicode=True, sort_keys=False), encoding="utf-8")

    with pytest.raises(DataError, match=r"cases\[0\]\.turns: found 2 entries; expected at least 3. A case has exactly three user turns"):
        load_corpus(small)


def test_duplicate_id(small):
    path = small / "cases/B/B11.yaml"
    text = path.read_text(encoding="utf-8")
    head, first, rest = text.partition("  - id: ")
    entry = first + rest.split("\n  - id: ")[0].rstrip() + "\n"
    path.write_text(head + entry + "\n" + first + rest, encoding="utf-8")

    with pytest.raises(DataError, match=r"cases\[1\]\.id: found '[a-z_]+-1' a second time"):
        load_corpus(small)


def test_bad_utf8(small):
    path = small / "cases/B/B11.yaml"
    path.write_bytes(path.read_bytes().replace("応".encode(), b"\x89\x9e", 1))

    with pytest.raises(DataError, match="which is not UTF-8; expected UTF-8 text"):
        load_corpus(small)


@pytest.mark.parametrize(("content", "told"), [("", "an empty file"), ("- 1\n", "should be an object"), ("a: 1\n---\nb: 2\n", "a second document")])
def test_file_of_another_shape(small, content, told):
    (small / "cases/B/B11.yaml").write_text(content, encoding="utf-8")

    with pytest.raises(DataError, match=told):
        load_corpus(small)


def test_all_mistakes_are_told_at_once(small):
    replace(small / "cases/B/B11.yaml", "kind: adversarial", "kind: nasty")
    replace(small / "guidelines/B/B11.yaml", "critical: false", "critical: perhaps")

    with pytest.raises(DataErrors) as caught:
        load_corpus(small)

    assert "kind" in str(caught.value)
    assert "critical" in str(caught.value)


def test_guideline_in_the_wrong_folder(small):
    (small / "guidelines/A").mkdir()
    (small / "guidelines/B/B11.yaml").rename(small / "guidelines/A/B11.yaml")

    with pytest.raises(DataError, match="category's folder"):
        load_corpus(small)


def test_repr_of_a_case_shows_no_text(corpus):
    case = next(iter(corpus.cases.values()))

    assert repr(case) == f"Case({case.id!r})"
    assert case.user_turns[0] not in str(case)
    assert case.user_turns[0] not in repr(corpus)
