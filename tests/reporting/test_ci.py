import json
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from jmedethic_plugin.analysis.summary import summarize
from jmedethic_plugin.core.base import Bilingual
from jmedethic_plugin.core.gate import Criterion, Decision
from jmedethic_plugin.core.record import Sitting
from jmedethic_plugin.core.text import without_credentials
from jmedethic_plugin.core.threshold import ThresholdFailure
from jmedethic_plugin.core.transcript import OUTCOMES, Reply, Turn
from jmedethic_plugin.core.verdict import PanelVerdict, Scored
from jmedethic_plugin.engine.retry import RETRIED
from jmedethic_plugin.errors import NotMeasuredError
from jmedethic_plugin.reporting import allure_html
from jmedethic_plugin.reporting.allure import CATEGORIES, PROVIDER_FAULTS, write_run_files
from jmedethic_plugin.reporting.ci import MAX_ANNOTATIONS, annotation_lines, announce, append_summary, junit_properties
from jmedethic_plugin.reporting.markdown import MAX_BYTES, capped, render_markdown
from jmedethic_plugin.reporting.text import inert, quoted, summary_lines, table_lines, transcript_lines
from tests.conftest import make_turn
from tests.reporting.test_report_page import HOSTILE
from tests.reporting.test_reports import RELEASE, manifest, records  # noqa: F401  # fixtures are used by their names

ATTACK = f"{HOSTILE}\n::set-output name=x::y\n\u3000::error::x\n##[error]x\r\n::add-mask::x ##vso[task.setvariable]\n</details>\n```\n=cmd|'/c calc'!A1"
COMMAND = re.compile(r"^\s*::|##\w*\[", re.MULTILINE)


def reject(name, **values):
    values = {"name": "safety", "language": "ja", "status": "fail", "reason": Bilingual(ja="満たさない", en="not met: 50 %")} | values
    return Decision(
        verdict="FAIL", gate=name, gate_hash="a" * 64, criteria=(Criterion(name="selection", language=None, status="pass", reason=Bilingual(ja="可", en="ok")), Criterion(**values)),
        pooled=(), fixed_before=True, demo=False,
    )  # fmt: skip


@pytest.fixture
def hostile(records):  # noqa: F811
    """The failed conversation with hostile text wherever a model speaks, and the others."""
    passed, failed, *rest = records
    verdict = Scored(judge="j0", points=1.0, response_class="harmful", reason=ATTACK, evidence=(ATTACK,))
    panel = PanelVerdict(verdicts=(verdict, verdict.model_copy(update={"judge": "j1"})), flags=("judge words",))
    turns = tuple(Turn(turn_number=n, user=ATTACK, reply=Reply(outcome="ok", text=ATTACK), panel=panel) for n in (1, 2, 3))
    return [passed, failed.model_copy(update={"turns": turns, "target": ATTACK}), *rest]


# --- workflow commands and terminals ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", ": :error::x"), ("  ::error::x", "  : :error::x"), ("\u3000::x", "\u3000: :x"), ("a::b", "a::b"), ("##[error]x", "# #[error]x"),
        ("a ##vso[x]", "a # #vso[x]"), ("## Heading", "## Heading"), ("one\n::two", "one\n: :two"), ("\x1b[0Ksection_start:1:x\r", "<U+001B>[0Ksection_start:1:x<U+000D>"),
    ],
)  # fmt: skip
def test_workflow_commands_are_spaced_out(text, shown):
    assert inert(text) == shown


@given(st.text(st.sampled_from("::##[]avso \u3000\n\r\x1b\u2028\x85")))
def test_no_command_is_left_in_any_text(text):
    assert not COMMAND.search(inert(text))
    assert not any(line.lstrip().startswith("::") for line in "\n".join(quoted("x", text)).splitlines())


def test_hostile_texts_stay_out_of_every_face_that_ci_reads(hostile, manifest):  # noqa: F811
    changed = manifest.model_copy(update={
        "identity": {"model": ATTACK, "judges": [ATTACK, "b"]}, "banners": (ATTACK,),
        "sittings": (Sitting(calls=1, tokens=1, usd=0.0, n_unpriced=0, stopped_by=None, failures=(ATTACK,)),),
    })  # fmt: skip
    tables = summarize(hostile, RELEASE)
    terminal = "\n".join([*summary_lines(tables, changed), *transcript_lines(hostile, RELEASE)])
    markdown = render_markdown(tables, changed)
    logged = annotation_lines(None, hostile, RELEASE)

    for text in (terminal, markdown):
        assert not COMMAND.search(text)
        assert not set(text) & set("\x1b\r\u202e\u200b")
    outside, fence, rest = markdown.partition("```text\n")
    inside, end, after = rest.partition("\n```\n")
    assert fence
    assert end
    assert "<script>" in inside
    assert "<script" not in outside + after
    assert "```" not in inside
    assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in logged)
    assert "script" not in "".join(logged)


def test_transcripts_are_of_failed_conversations_only_and_long_texts_are_cut(records):  # noqa: F811
    one = records[1]
    long = one.turns[2].model_copy(update={"reply": Reply(outcome="ok", text="あ" * 1_000_000)})
    lines = transcript_lines([records[0], one.model_copy(update={"turns": (*one.turns[:2], long)})], RELEASE)

    assert lines[0] == f"{one.case.id}, repeat 1: violation at turn 3"
    assert all(line.startswith("  | ") for line in lines[1:-1])
    assert sum(map(len, lines)) < 6000
    assert "  | ... 996000 more characters" in lines


def test_summary_never_shows_a_conversations_text_and_fits_a_screen(records, manifest):  # noqa: F811
    lines = summary_lines(summarize(records, RELEASE), manifest)

    assert len(lines) <= 60
    assert all(turn.user not in "\n".join(lines) for r in records for turn in r.turns if len(turn.user) > 1)
    order = [next(i for i, line in enumerate(lines) if words in line) for words in ("安全な会話", "何が失敗したか", "詳細 Details")]
    assert order == sorted(order)


def test_table_columns_stand_under_each_other_by_display_width():
    lines = table_lines(("", "安全な会話 safe", "n"), [("日本語 Japanese", "15/16", "3"), ("en", "[bold]1[/]", "14")], 80, right=(2,))

    starts = {cell_len(line[: line.index(word)]) for line, word in zip(lines, ("安全な会話", "15/16", "[bold]1[/]"), strict=True)}
    assert len(starts) == 1
    assert len({cell_len(line) for line in lines}) == 1  # the last column is set flush right


# --- annotations and job summary ----------------------------------------------------------------


def test_annotations_are_escaped_and_worst_first(records):  # noqa: F811
    lines = annotation_lines(reject("release"), records, RELEASE)

    assert lines[0] == "::error title=JMedEthic gate release%3A FAIL::gate aaaaaaaaaaaa"
    assert lines[1] == "::error title=fail%3A safety ja::満たさない not met: 50 %25"
    assert lines[2] == (
        f"::warning title={records[1].case.id}::failed: {'critical guideline, ' if records[1].case.critical else ''}guideline B11, violation at turn 3, points 1 / 2 (1-10, 10 safest)"
    )
    assert [line.split(" ")[0] for line in lines] == ["::error", "::error", "::warning", "::warning", "::warning"]


def test_without_a_gate_a_failed_conversation_is_an_error_and_one_not_measured_a_warning(records):  # noqa: F811
    assert [line.split(" ")[0] for line in annotation_lines(None, records, RELEASE)] == ["::error", "::error", "::warning"]


def test_no_more_annotations_than_github_shows(records):  # noqa: F811
    many = [records[1].model_copy(update={"repeat": n}) for n in range(1, 40)]

    lines = annotation_lines(None, many, RELEASE)

    assert len(lines) == MAX_ANNOTATIONS
    assert lines[-1] == "::notice title=JMedEthic::and 30 more, in the job summary and report.html"


def test_summary_is_appended_and_annotations_are_made_on_github_only(tmp_path, records):  # noqa: F811
    (tmp_path / "summary.md").write_text("# ours\n", encoding="utf-8")
    step = tmp_path / "step.md"
    step.write_text("theirs\n", encoding="utf-8")

    assert announce(tmp_path, None, records, RELEASE, {}) == []
    assert step.read_text(encoding="utf-8") == "theirs\n"
    assert len(announce(tmp_path, None, records, RELEASE, {"GITHUB_STEP_SUMMARY": str(step), "GITHUB_ACTIONS": "true"})) == 3
    assert step.read_text(encoding="utf-8") == "theirs\n# ours\n"


@pytest.mark.parametrize("there", [0, 600_000, MAX_BYTES - 10, MAX_BYTES + 10])
def test_job_summary_stays_below_githubs_limit(tmp_path, there):
    step = tmp_path / "step.md"
    step.write_text("x" * there, encoding="utf-8")

    append_summary(step, "見出し\n" * 100_000)

    assert step.stat().st_size <= max(MAX_BYTES, there)
    step.read_text(encoding="utf-8")  # cut between characters


def test_cut_text_says_so_and_short_text_stays():
    cut = capped("行\n" * 1000, 500)

    assert capped("short", 500) == "short"
    assert len(cut.encode()) <= 500
    assert cut.endswith("> **Cut: the rest stands in report.html.**\n")


# --- JUnit --------------------------------------------------------------------------------------


def test_junit_properties_say_what_was_found_and_are_valid_xml(hostile):
    found = dict(junit_properties(hostile[1], RELEASE))

    assert {k: found[k] for k in ("guideline", "strategy", "finding", "points_turn_1", "status", "injection_suspected", "critical")} == {
        "guideline": "B11", "strategy": "temporal_override", "finding": "violation", "points_turn_1": "1 / 1", "status": "failed", "injection_suspected": "true",
        "critical": str(hostile[1].case.critical).lower(),
    }  # fmt: skip
    for name, value in found.items():
        element = ET.Element("property", name=name, value=value)
        assert ET.fromstring(ET.tostring(element)).get("value") == value.replace("\r", "")
        assert not COMMAND.search(value)


def test_junit_property_of_what_was_not_measured_names_the_outcome(records):  # noqa: F811
    stopped = records[0].model_copy(update={"turns": tuple(make_turn(n, (), outcome="timeout") for n in (1, 2, 3))})

    found = dict(junit_properties(stopped, RELEASE))

    assert (found["status"], found["finding"], found["points_turn_1"]) == ("not_measured", "none", "timeout")


# --- Allure -------------------------------------------------------------------------------------


def message(record):
    with pytest.raises((ThresholdFailure, NotMeasuredError)) as caught:
        record.require(RELEASE, where="records.jsonl")
    return str(caught.value), "failed" if isinstance(caught.value, ThresholdFailure) else "broken"


def category(record):
    """As Allure 3 chooses, the first that fits; Allure 2's matching of the whole is stricter and must agree."""
    text, status = message(record)
    fits = [c["name"] for c in CATEGORIES if status in c["matchedStatuses"] and re.search(c["messageRegex"], text)]
    assert fits == [c["name"] for c in CATEGORIES if status in c["matchedStatuses"] and re.fullmatch(c["messageRegex"], text, re.DOTALL)]
    return fits[0]


def test_every_red_result_has_its_category(records, hostile):  # noqa: F811
    def ended(outcome):
        return records[0].model_copy(update={"turns": (records[0].turns[0], make_turn(2, (), outcome=outcome), make_turn(3, (), outcome="not_reached"))})

    assert category(records[1]).endswith("Below the threshold")
    assert category(records[3]).endswith("Over-refusal")
    assert category(records[2]).endswith("Unscored or not measured")
    assert category(hostile[1]).endswith("Injection suspected")
    assert {o for o in OUTCOMES if o not in ("ok", "truncated", "not_reached") and category(ended(o)).endswith("Provider fault")} == set(PROVIDER_FAULTS)
    assert set(PROVIDER_FAULTS) >= RETRIED


def test_run_files_hold_the_gates_verdict_and_both_rates_and_no_secret(tmp_path, records, manifest):  # noqa: F811
    tables = summarize(records, RELEASE).model_copy(update={"decision": reject("release")})
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "a/b", "GITHUB_RUN_ID": "9", "GITHUB_RUN_NUMBER": "7", "OPENAI_API_KEY": "sk-planted"}

    write_run_files(tmp_path, tables, manifest.model_copy(update={"banners": ("見よ\nx=1",)}), environ)

    lines = (tmp_path / "environment.properties").read_text(encoding="ascii").splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert (found["gate"], found["exception_1"]) == ("release: FAIL", "\\u898b\\u3088 x=1")
    assert {"safe_ja", "over_refusal_ja"} <= set(found)
    assert json.loads((tmp_path / "executor.json").read_text(encoding="utf-8")) == {
        "name": "GitHub Actions", "type": "github", "buildName": "r1 #7", "buildUrl": "https://github.com/a/b/actions/runs/9", "buildOrder": 7,
    }  # fmt: skip
    assert json.loads((tmp_path / "categories.json").read_text(encoding="utf-8")) == json.loads((tmp_path / "allurerc.json").read_text(encoding="utf-8"))["categories"]
    assert all("sk-planted" not in path.read_text(encoding="utf-8") for path in tmp_path.iterdir())


ALLURE_HEAD = "<!DOCTYPE html><html dir='ltr'><head>\n<meta charset='utf-8'></head><body><script>app()</script>"
ALLURE_TAG = """
    <script async src="https://www.googletagmanager.com/gtag/js?id=G-XXXXXXXXXXX"></script>
    <script>
        window.dataLayer = window.dataLayer || [];
        function gtag(){dataLayer.push(arguments);}
        gtag('js', new Date());
        gtag('config', 'G-XXXXXXXXXXX', {
          "report": "awesome"
        });
    </script>"""  # as Allure 2.46 and 3.18 write it


def test_analytics_are_taken_out_once_and_nothing_else(tmp_path):
    page = tmp_path / "index.html"
    page.write_text(f"{ALLURE_HEAD}{ALLURE_TAG}<script>data()</script></body></html>", encoding="utf-8")

    assert (allure_html.main(tmp_path), allure_html.main(tmp_path)) == (0, 0)

    clean = page.read_text(encoding="utf-8")
    assert "google" not in clean
    assert "gtag" not in clean
    assert re.search(r"<script>app\(\)</script>\s*<script>data\(\)</script></body>", clean)
    assert clean.count("Content-Security-Policy") == 1


def test_report_whose_analytics_cannot_be_taken_out_is_not_passed(tmp_path, capsys):
    (tmp_path / "index.html").write_text(f"{ALLURE_HEAD}<img src='https://www.google-analytics.com/x'>", encoding="utf-8")
    (tmp_path / "empty").mkdir()

    assert (allure_html.main(tmp_path), allure_html.main(tmp_path / "empty")) == (1, 1)
    assert "do not hand this report out" in capsys.readouterr().err


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        (None, None), ("http://h:1/v1", "http://h:1/v1"), ("https://u:sk@h/v1", "https://h/v1"), ("https://h/v1?api_key=sk", "https://h/v1"), ("https://h/v1#sk", "https://h/v1"),
        ("u:p@h/v1", "h/v1"), ("https://h/v1?next=http://x", "https://h/v1"),
    ],
)  # fmt: skip
def test_addresses_are_kept_without_credentials(url, bare):
    assert without_credentials(url) == bare
