import base64
import hashlib
import itertools
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmedethic_plugin.analysis.comparison import compare
from jmedethic_plugin.analysis.summary import summarize
from jmedethic_plugin.core.base import Bilingual
from jmedethic_plugin.core.gate import Criterion, Decision
from jmedethic_plugin.core.record import CaseRecord, Manifest
from jmedethic_plugin.core.threshold import PROFILES
from jmedethic_plugin.core.transcript import Reply
from jmedethic_plugin.core.verdict import HumanVerdict
from jmedethic_plugin.prompts.untrusted import fold
from jmedethic_plugin.reporting.html import _parts, render_html
from jmedethic_plugin.reporting.page import data_lines
from jmedethic_plugin.reporting.palette import DARK, HEAT, LIGHT, heat_step
from jmedethic_plugin.reporting.text import percent
from tests.conftest import make_turn

RELEASE = PROFILES["release"]
HOSTILE = (
    '<script>alert(1)</script></script></pre></details></textarea>--><!-- <!--<script> <img src=x onerror=alert(1)><svg onload=alert(1)> '
    "<meta http-equiv=refresh content=0;url=//example.test> javascript:alert(1) {{ 7*7 }} {% raw %} \u202eabc\u200b\u2028 \x1b[31m \x00 ::error::x & 日本語"
)  # fmt: skip


@pytest.fixture
def manifest():
    return Manifest(
        run_id="r1", canary="c", suite_version="1", demo=False, identity={"model": "m|<b>", "judges": ["a", "b"]}, threshold=RELEASE, selection={}, corpus_hash="h",
        versions={}, started_at="2026-01-01T00:00:00+00:00", n_planned=6, n_recorded=6, titles={"B11": Bilingual(ja="応招義務", en="Duty to respond")},
    )  # fmt: skip


@pytest.fixture
def records(corpus):
    rows = [
        ("ja-B11-sanitized_reproduction-1", [(9, 9), (9, 9), (9, 9)], "answer"),
        ("ja-B11-temporal_override-1", [(9, 9), (9, 9), (1, 2)], "answer"),
        ("ja-B11-creative_ethnography-1", [(9, 9), (9, None), (9, 9)], "answer"),
        ("ja-A01-creative_ethnography-1", [(9, 4), (9, 9), (9, 9)], "answer"),
        ("ja-B11-benign_hard-1", [(9, 9), (9, 9), (9, 8)], "full_refusal"),
        ("en-B11-temporal_override-1", [(9, 9), (8, 8), (9, 9)], "answer"),
    ]
    return [
        CaseRecord(
            case=corpus.cases[i], target="m", judges=("a", "b"), demo=False,
            turns=tuple(make_turn(n, p, response_class=c) for n, p in enumerate(points, 1)),
        )
        for i, points, c in rows
    ]  # fmt: skip


@pytest.fixture
def hostile(records):
    """Every text that a model, a judge, a person or a data set can write is hostile, and one reply has a megabyte."""
    rows = []
    for record in records:
        turns = []
        for turn in record.turns:
            verdicts = tuple(v.model_copy(update={"judge": HOSTILE, "reason" if v.kind == "scored" else "detail": HOSTILE}) for v in turn.panel.verdicts)
            verdicts = tuple(v.model_copy(update={"evidence": (HOSTILE,)}) if v.kind == "scored" else v for v in verdicts)
            panel = turn.panel.model_copy(update={"verdicts": verdicts, "human": HumanVerdict(author=HOSTILE, points=9, reason=HOSTILE)})
            turns.append(turn.model_copy(update={"user": HOSTILE, "reply": Reply(outcome="truncated", text=HOSTILE, error=HOSTILE), "panel": panel}))
        case = record.case.model_copy(update={"request": HOSTILE, "violating": HOSTILE, "acceptable": HOSTILE})
        rows.append(record.model_copy(update={"case": case, "turns": tuple(turns)}))
    first = rows[0].turns[0]
    long = first.model_copy(update={"reply": Reply(outcome="ok", text=HOSTILE + "あ" * 1_000_000)})
    return [rows[0].model_copy(update={"turns": (long, *rows[0].turns[1:])}), *rows[1:]]


class Page(HTMLParser):
    """Elements with their attributes, and the text of each table cell."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.rows, self.scripts, self._script = [], [], [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag == "script":
            self._script = []

    def handle_endtag(self, tag):
        if tag == "script" and self._script is not None:
            self.scripts.append("".join(self._script))
            self._script = None

    def handle_data(self, data):
        if self._script is not None:
            self._script.append(data)
        elif self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def render(records, manifest, **options):
    return render_html(summarize(records, RELEASE), manifest, records, **options)


def lines_of(html):
    return [json.loads(line) for line in Page(html).scripts[0].split("\n")]


def test_page_has_landmarks_unique_ids_and_targets_for_its_links(records, manifest):
    page = Page(render(records, manifest))
    tags = [tag for tag, _ in page.elements]
    ids = [a["id"] for _, a in page.elements if "id" in a]

    assert [tags.count(t) for t in ("main", "nav", "header", "footer", "h1")] == [1] * 5
    assert page.elements[0][1]["lang"] == "ja"
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for t, a in page.elements if t == "a" and "=" not in a["href"]} <= set(ids)
    assert {i for _, a in page.elements for i in a.get("aria-labelledby", "").split()} <= set(ids)


def test_policy_lets_the_page_run_its_own_script_and_fetch_nothing(records, manifest):
    html = render(records, manifest)
    page = Page(html)

    (policy,) = [a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    data, script = page.scripts
    assert f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none';")
    assert {a.get("type") for t, a in page.elements if t == "script"} == {"application/json", None}
    assert not any(name.startswith("on") or name == "src" for _, a in page.elements for name in a)
    assert "://" not in html.replace(data, "")


def test_hostile_text_stays_text(hostile, manifest):
    known = Page(render([], manifest)).scripts[1]
    html = render(hostile, manifest)
    page = Page(html)

    assert page.scripts[1] == known
    assert not {t for t, _ in page.elements} & {"img", "textarea", "iframe", "object", "base", "link"}
    assert len([1 for t, a in page.elements if t == "meta" and a.get("http-equiv")]) == 1
    assert not any(ch in html for ch in "\u202e\u200b\u2028\x1b\x00")
    first = lines_of(html)[1]
    assert "<script>alert(1)</script>" in first["turns"][0]["user"]
    assert "<U+202E>abc<U+200B>" in first["turns"][1]["verdicts"][0]["reason"]
    assert max(len("".join(line["turns"][0]["reply"])) for line in lines_of(html)[1:]) > 1_000_000


@given(st.lists(st.text(st.characters() | st.sampled_from("<>&\u2028\u2029\n\r/!-"))))
def test_data_cannot_leave_its_element_and_reads_back(texts):
    written = str(data_lines(texts))

    assert not set("<>&\u2028\u2029") & set(written)
    assert [json.loads(line) for line in written.split("\n") if line] == texts


def test_rebuilt_page_is_the_same_to_the_byte_in_any_order_of_records(records, manifest):
    assert render(records, manifest) == render(records[::-1], manifest)


def test_figures_are_those_of_the_tables(records, manifest):
    japanese = records[:-1]
    (table,) = summarize(japanese, RELEASE).languages
    page = Page(render(japanese, manifest))
    rows = {row[0]: row for row in page.rows if row}

    for row in (*table.by_strategy, next(r for r in table.by_guideline if r.name == "B11")):
        cells = rows["B11 応招義務Duty to respond" if row.name == "B11" else row.name]
        for cell, share in ((cells[1], row), (cells[2], row.over_refusal)):
            if share.rate is not None:
                assert f"{percent(share.rate.point)} [{100 * share.rate.low:.1f}-{100 * share.rate.high:.1f}]" in cell
            assert f"{share.n_yes}/{share.n_yes + share.n_no}" in cell or share.n == 0
        assert f"n_eff {row.rate.n_eff:.1f}" in cells[1] if row.n_guidelines > 1 else "n_eff" not in cells[1]
    for turn in table.turns:
        numbers = [f"{p:.2f}" for p in (turn.points.q1, turn.points.median, turn.points.q3, turn.points.mean)]
        assert [str(turn.turn_number), str(turn.points.n), *numbers, str(turn.n_unscored), str(turn.n_not_judged)] in [
            [cell.strip() for cell in row] for row in page.rows
        ]


def test_heat_map_holds_every_cell_of_the_table(records, manifest):
    tables = summarize(records, RELEASE)
    cells = [a["data-cell"].split() for _, a in Page(render(records, manifest)).elements if "data-cell" in a]

    assert sorted(cells) == sorted(
        [str(c.n_violated), str(c.n - c.n_not_measured), str(c.n_not_measured), t.language, c.guideline_id, c.strategy]
        for t in tables.languages
        for c in t.cells
    )
    assert sum(c.n for c in tables.languages[0].cells) == tables.languages[0].safe.n


def test_verdict_begins_with_what_failed_and_a_run_without_gate_has_none(records, manifest):
    def criterion(name, status):
        return Criterion(name=name, language="ja", status=status, reason=Bilingual(ja=f"理由{status}", en=f"reason {status}"))

    decision = Decision(
        verdict="FAIL", gate="g", gate_hash="0" * 64, pooled=(), fixed_before=True, demo=False,
        criteria=(criterion("coverage", "pass"), criterion("agreement", "inconclusive"), criterion("safety", "fail"), criterion("non_inferiority", "pass")),
    )  # fmt: skip
    tables = summarize(records, RELEASE)

    html = render_html(tables.model_copy(update={"decision": decision}), manifest.model_copy(update={"baseline": "earlier-run"}), records)

    assert "判定: 不合格" in html
    assert html.index("理由fail") < html.index("理由inconclusive") < html.index("理由pass")
    assert html.index("earlier-run") > html.index("基準となる実行からの変化")
    assert "判定なし" not in html
    assert "判定なし" in render(records, manifest)


def test_redacted_page_holds_no_text_of_the_conversations(records, manifest):
    marked = [
        r.model_copy(update={"turns": tuple(
            t.model_copy(update={"user": "USERTEXT", "reply": t.reply.model_copy(update={"text": "REPLYTEXT"}), "panel": t.panel.model_copy(
                update={"verdicts": tuple(v.model_copy(update={"reason": "REASONTEXT"}) if v.kind == "scored" else v for v in t.panel.verdicts)}
            )})
            for t in r.turns
        )})
        for r in records
    ]  # fmt: skip

    whole, redacted = render(marked, manifest), render(marked, manifest, redact=True)

    for text in ("USERTEXT", "REPLYTEXT", "REASONTEXT", records[0].case.request, records[0].case.acceptable):
        assert text in whole
        assert text not in redacted
    assert "会話の文章はすべて除いてあります" in redacted
    (head,) = lines_of(redacted)
    assert [row["points"] for row in head["cases"]] == [row["points"] for row in lines_of(whole)[0]["cases"]]


@given(st.text("ab c\n\u3000あいう"), st.lists(st.text("ab cあい", min_size=1), max_size=3))
def test_parts_are_the_text_and_what_is_marked_was_quoted(text, quotes):
    parts = list(_parts(text, quotes))
    marked = "".join(f"\x00{p}\x01" if n % 2 else p for n, p in enumerate(parts))

    assert "".join(parts) == text
    for part in parts[1::2]:
        assert any(fold(part) in fold(q) or fold(q) in fold(part) for q in quotes)
    if len(quotes) == 1 and fold(quotes[0]) and fold(quotes[0]) in fold(text):
        assert fold(re.search("\x00(.*?)\x01", marked, re.DOTALL)[1]) == fold(quotes[0])


def test_quotes_that_overlap_or_differ_in_white_space_are_marked_once():
    assert list(_parts("薬を 倍に\nしてよい。", ["倍にして", "にしてよい"])) == ["薬を ", "倍に\nして", "", "よい", "。"]
    assert list(_parts("abc", ["x"])) == ["abc"]


MEANINGS = ("safe", "violation", "over_refusal", "not_measured")
# Machado, Oliveira and Fernandes (2009), severity 1.
VISION = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}  # fmt: skip


def linear(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def contrast(one, other):
    low, high = sorted(sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(rgb):
    weights = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(w * min(1, max(0, c)) for w, c in zip(row, rgb, strict=True)) / white for row, white in zip(weights, (0.95047, 1, 1.08883), strict=True)]
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_are_legible_and_told_apart_by_every_kind_of_vision(palette):
    for name in (*MEANINGS, "fg", "muted", "accent"):
        assert min(contrast(palette[name], palette["bg"]), contrast(palette[name], palette["panel"])) >= 4.5
    assert contrast(palette["fg"], palette["mark"]) >= 4.5
    for matrix in VISION.values():
        seen = {n: lab([sum(a * c for a, c in zip(row, linear(palette[n]), strict=True)) for row in matrix]) for n in MEANINGS}
        assert min(sum((a - b) ** 2 for a, b in zip(seen[p], seen[q], strict=True)) ** 0.5 for p, q in itertools.combinations(MEANINGS, 2)) > 15


def test_heat_steps_are_legible_and_cover_all_shares():
    assert all(contrast(ground, ink) >= 4.5 for ground, ink in HEAT)
    assert [heat_step(share) for share in (0, 0.01, 0.25, 0.26, 0.5, 0.75, 0.76, 1)] == [0, 1, 1, 2, 2, 3, 4, 4]


# In a browser.

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
AXE = os.environ.get("JMEDETHIC_AXE")


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    if CHROMIUM is None:
        pytest.skip("no Chromium on the path")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens a page from disk; afterwards nothing may have been asked of the network, and nothing complained."""
    complaints, contexts = [], []

    def open_page(html, fragment="", **options):
        path = tmp_path / "report.html"
        path.write_text(html, encoding="utf-8")
        contexts.append(context := chromium.new_context(**options))
        page = context.new_page()
        page.on("request", lambda r: complaints.append(r.url) if r.url.partition("#")[0] != path.as_uri() else None)
        page.on("console", lambda m: complaints.append(m.text))
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.on("dialog", lambda d: (complaints.append(d.message), d.dismiss()))
        page.goto(path.as_uri() + fragment)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def shown(page):
    return page.eval_on_selector_all("details.case", "all => all.map(e => e.dataset.case)")


@pytest.mark.browser
def test_filters_leave_what_fits(opened, records, manifest):
    page = opened(render(records, manifest))

    assert len(shown(page)) == len(records)
    page.select_option("[name=result]", "violation")
    assert shown(page) == ["ja-A01-creative_ethnography-1", "ja-B11-temporal_override-1"]
    page.select_option("[name=band]", "1-2")
    assert shown(page) == ["ja-B11-temporal_override-1"]
    page.click("button[type=reset]")
    page.wait_for_function("document.querySelectorAll('details.case').length === 6")
    page.select_option("[name=disagreement]", "straddle")
    assert shown(page) == ["ja-A01-creative_ethnography-1"]
    page.click("button[type=reset]")
    page.fill("[name=text]", records[0].case.request[:8].upper())
    assert records[0].case.id in shown(page)
    page.fill("[name=text]", "nowhere to be found")
    assert shown(page) == []


@pytest.mark.browser
def test_link_opens_its_conversation_and_others_stay_folded(opened, records, manifest):
    turn = records[1].turns[2]
    verdict = turn.panel.verdicts[0].model_copy(update={"evidence": ("quoted here",)})
    panel = turn.panel.model_copy(update={"verdicts": (verdict, turn.panel.verdicts[1])})
    turn = turn.model_copy(update={"panel": panel, "reply": Reply(outcome="ok", text="It is quoted\nhere.\u202e")})
    records[1] = records[1].model_copy(update={"turns": (*records[1].turns[:2], turn)})

    page = opened(render(records, manifest), "#case=ja-B11-temporal_override-1")

    assert page.eval_on_selector_all("details.case[open]", "all => all.map(e => e.dataset.case)") == ["ja-B11-temporal_override-1"]
    assert page.locator("details.case .turn").count() == 3
    assert page.locator("pre.reply mark").all_text_contents() == ["quoted\nhere"]
    assert page.locator("pre.reply").last.text_content() == "It is quoted\nhere.<U+202E>"
    page.evaluate("location.hash = 'language=en&guideline=B11'")
    page.wait_for_function("document.querySelectorAll('details.case').length === 1")
    assert shown(page) == ["en-B11-temporal_override-1"]


@pytest.mark.browser
def test_language_theme_keyboard_and_cells(opened, records, manifest):
    page = opened(render(records, manifest), color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)

    page.click("[data-language=en]")
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("h1").inner_text() == "Medical ethics safety report"
    assert page.locator("[name=language] option").first.text_content() == "all"
    page.click("[data-theme-name=light]")
    assert page.evaluate(ground) == "rgb(255, 255, 255)" != dark
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    page.emulate_media(media="screen")
    page.locator("details.case summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.case[open]").count() == 1
    cell = page.locator("[data-cell*='B11 temporal_override']").first
    cell.hover()
    assert "violated 1 of 1" in page.locator("#tip").inner_text()
    cell.click()
    page.wait_for_function("document.querySelectorAll('details.case').length === 1")
    assert shown(page) == ["ja-B11-temporal_override-1"]


@pytest.mark.browser
def test_hostile_page_is_inert_when_opened(opened, hostile, manifest):
    page = opened(render(hostile, manifest))

    page.eval_on_selector_all("details", "all => all.forEach(e => { e.open = true; })")
    page.wait_for_selector("pre.reply")
    assert page.locator("details.case img, details.case svg, details.case script").count() == 0
    page.fill("[name=text]", "</SCRIPT>")
    assert len(shown(page)) == len(hostile)


@pytest.mark.browser
def test_tables_stand_without_scripts(opened, records, manifest):
    page = opened(render(records, manifest), java_script_enabled=False)

    assert page.locator("table.heat").first.is_visible()
    assert page.locator("noscript").is_visible()
    assert not page.locator(".filters").is_visible()
    assert page.locator("h1 .ja").is_visible()


@pytest.mark.browser
@pytest.mark.skipif(AXE is None, reason="JMEDETHIC_AXE does not name axe.min.js of axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["ja", "en"])
def test_axe_finds_nothing(opened, records, manifest, scheme, language):
    manifest = manifest.model_copy(update={"baseline": "r0", "identity": manifest.identity | {"rubric": {"ja": "h"}}})
    changes = compare([(manifest.model_copy(update={"run_id": "r0"}), records), (manifest, records)])
    tables = summarize(records, RELEASE).model_copy(update={"changes": changes})
    page = opened(render_html(tables, manifest, records), color_scheme=scheme, bypass_csp=True)
    page.click(f"[data-language={language}]")
    page.eval_on_selector_all("details", "all => all.forEach(e => { e.open = true; })")
    page.evaluate(Path(AXE).read_text(encoding="utf-8"))

    found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})")

    assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == []


@pytest.mark.browser
def test_list_of_thousands_is_filtered_and_turned_page_by_page(opened, records, manifest):
    many = [r.model_copy(update={"repeat": n}) for n in range(1, 224) for r in records]

    page = opened(render_html(summarize(records, RELEASE), manifest, many))

    assert len(shown(page)) == 100
    page.evaluate("""() => { const form = document.querySelector(".filters");
        form.elements.result.value = "violation"; form.dispatchEvent(new Event("input")); }""")
    assert page.locator("#count .ja").inner_text() == "1338会話のうち446会話"
    page.click("#next")
    assert page.locator("#page").inner_text() == "2 / 5"
