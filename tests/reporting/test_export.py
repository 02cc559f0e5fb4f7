"""Exports: what other tools read is what the summary says, and nothing in it can hurt them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.core.base import CANARY
from jmedethic_plugin.core.record import CaseRecord
from jmedethic_plugin.core.text import is_invisible
from jmedethic_plugin.errors import ConfigError
from jmedethic_plugin.reporting.export.documents import render_hf, render_inspect, render_jsonl, render_sarif
from jmedethic_plugin.reporting.export.rows import ConversationRow
from jmedethic_plugin.reporting.export.tables import _cell, render_csv, render_parquet
from jmedethic_plugin.reporting.export.writing import FORMATS, write_export
from jmedethic_plugin.reporting.redaction import redacted
from tests.reporting.conftest import SECRET

BINARY = {"parquet"}


def read_csv(exported, name, *, bom=False):
    text = render_csv(exported, bom=bom)[f"{name}.csv"]
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def counts(rows, language):
    """Of an export's adversarial conversations in a language: safe, not safe, not measured."""
    own = [row for row in rows if row["language"] == language and row["kind"] == "adversarial"]
    said = [row["safe"] for row in own]
    return tuple(sum(s in kind for s in said) for kind in ((True, "true"), (False, "false"), (None, "")))


def of_summary(exported):
    return {t.language: (t.safe.n_yes, t.safe.n_no, t.safe.n_not_measured) for t in exported.tables.languages}


def test_fixture_holds_every_outcome(exported):
    assert all(min(of_language) > 0 for of_language in of_summary(exported).values())


@given(st.text() | st.tuples(st.sampled_from("=+-@＝＋－＠\t\r\n"), st.text()).map("".join))
def test_no_csv_cell_is_a_formula_or_steers_a_terminal(text):
    quoted = _cell(text)
    (cell,), = csv.reader(io.StringIO(quoted, newline=""))

    assert quoted.startswith('"')
    assert not re.match(r"[=+\-@＝＋－＠\t\r\n]", cell)
    assert all(ch in "\n\t" or not is_invisible(ch) for ch in cell)


def test_csv_quotes_everything_and_counts_as_the_summary(exported):
    text = render_csv(exported, bom=False)["conversations.csv"]
    rows = read_csv(exported, "conversations")

    assert all(cell == "" or cell[0] == cell[-1] == '"' for line in text.split("\r\n") for cell in re.split(r',(?="|,|$)', line))
    assert list(rows[0]) == list(ConversationRow.model_fields)
    assert {language: counts(rows, language) for language in ("ja", "en")} == of_summary(exported)
    assert len(read_csv(exported, "turns")) == sum(len(r.turns) for r in exported.records)


def test_turn_rows_give_every_judge_a_seat(exported):
    rows = {(row["case_id"], row["turn_number"]): row for row in read_csv(exported, "turns")}

    for record in exported.records:
        for turn in record.turns:
            row = rows[record.case.id, str(turn.turn_number)]
            heard = [] if turn.panel is None else [*turn.panel.verdicts, turn.panel.third]
            points = ["" if v is None or v.kind == "unscored" else str(v.points) for v in heard] or [""] * 3
            assert [row[f"judge_{n}_points"] for n in (1, 2, 3)] == points
            assert row["reply"] == turn.reply.text


def test_byte_order_mark_is_an_option_of_csv(exported, tmp_path):
    write_export("csv", tmp_path, exported, bom=True)

    assert (tmp_path / "turns.csv").read_bytes()[:3] == b"\xef\xbb\xbf"
    with pytest.raises(ConfigError, match="--bom with --format sarif"):
        write_export("sarif", tmp_path, exported, bom=True)


def test_parquet_is_typed_and_opens_in_data_frames(exported, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra export is not installed")
    write_export("parquet", tmp_path, exported)
    schema = pq.read_schema(tmp_path / "turns.parquet")

    assert [str(schema.field(name).type) for name in ("turn_number", "points", "violated", "reply")] == ["int64", "double", "bool", "string"]
    assert not schema.field("reply").nullable
    assert schema.field("points").nullable
    assert schema.metadata[b"jmedethic.schema_version"] == b"1"
    assert schema.metadata[b"jmedethic.canary"].decode() == CANARY
    rows = pq.read_table(tmp_path / "conversations.parquet").to_pylist()
    assert {language: counts(rows, language) for language in ("ja", "en")} == of_summary(exported)


@pytest.mark.parametrize("tool", ["pandas", "polars", "duckdb"])
@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_data_tools_read_the_exports(exported, tmp_path, tool, kind):
    library = pytest.importorskip(tool, reason=f"{tool} is not installed")
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="the extra export is not installed")
    path = next(p for p in write_export(kind, tmp_path, exported) if p.stem in ("conversations", "records"))

    if tool == "duckdb":
        found = library.sql(f"SELECT * FROM '{path}'").fetchall()
        safe = None if kind == "jsonl" else library.sql(f"SELECT count(*) FROM '{path}' WHERE safe").fetchall()[0][0]
    else:
        more = {"lines": True} if (tool, kind) == ("pandas", "jsonl") else {}
        reader = {"jsonl": "read_json" if tool == "pandas" else "read_ndjson"}.get(kind, f"read_{kind}")
        found = getattr(library, reader)(path, **more)
        safe = None if kind == "jsonl" else int(found["safe"].sum())

    assert len(found) == len(exported.records)
    assert safe in (None, sum(n_safe for n_safe, _, _ in of_summary(exported).values()))


def test_sarif_has_a_result_for_each_violating_conversation_and_no_text(exported):
    text = render_sarif(exported)["jmedethic.sarif"]
    run = json.loads(text)["runs"][0]
    violating = {r.case.id for r in exported.records if r.assess(exported.manifest.threshold).finding == "violation"}

    assert {result["properties"]["item"] for result in run["results"]} == violating
    assert len(run["results"]) == len(violating) == len({result["partialFingerprints"]["jmedethicItem/v1"] for result in run["results"]})
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert (Path(__file__).parents[2] / place).is_file()
        assert result["properties"]["points"] < 5
    assert SECRET not in text
    assert all(t not in text for r in exported.records for t in (*r.case.user_turns, r.case.request))
    assert run["properties"]["rates"]["safe_ja"] == exported.tables.languages[0].safe.model_dump(mode="json")


def test_inspect_log_says_what_the_summary_says_and_scores_only_what_was_measured(exported):
    (name, text), = render_inspect(exported).items()
    log = json.loads(text)
    scores = {score["name"]: score for score in log["results"]["scores"]}

    assert re.fullmatch(r"2026-01-01T00-00-00\+00-00_jmedethic_[0-9a-f]{22}\.json", name)
    for table in exported.tables.languages:
        assert scores["safe"]["metrics"][f"rate_{table.language}"]["value"] == table.safe.rate.point
        assert scores["answered"]["metrics"][f"over_refusal_high_{table.language}"]["value"] == table.over_refusal.rate.high
    given = [s["scores"].get("safe", {}).get("value") for s in log["samples"] if s["metadata"]["kind"] == "adversarial"]
    assert (given.count("C"), given.count("I"), given.count(None)) == tuple(map(sum, zip(*of_summary(exported).values(), strict=True)))


def test_inspect_itself_opens_the_log(exported, tmp_path):
    python = os.environ.get("JMEDETHIC_INSPECT_PYTHON")
    if not python:
        pytest.skip("JMEDETHIC_INSPECT_PYTHON names no interpreter that has inspect_ai; it cannot share an environment with LiteLLM")
    (path,) = write_export("inspect", tmp_path, exported)
    code = (
        "import sys, json; from inspect_ai.log import list_eval_logs, read_eval_log, read_eval_log_sample_summaries as s; "
        "log = read_eval_log(sys.argv[1]); print(json.dumps([log.status, len(log.samples), len(s(sys.argv[1])), len(list_eval_logs(sys.argv[2])), "
        "log.results.scores[0].metrics['rate_ja'].value, log.samples[0].messages[1].text]))"
    )

    found = subprocess.run([python, "-c", code, str(path), str(tmp_path)], capture_output=True, text=True, check=True, timeout=120).stdout

    n, first = len(exported.records), exported.records[0]
    assert json.loads(found) == ["success", n, n, 1, exported.tables.languages[0].safe.rate.point, first.turns[0].reply.text]


def test_hugging_face_folder_states_licence_canary_and_the_summary(exported):
    files = render_hf(exported)
    card = files["README.md"]
    rows = [json.loads(line) for name in files if name.startswith("data/") for line in files[name].splitlines()]

    assert "license: cc-by-4.0\n" in card
    assert CANARY in card
    for table in exported.tables.languages:
        assert f"- {table.language}: safe {table.safe.n_yes}/{table.safe.n_yes + table.safe.n_no} = " in card
        assert f"path: data/{table.language}.jsonl" in card
    assert len(rows) == len(exported.records)
    assert all(row["canary"] == CANARY and len(row["messages"]) == 6 for row in rows)
    foreign = exported._replace(manifest=exported.manifest.model_copy(update={"selection": {"case_files": ["theirs.jsonl"]}}))
    assert "license: other\n" in render_hf(foreign)["README.md"]
    assert "physicalLocation" not in render_sarif(foreign)["jmedethic.sarif"]


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in BINARY])
def test_two_exports_are_equal_and_a_redacted_one_holds_no_text(exported, tmp_path, name):
    first, second = (
        {p.name: p.read_bytes() for p in write_export(name, tmp_path / part, exported, redact=True)} for part in ("a", "b")
    )
    texts = [SECRET, *(t for r in exported.records for t in (*r.case.user_turns, r.case.request, r.case.violating, r.case.acceptable))]

    assert first == second
    assert all(text not in content.decode() for content in first.values() for text in texts)


def leaves(value, path=()):
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key) if isinstance(value, dict) else path)


NAMES = {
    "id", "language", "kind", "category", "guideline_id", "group", "strategy", "twin_of", "expected", "role", "authority", "politeness", "setting",
    "severity", "review_status", "target", "judges", "outcome", "finish_reason", "served_model", "fingerprint", "judge", "response_class", "cause",
    "instead_of", "author", "flags",
}  # fmt: skip
"""Fields that hold a name or one of a closed list. A field that is new and not here fails the test until someone decides."""


def test_redaction_leaves_names_only_and_a_valid_record(exported):
    for record in exported.records:
        bare = redacted(record)
        for path, text in leaves(bare.model_dump(mode="json")):
            assert path[-1] in NAMES or not text or re.fullmatch(r"\[redacted: [1-9][0-9]* characters, [0-9a-f]{12}\]", text), path
        assert CaseRecord.model_validate_json(bare.model_dump_json()) == bare
        assert bare.assess(exported.manifest.threshold) == record.assess(exported.manifest.threshold)


def test_jsonl_is_the_records(exported):
    lines = render_jsonl(exported)["records.jsonl"].splitlines()

    assert [CaseRecord.model_validate_json(line) for line in lines] == exported.records


def test_parquet_without_pyarrow_names_the_extra(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ConfigError, match=r"pytest-jmedethic\[export\]"):
        render_parquet(exported)

