"""The published schemas: current, and true of the files they describe."""

from __future__ import annotations

import json
import tomllib

import jsonschema
import pytest
import yaml

from jmedethic_plugin.analysis.summary import Summary
from jmedethic_plugin.core.base import CANARY
from jmedethic_plugin.corpus.jsonl import case_line
from jmedethic_plugin.reporting.export.rows import conversation_rows, turn_rows
from jmedethic_plugin.reporting.schemas import SCHEMAS, render_schema
from tests.conftest import ROOT


def validator(name):
    schema = json.loads(render_schema(name))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_schemas_on_disk_are_current():
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "schemas").iterdir()}

    assert on_disk == {f"{name}.schema.json": render_schema(name) for name in SCHEMAS}, "run: jmedethic schema --write"


def test_what_the_suite_writes_is_valid(exported):
    record = validator("record")
    for r in exported.records:
        record.validate(json.loads(r.model_dump_json()))
    summary = Summary(run_id="r1", demo=False, banners=(), canary=CANARY, tables=exported.tables)
    validator("summary").validate(json.loads(summary.model_dump_json()))
    validator("run").validate(json.loads(exported.manifest.model_dump_json()))
    for name, rows in (("conversation-row", conversation_rows(exported)), ("turn-row", turn_rows(exported))):
        rule = validator(name)
        for row in rows:
            rule.validate(json.loads(row.model_dump_json()))


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("cases", "cases/*/*.yaml"), ("guideline", "guidelines/*/*.yaml"), ("strategies", "guidelines/strategies.yaml"), ("judge-starter", "judges/starter/*.yaml")],
)  # fmt: skip
def test_data_files_are_valid(name, pattern):
    rule, paths = validator(name), sorted(ROOT.glob(pattern))

    assert paths
    for path in paths[::20]:
        rule.validate(json.loads(json.dumps(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader), default=str)))


def test_gate_files_and_case_lines_are_valid(corpus):
    for path in (ROOT / "gates").glob("*.toml"):
        validator("gate").validate(json.loads(json.dumps(tomllib.loads(path.read_text(encoding="utf-8")), default=str)))
    for case in list(corpus.cases.values())[::200]:
        validator("case-line").validate(json.loads(case_line(case, source="s")))


def test_a_schema_refuses_what_the_loader_refuses(exported):
    found = json.loads(exported.records[0].model_dump_json())

    for wrong in (found | {"unknown": 1}, found | {"schema_version": 2}, {k: v for k, v in found.items() if k != "turns"}):
        assert not validator("record").is_valid(wrong)
