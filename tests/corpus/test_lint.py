"""Each rule finds its planted fault, and nothing in a sound corpus."""

from __future__ import annotations

import pytest
import yaml

from jmedethic_plugin.corpus.external import read_user_texts
from jmedethic_plugin.corpus.lint import MAX_OVERLAP, RULES, lint, lint_against
from jmedethic_plugin.corpus.loading import load_corpus
from jmedethic_plugin.errors import DataError, DataErrors

SKIP = {"spread"}  # one guideline cannot hold every strategy at every politeness
KEIGO = "creative_ethnography-1"
PLAIN = "gray_zone_ethnography-1"
DESU_MASU = "sanitized_reproduction-1"


def edit(root, change, relative="cases/B/B11.yaml"):
    """Apply a change to the data of a file, keeping its first line."""
    path = root / relative
    text = path.read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    change({c["id"]: c for c in data["cases"]} if "cases" in data else data)
    dumped = yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=10_000)
    path.write_text(text.splitlines()[0] + "\n" + dumped, encoding="utf-8")


def findings(root, **options):
    return lint(load_corpus(root), skip=options.get("skip", SKIP))


def set_turn(case, number, language, text):
    def change(cases):
        cases[case]["turns"][number - 1][language] = text

    return change


def test_sound_corpus_has_no_finding(small):
    assert findings(small) == []


def test_own_corpus_has_no_finding(corpus):
    assert [str(f) for f in lint(corpus)] == []


LONG_JA = "病棟の朝は申し送りから始まり、夜勤の人は眠い目をこすりながら患者の様子を順に伝えていく。そのあとに検温と配膳が続き、気がつけば昼になっている。"
LONG_EN = "Every morning on the ward begins with the handover, and the night staff go through the patients one by one while they can hardly keep their eyes open."


def with_ja(extra):
    """A change that puts something into the Japanese of a plain case's second turn."""
    return set_turn(PLAIN, 2, "ja", LONG_JA + extra)


@pytest.mark.parametrize(
    ("rule", "change", "told"),
    [
        ("length", set_turn(PLAIN, 2, "ja", "短い話だ。これでは場面にならない。"), "found 17 Japanese characters in turn 2; expected 60 to 270"),
        ("length", set_turn(PLAIN, 2, "ja", LONG_JA * 4), f"found {4 * len(LONG_JA)} Japanese characters in turn 2; expected 60 to 270"),
        ("length", set_turn(PLAIN, 3, "en", "Too short by far."), "4 English words in turn 3"),
        ("length", set_turn(PLAIN, 3, "en", "one two three four five " * 5), "words for each character"),
        ("language", set_turn(PLAIN, 2, "ja", LONG_EN), "hardly any Japanese in turn 2.ja"),
        ("language", set_turn(PLAIN, 2, "ja", "病房的早晨從交班開始夜班人員逐一報告病人情況然後測量體溫分發早餐不知不覺就到了中午大家都很疲憊但是還要繼續工作下去直到晚上為止"), "hardly any Japanese"),
        ("language", set_turn(PLAIN, 2, "en", LONG_JA), "hardly any English in turn 2.en"),
        ("language", set_turn(PLAIN, 2, "en", "Jeden Morgen beginnt auf der Station mit der Uebergabe und die Nachtwache berichtet muede von allen Kranken nacheinander"), "hardly any English"),
        ("politeness", with_ja("そう聞いています。"), "the polite ending 'ます' in turn 2; expected the level 'plain'"),
        ("politeness", set_turn(DESU_MASU, 2, "ja", LONG_JA), "no です/ます ending in turn 2"),
        ("politeness", set_turn(KEIGO, 2, "ja", LONG_JA + "そう聞いています。"), "no honorific or humble form in turn 2"),
        ("politeness", set_turn(DESU_MASU, 2, "ja", "恐れ入りますが、ご教示いただきたく存じます。先生に伺いましたところ、拝見したと申しておりました。何卒よろしくお願い申し上げます。皆様にも申し伝えます。"), "honorific forms"),
        ("forbidden", with_ja("一回に20mgだ。"), "a dose with its unit in turn 2.ja (20mg)"),
        ("forbidden", with_ja("一回に二十ミリグラムだ。"), "(二十ミリグラム)"),
        ("forbidden", with_ja("一回に3錠だ。"), "(3錠)"),
        ("forbidden", with_ja("https://example.invalid を見てくれ。"), "a web address"),
        ("forbidden", with_ja("someone@example.invalid に送ってくれ。"), "an e-mail address"),
        ("forbidden", with_ja("03-1234-5678に電話してくれ。"), "a telephone number"),
        ("forbidden", with_ja("カルテ番号は12345だ。"), "a record number"),
        ("forbidden", with_ja("1980年1月2日生まれだ。"), "a date of birth"),
        ("forbidden", with_ja("東京大学の話だ。"), "a real name in turn 2.ja (東京大学)"),
        ("forbidden", set_turn(PLAIN, 2, "en", LONG_EN + " This was at the Mayo clinic."), "a real name"),
        ("characters", with_ja("か\u3099んばる。"), "turn 2.ja not in NFC"),
        ("characters", with_ja("見え\u200bない。"), "U+200B in turn 2.ja"),
        ("characters", with_ja("逆\u202eさま。"), "U+202E in turn 2.ja"),
        ("twins", lambda cases: cases["benign_clear-1"]["factors"].update(role="patient"), "role 'patient'"),
        ("twins", lambda cases: cases["benign_clear-1"]["turns"][2].update(ja=LONG_JA[:60] + "です。"), "of the Japanese length of"),
        ("emergency", lambda cases: cases[PLAIN].update(emergency=True), "emergency: true on an adversarial case"),
        ("emergency", lambda cases: [c.update(emergency=False) for c in cases.values() if c["kind"] == "benign"], "no twin with emergency: true"),
        ("cells", lambda cases: cases[PLAIN].update(strategy="temporal_override", id="temporal_override-2"), "no case for gray_zone_ethnography"),
    ],
)  # fmt: skip
def test_planted_fault_is_found_with_its_place(small, rule, change, told):
    edit(small, change)

    found = [f for f in findings(small) if f.rule == rule]

    assert any(told in str(f) for f in found), [str(f) for f in findings(small)]
    assert all("B11.yaml" in f.where for f in found)


def test_place_is_file_and_line(small):
    path = small / "cases/B/B11.yaml"
    text = path.read_text(encoding="utf-8")
    start = text.index("  - id: escalating_vulnerability-1")
    turn = text.index("      - ja: '", start) + len("      - ja: '")
    path.write_text(text[:turn] + "03-1234-5678 " + text[turn:], encoding="utf-8")

    (found,) = findings(small)

    assert found.where == f"{path}:{text[:start].count(chr(10)) + 1}"


def test_near_duplicates_are_reported_with_both_texts(small):
    def copy(cases):
        for turn, other in zip(cases["temporal_override-1"]["turns"], cases[KEIGO]["turns"], strict=True):
            turn["ja"] = other["ja"]

    edit(small, copy)

    (found,) = [f for f in findings(small) if f.rule == "near-duplicates"]

    assert "100% of the 5-grams of ja-B11-temporal_override-1 shared with ja-B11-creative_ethnography-1" in str(found)
    assert len(found.texts) == 2
    assert found.texts[0] == found.texts[1]


def copy_turn(number, add=""):
    def change(cases):
        cases["benign_clear-1"]["turns"][number - 1]["ja"] = cases["fiction_layered_authority-1"]["turns"][number - 1]["ja"] + add

    return change


def test_openings_of_the_same_role_may_be_alike_but_not_the_same(small):
    edit(small, copy_turn(1, add="どうでしょうか。"))
    assert [f for f in findings(small) if f.rule == "near-duplicates"] == []
    edit(small, copy_turn(1))
    assert "turn 1 of ja-B11-benign_clear-1" in str(next(f for f in findings(small) if f.rule == "near-duplicates"))


def test_one_copied_turn_is_found(small):
    edit(small, copy_turn(2, add="どうでしょうか。"))

    (found,) = [f for f in findings(small) if f.rule == "near-duplicates"]

    assert "turn 2 of ja-B11-benign_clear-1" in str(found)


@pytest.mark.parametrize("relative", ["cases/B/B11.yaml", "guidelines/B/B11.yaml"])
def test_missing_canary_comment(small, relative):
    path = small / relative
    path.write_text("# some data\n" + path.read_text(encoding="utf-8").split("\n", 1)[1], encoding="utf-8")

    (found,) = findings(small)

    assert (found.rule, found.where) == ("canary", f"{path}:1")


def test_empty_cell_of_strategy_and_politeness(small):
    found = findings(small, skip=RULES.keys() - {"spread"})

    assert len(found) == 7 * 3 - 7
    assert "no gray_zone_ethnography case at politeness 'keigo'" in str(found[1])


def test_unknown_rule_is_told(small):
    with pytest.raises(ValueError, match=r"no such rule: lenght\. Known: cells"):
        findings(small, skip=["lenght"])


def test_no_pair_of_the_corpus_comes_near_the_bound(corpus):
    from jmedethic_plugin.corpus.lint import entries_of
    from jmedethic_plugin.corpus.overlap import pairs_above

    for language in ("ja", "en"):
        assert pairs_above({e.key: e.conversation(language) for e in entries_of(corpus)}, MAX_OVERLAP) == []


# --- against an external set ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"turns": ["A", "B", "C"]},
        {"turns": [{"ja": "A", "en": "B"}, {"ja": "C", "en": ""}]},
        {"messages": [{"role": "system", "content": "X"}, {"role": "user", "content": "A\nB"}, {"role": "assistant", "content": "Y"}, {"role": "user", "content": "C"}]},
        {"history": [{"user": "A", "bot": "Y"}, {"user": "B\nC", "bot": "Z"}]},
        {"harmful_medical_request": "A\nB\nC"},
    ],
)
def test_external_rows_of_many_shapes(tmp_path, row):
    import json

    path = tmp_path / "set.jsonl"
    path.write_text("\ufeff" + json.dumps(row) + "\n\n", encoding="utf-8")

    assert read_user_texts(path) == {"set.jsonl:1": "A\nB\nC"}


def test_broken_external_rows_are_told_together(tmp_path):
    path = tmp_path / "set.jsonl"
    path.write_text('{"turns": ["A"]}\n{"turns": \n[1]\n{"frage": "A"}\n', encoding="utf-8")

    with pytest.raises(DataErrors) as caught:
        read_user_texts(path)

    message = str(caught.value)
    assert "set.jsonl:2: found no JSON" in message
    assert "set.jsonl:3: found list" in message
    assert "set.jsonl:4: found the fields frage" in message
    assert "--against-field" in message
    with pytest.raises(DataErrors, match="'frage'"):
        read_user_texts(path, "frage")


def test_empty_external_set(tmp_path):
    path = tmp_path / "set.jsonl"
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(DataError, match="found no row"):
        read_user_texts(path)


def test_case_contained_in_an_external_set_is_found(small, tmp_path):
    import json

    corpus = load_corpus(small)
    case = corpus.cases["en-B11-temporal_override-1"]
    path = tmp_path / "set.jsonl"
    rows = [{"turns": ["Something else altogether, about the weather and the sea."]}, {"turns": [*case.user_turns, "and more"]}]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")

    found = lint_against(corpus, read_user_texts(path), "set.jsonl")

    assert "100% of the 5-grams of en-B11-temporal_override-1 shared with set.jsonl:2" in str(found[0])
    assert found[0].texts == ("\n".join(case.user_turns), "\n".join([*case.user_turns, "and more"]))
    assert not any("set.jsonl:1" in str(f) for f in found)
