"""Importers of published sets, on rows made up here in the shape of each."""

from __future__ import annotations

import csv
import json

import pytest

from jmedethic_plugin.corpus.labelled import load_labelled
from jmedethic_plugin.corpus.labelled_import import FORMATS, import_labelled
from jmedethic_plugin.errors import ConfigError, DataError

JBB = {
    "Index": 7, "goal": "Open a door", "prompt": "Play a locksmith", "target_response": "As a locksmith I would",
    "human1": 1, "human2": 0, "human3": 1, "human_majority": 1, "harmbench_cf": 0, "gpt4_cf": 1, "llamaguard2_cf": 1, "llama3_cf": 1,
}  # fmt: skip
XSTEST = {
    "id": "v2-3", "type": "homonyms", "prompt": "How do I crack an egg?", "completion": "Tap it,\non the \"edge\".",
    "annotation_1": "1_full_compliance", "annotation_2": "1_full_compliance", "agreement": "TRUE", "final_label": "1_full_compliance",
}  # fmt: skip
SAID = ("annotation_1", "annotation_2", "final_label")
POLYGUARD = {
    "prompt": "A question", "response": "An answer", "adversarial": False, "prompt_harm_label": "harmful",
    "response_refusal_agreement": 3.0, "response_refusal_label": "compliance", "response_harm_label": "harmful", "subcategory": "others",
    "prompt_harm_agreement": 2.0, "response_harm_agreement": 2.0, "id": 12, "language": "English", "prompt_label": "unsafe",
    "prompt_categories": "S2", "response_label": "unsafe", "response_categories": "S2",
}  # fmt: skip
HEALTHBENCH = {
    "prompt": [
        {"role": "user", "content": "My knee hurts when I walk."},
        {"role": "assistant", "content": "Since when?"},
        {"role": "user", "content": "It has been sore for a week, what should I do?"},
    ],
    "completion": "You should rest it, and see a doctor if it is not better in a few days.", "completion_id": "c-1", "prompt_id": "p-1",
    "rubric": "The completion should ask for more context.", "category": "cluster:context", "binary_labels": [False, True, False],
    "anonymized_physician_ids": ["p1", "p2", "p3"], "canary": "someone's:1234",
}  # fmt: skip
JA = [{"role": "user", "content": "膝が一週間ほど痛いのですが、どうしたらよいでしょうか。"}]
SAMPLES = {"jailbreakbench": JBB, "xstest": XSTEST, "polyguard": POLYGUARD, "healthbench": HEALTHBENCH}


@pytest.fixture
def imported(corpus, tmp_path):
    """Rows as a file of a set -> the report, and the answers as our own reader finds them in the written file."""

    def run(format, *rows, name="set.jsonl"):
        path, out = tmp_path / name, tmp_path / "new" / "out.jsonl"
        with path.open("w", encoding="utf-8", newline="") as file:
            if name.endswith(".csv"):
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            else:
                file.writelines(json.dumps(row) + "\n" for row in rows)
        report = import_labelled(format, path, out)
        answers = load_labelled(out, corpus)
        assert report.kept == len(answers)
        assert {a.licence for a in answers} == {report.licence}
        assert all(a.note and a.source for a in answers)
        assert list(out.parent.iterdir()) == [out]
        return report, answers

    return run


def votes(answer):
    return {label.author: label.violation for label in answer.labels}


@pytest.mark.parametrize("name", ["set.csv", "set.jsonl"])
def test_jailbreakbench(imported, name):
    acquitted = JBB | {"Index": 8, "human1": 0, "human_majority": 0}
    rows = [JBB, acquitted, JBB | {"Index": 9, "human_majority": 0}, JBB | {"Index": 10, "target_response": ""}]
    report, (first, second) = imported("jailbreakbench", *rows, name=name)

    assert report.licence == "MIT"
    assert report.dropped == {"votes and majority contradict each other": 1, "no reply": 1}
    assert (first.id, first.language, first.request) == ("jailbreakbench-7", "en", "Open a door")
    assert first.exchanges == (("Play a locksmith", "As a locksmith I would"),)
    assert votes(first) == {"human1": True, "human2": False, "human3": True}  # no other judge's verdict among them
    assert (first.violation, second.violation) == (True, False)


def test_jailbreakbench_counts_from_zero(imported):
    _, answers = imported("jailbreakbench", JBB | {"Index": 0}, JBB | {"Index": 1})

    assert [a.id for a in answers] == ["jailbreakbench-0", "jailbreakbench-1"]


def test_jailbreakbench_with_the_majority_alone(imported):
    _, (answer,) = imported("jailbreakbench", JBB | dict.fromkeys(("human1", "human2", "human3")))

    assert votes(answer) == {"human_majority": True}


def test_xstest_refusals(imported):
    torn = {"annotation_2": "3_partial_refusal", "agreement": "FALSE"}
    rows = [
        XSTEST,
        XSTEST | dict.fromkeys(SAID, "2_full_refusal") | {"id": "v2-4", "type": "contrast_homonyms"},
        XSTEST | torn | {"id": "v2-5"},
        XSTEST | torn | {"id": "v2-6", "final_label": "3_partial_refusal"},
        XSTEST | dict.fromkeys(SAID, "") | {"id": "v2-7"},
    ]
    report, answers = imported("xstest", *rows, name="xstest_v2_completions_gpt4.csv")

    assert report.dropped == {"no label": 1}
    assert [(a.id, a.refused, len(a.labels)) for a in answers] == [
        ("xstest-gpt4-v2-3", False, 2), ("xstest-gpt4-v2-4", True, 2), ("xstest-gpt4-v2-5", False, 3), ("xstest-gpt4-v2-6", True, 3),
    ]  # fmt: skip
    assert {(a.violation, a.family) for a in answers} == {(None, "openai")}
    assert answers[0].exchanges[0][1] == XSTEST["completion"]
    assert answers[1].labels[0].response_class == "full_refusal"
    assert answers[0].acceptable != answers[1].acceptable


@pytest.mark.parametrize("name", ["set.csv", "set.jsonl"])
def test_polyguard_pairs_languages(imported, name):
    rows = [
        POLYGUARD | {"language": "Japanese", "prompt": "質問", "response": "回答"},
        POLYGUARD | {"language": "Thai"},
        POLYGUARD,
        POLYGUARD | {"id": 13, "response_harm_label": None, "response_refusal_label": "refusal"},
        POLYGUARD | {"id": 14, "response_harm_label": None, "response_refusal_label": None},
        POLYGUARD,
    ]
    report, (ja, en, unsure) = imported("polyguard", *rows, name=name)

    assert report.dropped == {"neither Japanese nor English": 1, "no label": 1, "an id a second time": 1}
    assert (ja.id, ja.counterpart, en.id, en.counterpart) == ("polyguard-12-ja", "An answer", "polyguard-12-en", "回答")
    assert (ja.violation, ja.refused, unsure.violation, unsure.refused, unsure.counterpart) == (True, False, None, True, None)
    assert ja.violating != en.violating


def test_healthbench_counts_a_criterion_not_met(imported):
    rows = [
        HEALTHBENCH,
        HEALTHBENCH | {"rubric": "The completion should be short.", "binary_labels": [True, True, False]},
        HEALTHBENCH | {"completion_id": "c-2", "prompt": JA, "completion": "まずは安静にして、痛みが続くようでしたら受診してください。"},
        HEALTHBENCH | {"completion_id": "c-3", "prompt": JA},
        HEALTHBENCH | {"completion_id": "c-4", "prompt": [{"role": "user", "content": "¿Qué puedo tomar para el dolor de rodilla?"}]},
        HEALTHBENCH | {"completion_id": "c-5", "prompt": [{"role": "system", "content": "Be kind."}, *HEALTHBENCH["prompt"][2:]]},
        HEALTHBENCH | {"completion_id": "c-6", "prompt": HEALTHBENCH["prompt"][:2]},
        HEALTHBENCH | {"completion_id": "c-7", "binary_labels": [], "anonymized_physician_ids": []},
        HEALTHBENCH,
    ]
    report, (unmet, met, ja) = imported("healthbench", *rows)

    assert report.dropped == {
        "not plainly Japanese or English": 2, "messages other than turns of user and model": 2, "no label": 1, "an id a second time": 1,
    }  # fmt: skip
    assert votes(unmet) == {"p1": True, "p2": False, "p3": True}
    assert (unmet.violation, met.violation, ja.language) == (True, False, "ja")
    assert unmet.exchanges[0] == ("My knee hurts when I walk.", "Since when?")
    assert unmet.exchanges[1:] == ((unmet.request, HEALTHBENCH["completion"]),)
    assert unmet.clinician_labelled
    assert "someone's:1234" in unmet.note  # a set's own canary goes on


@pytest.mark.parametrize(
    ("format", "row", "told"),
    [
        ("jailbreakbench", {"human2": "maybe"}, "set.jsonl:2: human2: found 'maybe'; expected 0, "),
        ("xstest", {"annotation_1": "4_other"}, "set.jsonl:2: annotation_1"),
        ("polyguard", {"response_harm_label": "yes"}, "set.jsonl:2: response_harm_label: found 'yes'; expected harmful, unharmful"),
        ("healthbench", {"binary_labels": [0, 1, 1]}, "set.jsonl:2: binary_labels: found [0, 1, 1]"),
        ("healthbench", {"binary_labels": [True]}, "set.jsonl:2: binary_labels"),
        ("polyguard", {"response": "\ud800"}, "set.jsonl:2"),
    ],
)
def test_value_that_is_not_as_published(tmp_path, format, row, told):
    sample = SAMPLES[format]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(r) + "\n" for r in (sample, sample | row)), encoding="utf-8")

    with pytest.raises(DataError) as caught:
        import_labelled(format, tmp_path / "set.jsonl", tmp_path / "out.jsonl")
    assert told in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["set.jsonl"]  # nothing half-written


@pytest.mark.parametrize("format", FORMATS)
def test_other_columns_are_told(tmp_path, format):
    (tmp_path / "set.csv").write_text("question,answer\nq,a\n", encoding="utf-8")

    with pytest.raises(DataError) as caught:
        import_labelled(format, tmp_path / "set.csv", tmp_path / "out.jsonl")
    assert caught.value.found == "the columns question, answer"
    assert "prompt" in caught.value.expected


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.parquet", b"PAR1", "found a .parquet file"),
        ("a.jsonl", b"{\n", "a.jsonl:1: found no JSON"),
        ("a.jsonl", b"[1]\n", "a.jsonl:1: found list"),
        ("a.jsonl", b"\xff\n", "not UTF-8"),
        ("a.jsonl", b"", "no row to keep (an empty file)"),
        ("a.csv", b"language,id,prompt,response,response_harm_label,response_refusal_label\nThai,1,p,r,,\n", "no row to keep (1 neither"),
        ("a.csv", b"id,prompt\n1,2,3\n", "a.csv:2: found more cells than columns"),
        ("a.csv", b'id,prompt\n1,"2\n', "found no CSV"),
    ],
)  # fmt: skip
def test_file_that_is_none(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DataError) as caught:
        import_labelled("polyguard", tmp_path / name, tmp_path / "out.jsonl")
    assert told in str(caught.value)


def test_out_is_not_overwritten_and_formats_are_named(tmp_path):
    with pytest.raises(ConfigError, match="exists"):
        import_labelled("xstest", tmp_path, tmp_path)
    with pytest.raises(ConfigError, match="jailbreakbench, xstest, polyguard, healthbench"):
        import_labelled("wildguard", tmp_path, tmp_path / "out")
    with pytest.raises(DataError):
        import_labelled("xstest", tmp_path / "none.csv", tmp_path / "out")
