import base64
import csv
import hashlib
import io
import re

import pytest

from jmedethic_plugin.core.base import Bilingual
from jmedethic_plugin.corpus.lint import entries_of
from jmedethic_plugin.reporting.review_sheet import render_csv, render_sheet

HOSTILE = '<script>alert(1)</script> </textarea>" onload=x \u202eabc {{ 7*7 }}'


@pytest.fixture
def sheet_input(corpus):
    return corpus.guidelines["B11"], [e for e in entries_of(corpus) if e.guideline_id == "B11"], corpus.strategies


def test_page_holds_every_text_and_a_place_to_answer(sheet_input):
    guideline, entries, strategies = sheet_input

    page = render_sheet(guideline, entries, strategies)

    assert page.count('value="agree"') == len(entries) + 1
    assert page.count("<textarea") == len(entries) + 1
    assert all(f'data-key="{e.key}" data-text="{e.entry.text_digest}"' in page for e in entries)
    assert "http://" not in page
    assert "https://" not in page


def test_page_runs_its_own_script_alone(sheet_input):
    page = render_sheet(*sheet_input)

    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in page


def test_hostile_text_stays_text(sheet_input):
    guideline, entries, strategies = sheet_input
    guideline = guideline.model_copy(update={"requires": Bilingual(ja=HOSTILE, en=HOSTILE), "title": Bilingual(ja=HOSTILE, en="x")})

    page = render_sheet(guideline, entries, strategies)

    assert page.count("<script") == 1
    assert "{{ 7*7 }}" in page
    assert "\u202e" not in page


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_no_cell_is_a_formula(sheet_input, start):
    guideline, entries, strategies = sheet_input
    guideline = guideline.model_copy(update={"requires": Bilingual(ja=f"{start}HYPERLINK", en="x")})

    rows = list(csv.reader(io.StringIO(render_csv(guideline, entries, strategies), newline="")))

    assert rows[1][2] == f"'{start}HYPERLINK"
