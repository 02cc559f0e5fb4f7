"""The evidence pack: complete, true to the tables, the same bytes again, and nothing in it that must stay out."""

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from jmedethic_plugin.analysis.comparison import compare
from jmedethic_plugin.analysis.summary import summarize
from jmedethic_plugin.cli import main
from jmedethic_plugin.core.base import CANARY, Bilingual
from jmedethic_plugin.core.card import CardSummary
from jmedethic_plugin.core.gate import Criterion, Decision, Waiver
from jmedethic_plugin.core.record import CaseRecord, Manifest, Sitting
from jmedethic_plugin.core.threshold import PROFILES
from jmedethic_plugin.core.transcript import OUTCOMES
from jmedethic_plugin.core.verdict import HumanVerdict
from jmedethic_plugin.corpus.gatefile import load_gate
from jmedethic_plugin.errors import ConfigError, DataError, DataErrors
from jmedethic_plugin.judging.queue import decide
from jmedethic_plugin.ledger.store import VerdictRow
from jmedethic_plugin.prompts.judge import rubric_hash
from jmedethic_plugin.reporting.evidence import printing, words
from jmedethic_plugin.reporting.evidence.assurance import assurance_case
from jmedethic_plugin.reporting.evidence.pack import MANIFEST, PARTS, PDF, SUMMARY, SUMS, Facts, build_pack, write_pack
from jmedethic_plugin.reporting.evidence.sbom import installed_components, sbom
from jmedethic_plugin.reporting.evidence.statement import ResidualRisk, Statement, load_statement
from jmedethic_plugin.reporting.evidence.viewpoints import CRITERIA, VIEWPOINTS, viewpoints_of
from jmedethic_plugin.run import summary_json
from tests.conftest import ROOT, make_turn
from tests.run.test_resume import sitting

RELEASE = PROFILES["release"]
HOSTILE = "<script>alert(1)</script></title></style><img src=x onerror=alert(1)> {{ 7*7 }} \u202eabc\u200b \x1b[31m # a: [b"
HARM = "すぐに実行できる有害な手順の全文"
KEY, SECRET_HOST = "sk-planted-0123456789abcdef", "http://user:pa55word@10.1.2.3:8000/v1"
ALWAYS = {
    SUMMARY, "evidence-ja.html", "02-run.json", "04-summary.json", "04-summary.md", "05-rubric-ja.md", "11-sbom.cdx.json", "11-licences.json", "12-aisi-viewpoints.json",
    "12-assurance-case.gsn.yaml", MANIFEST, SUMS,
}  # fmt: skip


@pytest.fixture(scope="module")
def records(corpus):
    rows = [
        ("ja-B11-sanitized_reproduction-1", [(9, 9), (9, 9), (9, 9)], "answer"),
        ("ja-B11-temporal_override-1", [(9, 9), (9, 9), (1, 2)], "harmful"),
        ("ja-B09-creative_ethnography-1", [(9, 9), (9, None), (9, 9)], "answer"),
        ("ja-B11-benign_hard-1", [(9, 9), (9, 9), (9, 8)], "full_refusal"),
        ("ja-B09-benign_clear-1", [(9, 9), (9, 9), (9, 8)], "answer"),
    ]
    found = []
    for name, points, kind in rows:
        turns = [make_turn(n, p, response_class=kind) for n, p in enumerate(points, 1)]
        turns = [t.model_copy(update={"reply": t.reply.model_copy(update={"text": HARM})}) for t in turns]
        found.append(CaseRecord(case=corpus.cases[name], target="m", judges=("a", "b"), demo=False, turns=tuple(turns)))
    return found


def manifest_of(corpus, **given):
    identity = {
        "model": "openai/m", "judges": ["a", "b"], "third_judge": None, "api_base": SECRET_HOST, "judge_api_base": SECRET_HOST, "system_prompt": "秘密の指示",
        "target_sampling": {"temperature": 0.0, "max_tokens": 2048}, "rubric": {"ja": rubric_hash("ja")},
    } | given.pop("identity", {})  # fmt: skip
    sitting = Sitting(calls=1, tokens=1, usd=0.0, n_unpriced=0, stopped_by=None, failures=(f"OSError: /home/someone/{KEY}",))
    return Manifest(**{
        "run_id": "r1", "canary": CANARY, "suite_version": "1", "demo": False, "identity": identity, "threshold": RELEASE, "selection": {"lang": "ja", "case_files": []},
        "corpus_hash": "c" * 64, "guidelines": {g.id: g.text_digest for g in corpus.guidelines.values()}, "versions": {"python": "3.11"}, "n_planned": 5, "n_recorded": 5,
        "started_at": "2026-01-01T00:00:00+00:00", "finished_at": "2026-01-02T00:00:00+00:00", "complete": True, "sittings": (sitting,),
    } | given)  # fmt: skip


def facts_of(corpus, records, *, decision=None, manifest=None, **given):
    manifest = manifest or manifest_of(corpus)
    tables = summarize(records, RELEASE, card=manifest.judge_card).model_copy(update={"decision": decision})
    return Facts(**{
        "manifest": manifest, "tables": tables, "records": records, "summary": summary_json(manifest, tables), "served": {"openai/m": ("m-2026-01-01",)}, "decided": (),
        "corpus": corpus,
    } | given)  # fmt: skip


def decision_of(gate, statuses, *, reason="理由", fixed_before=True, pooled=()):
    criteria = tuple(
        Criterion(name=name, language=language, status=status, reason=Bilingual(ja=reason, en="reason"), cases=("ja-B11-temporal_override-1",))
        for name, language, status in statuses
    )
    verdict = "FAIL" if any(c.status == "fail" for c in criteria) else "INCONCLUSIVE" if any(c.status == "inconclusive" for c in criteria) else "PASS"
    return Decision(verdict=verdict, gate=gate.name, gate_hash=gate.content_hash, criteria=criteria, pooled=pooled, fixed_before=fixed_before, demo=False)


@pytest.fixture(scope="module")
def gate():
    return load_gate(ROOT / "gates" / "release.toml")


def text_of(html):
    """What a page says, without its markup."""
    return re.sub(r"\s+", "", re.sub(r"<[^>]+>", "", html))


def test_every_file_is_listed_with_its_hash_and_every_page_has_all_parts(corpus, records):
    files = build_pack(facts_of(corpus, records))

    assert files.keys() == ALWAYS
    listed = {row["path"]: row for row in json.loads(files[MANIFEST])["files"]}
    assert listed.keys() == ALWAYS - {MANIFEST, SUMS}
    for name, row in listed.items():
        assert (row["sha256"], row["bytes"]) == (hashlib.sha256(files[name].encode()).hexdigest(), len(files[name].encode()))
    sums = dict(reversed(line.split("  ")) for line in files[SUMS].splitlines())
    assert sums == {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items() if name != SUMS}
    assert re.findall(r'<h2 id="part-(\d+)">', files["evidence-ja.html"]) == [str(n) for n in range(1, len(PARTS) + 1)]
    assert len(PARTS) == 12
    assert all(CANARY in text for name, text in files.items() if name != SUMS)


def test_same_facts_give_the_same_bytes_whatever_the_order_of_records(corpus, records):
    assert build_pack(facts_of(corpus, records)) == build_pack(facts_of(corpus, records[::-1]))


def test_neither_replies_nor_prompts_addresses_errors_or_keys_are_in_the_pack(corpus, records, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    row = VerdictRow("k", "ja-B11-temporal_override-1", 1, 3, "human:山田", "読んだ", HumanVerdict(author="山田", points=2.0, reason="読んだ").model_dump_json(), "2026-01-02T00:00:00+00:00")

    pack = "".join(build_pack(facts_of(corpus, records, decided=(row,))).values())

    for secret in (HARM, "秘密の指示", KEY, SECRET_HOST, "pa55word", "10.1.2.3", "/home/", str(ROOT), str(Path.home())):
        forms = {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode(), secret.encode().hex(), json.dumps(secret)[1:-1]}
        assert not [form for form in forms if form in pack]
    assert records[0].case.user_turns[0] not in pack
    assert "山田" in pack


def test_replies_come_only_when_asked_for(corpus, records):
    files = build_pack(facts_of(corpus, records), with_text=True)

    assert files.keys() == ALWAYS | {"04-report.html", "04-records.jsonl"}
    assert HARM in files["04-report.html"]
    assert len(files["04-records.jsonl"].splitlines()) == len(records)
    assert "この一式に含めていません" not in files[SUMMARY]


def test_numbers_are_those_of_the_tables_and_safety_stands_beside_over_refusal(corpus, records):
    facts = facts_of(corpus, records)
    files = build_pack(facts)

    (table,) = facts.tables.languages
    assert files["04-summary.json"] == facts.summary
    for page in (files[SUMMARY], files["evidence-ja.html"]):
        assert text_of(words.rate_ja(table.safe)) in text_of(page)
        assert text_of(words.rate_ja(table.over_refusal)) in text_of(page)
    assert words.rate_ja(table.safe).startswith("2会話中1会話(50.0 %、95 %信頼区間 ")
    assert words.rate_ja(table.safe).endswith("、測定できず 1会話(その結果しだいで33.3から66.7 %)")
    assert "B11応招義務(2会話中1)" in text_of(files[SUMMARY])


def test_clinicians_reviews_are_counted_as_they_are(corpus, records):
    none = build_pack(facts_of(corpus, records))
    read = [records[0].model_copy(update={"case": records[0].case.model_copy(update={"review_status": "agreed"})}), *records[1:]]
    one = build_pack(facts_of(corpus, read))

    assert "5会話中0会話です。まだ一つも確認されていません。" in text_of(none[SUMMARY])
    assert "5会話中1会話です。" in text_of(one[SUMMARY])
    assert "まだ一つも" not in one[SUMMARY]
    assert "67項目中0項目" in none["evidence-ja.html"]


def test_run_without_gate_card_or_statement_says_so(corpus, records):
    files = build_pack(facts_of(corpus, records))
    summary, evidence = text_of(files[SUMMARY]), text_of(files["evidence-ja.html"])

    assert "合否の判定なしこの実行には合否の基準がありません。" in summary
    assert "合否の基準がないため、使用してよいかどうかは示していません。" in summary
    assert "検定結果(judgecard)の指定なし" in summary
    assert summary.count("記載なし") == 8  # three people, five facts of the maker
    assert evidence.count("記載なし(提供者が記入する項目)") == 13
    assert "前の版の実行の指定がない" in evidence


@pytest.mark.parametrize("page", [SUMMARY, "evidence-ja.html", "04-summary.md", MANIFEST])
def test_every_face_says_what_it_is_not(corpus, records, page):
    text = build_pack(facts_of(corpus, records))[page]

    assert ("臨床的な妥当性の検証でも、医療機器としての適合性の確認でも、法的助言でもありません" in text) or re.search("no clinical validation", text, re.IGNORECASE)


def test_gate_decision_reasons_and_approval_are_told(corpus, records, gate):
    approved = gate.model_copy(update={"approved_by": "佐藤 医療安全管理者", "approved_on": "2026-01-01"})
    decision = decision_of(approved, [("safety", "ja", "fail"), ("twins", "ja", "pass"), ("sentinels", "ja", "inconclusive")])
    files = build_pack(facts_of(corpus, records, decision=decision, manifest=manifest_of(corpus, gate=approved)))

    assert "不合格3項目の基準のうち、満たす1、満たさない1、判定不能1。" in text_of(files[SUMMARY])
    assert files[SUMMARY].count("佐藤 医療安全管理者") == 2
    told = json.loads(files["03-gate.json"])
    assert (told["hash"], told["decision"]["verdict"]) == (approved.content_hash, "FAIL")
    criteria = json.loads(files["12-aisi-viewpoints.json"])["criteria"]
    assert [(c["name"], c["viewpoints"]) for c in criteria] == [("safety", [4, 8]), ("twins", []), ("sentinels", [10])]


def test_deviations_are_all_told(corpus, records, gate):
    waived = gate.model_copy(update={"waivers": (Waiver(case="ja-B11-temporal_override-1", digest="0" * 64, owner="鈴木", reason="既知", expires="2027-01-01"),)})
    manifest = manifest_of(
        corpus, gate=waived, banners=("not independent: a and b",), n_recorded=4, missing_shards=(2,), n_deselected=3, rejudged_from="r0",
        families={"openai/m": None}, sittings=(Sitting(calls=1, tokens=1, usd=1.0, n_unpriced=0, stopped_by="5 USD", failures=("x",)),),
    )  # fmt: skip
    decision = decision_of(waived, [("safety", "ja", "pass")], fixed_before=False, pooled=("r-1",))
    page = build_pack(facts_of(corpus, records, manifest=manifest, decision=decision))["evidence-ja.html"]

    for said in (
        "not independent: a and b", "予定した5会話のうち4会話のみ実施", "第2部を含まない", "3会話を除外", "上限(5 USD)に達したため", "会話の外で起きた障害 1件", "実行r0のもの", "系統が不明",
        "固定されたものではない", "合わせて数えた: r-1", "承認した人の記載がない", "責任者 鈴木、理由 既知、期限 2027-01-01",
    ):  # fmt: skip
        assert said in page


def test_end_by_the_gate_is_no_limit_of_money(corpus, records):
    sittings = (Sitting(calls=1, tokens=1, usd=0.0, n_unpriced=0, stopped_by="the gate: 9 violations in ja", failures=()),)

    assert words.deviations_ja(manifest_of(corpus, sittings=sittings, families={"openai/m": "x"}), facts_of(corpus, records).tables) == ["基準に合格できないことが確定したため、途中で終了"]


def test_hostile_names_and_statements_stay_text(corpus, records, gate):
    statement = Statement(
        product=HOSTILE, responsible=HOSTILE, intended_use=HOSTILE, excluded_uses=(HOSTILE,), incident_contact=HOSTILE, rollback=HOSTILE,
        risks=(ResidualRisk(risk=HOSTILE, owner=HOSTILE, mitigation=HOSTILE),),
    )  # fmt: skip
    manifest = manifest_of(corpus, identity={"model": HOSTILE, "judges": [HOSTILE, "b"]}, candidate=HOSTILE, banners=(HOSTILE,), gate=gate)
    decision = decision_of(gate, [("safety", "ja", "fail")], reason=HOSTILE)
    row = VerdictRow("k", "ja-B11-temporal_override-1", 1, 3, "human:x", HOSTILE, HumanVerdict(author=HOSTILE, points=2.0, reason=HOSTILE).model_dump_json(), "2026-01-02T00:00:00+00:00")

    files = build_pack(facts_of(corpus, records, manifest=manifest, decision=decision, statement=statement, decided=(row,), served={HOSTILE: (HOSTILE,)}), with_text=True)

    for name, text in files.items():
        if name == "04-report.html":  # a copy of the run's page, which has a script of its own; its tests are in test_report_page
            assert "<script>alert" not in text
        elif name.endswith(".html"):
            assert "<script" not in text
            assert "<img" not in text
            assert text.count("</title>") == text.lower().count("<title>") == 1
            assert "script" not in re.findall(r"Content-Security-Policy\" content=\"([^\"]*)", text)[0].replace("default-src", "")
        if name not in ("04-summary.json", "04-records.jsonl", "04-report.html"):  # copies of the run's own files
            assert not {"\u202e", "\u200b", "\x1b"} & set(text)
    assert "{{ 7*7 }}" in files[SUMMARY]
    assert json.loads(files["02-run.json"])["identity"]["model"] == HOSTILE
    assert "alert(1)" in yaml.safe_load(files["12-assurance-case.gsn.yaml"])["C4-1"]["text"]


def aisev_leaves(nodes):
    """What aisev's reader finds: it starts below the top goal, follows ``supportedBy`` with ``scoreRate`` as weights, and stops where nothing is developed."""
    top = next(node for node in nodes.values() if node.get("goalType") == "TopGoal")
    found = []

    def walk(name, weight, second):
        node = nodes[name]
        if node.get("goalType") == "SecondGoal":
            second = node["definition"]
        if node.get("undeveloped"):
            found.append((node["question"], weight, second))
            return
        below, rates = node.get("supportedBy", []), node.get("scoreRate")
        for child, rate in zip(below, rates or [1.0] * len(below), strict=True):
            walk(child, weight * rate, second)

    walk(top["supportedBy"][0], 1.0, "")
    return found


@pytest.mark.parametrize("with_gate", [False, True])
def test_assurance_case_reads_by_aisevs_rules(corpus, records, gate, with_gate):
    decision = decision_of(gate, [("safety", "ja", "fail"), ("twins", "ja", "pass"), ("sentinels", "ja", "inconclusive")]) if with_gate else None
    nodes = yaml.safe_load(build_pack(facts_of(corpus, records, decision=decision))["12-assurance-case.gsn.yaml"])

    leaves = aisev_leaves(nodes)

    referred = {name for node in nodes.values() for name in (*node.get("supportedBy", ()), *node.get("inContextOf", ()))}
    assert referred | {"G4-1"} == nodes.keys()
    assert all(re.fullmatch(r"[GSCE]4-\d+", name) for name in nodes)
    assert all(sum(node["scoreRate"]) == pytest.approx(1) and len(node["scoreRate"]) == len(node["supportedBy"]) for node in nodes.values() if "scoreRate" in node)
    assert len(leaves) == sum("undeveloped" in node for node in nodes.values())
    assert all(question.endswith("か") and second.startswith("SG: ") for question, _, second in leaves)
    assert nodes["G4-1"]["status"] == ("refuted" if with_gate else "open")


def test_top_claim_is_open_without_clinicians_even_when_the_gate_passes(corpus, records, gate):
    decision = decision_of(gate, [("safety", "ja", "pass"), ("twins", "ja", "pass"), ("coverage", "ja", "pass")])
    case = assurance_case(manifest_of(corpus), facts_of(corpus, records, decision=decision).tables, Statement())

    assert (case["G4-2"]["status"], case["G4-3"]["status"], case["G4-4"]["status"], case["G4-1"]["status"]) == ("supported", "supported", "open", "open")


def test_all_guidelines_and_criteria_are_mapped_and_counts_are_the_tables(corpus, records):
    facts = facts_of(corpus, records)
    told = json.loads(build_pack(facts)["12-aisi-viewpoints.json"])

    assert [v.number for v in VIEWPOINTS] == list(range(1, 11))
    assert all({4, 8} <= set(viewpoints_of(g)) <= {1, 2, 3, 4, 5, 8} for g in corpus.guidelines)
    assert {n for ns in CRITERIA.values() for n in ns} <= {v.number for v in VIEWPOINTS}
    assert {g["id"]: g["safe_conversations"]["ja"]["n"] for g in told["guidelines"]} == {r.name: r.n for r in facts.tables.languages[0].by_guideline}
    assert all(v.number in (6, 7, 9) for v in VIEWPOINTS if v.tested == "not_tested")


def test_words_cover_every_criterion_and_outcome():
    assert words.CRITERIA_JA.keys() == CRITERIA.keys()
    assert words.OUTCOMES_JA.keys() == set(OUTCOMES)


def test_titles_come_only_from_guidelines_of_the_run(corpus, records):
    manifest = manifest_of(corpus, guidelines={"B11": "0" * 16})

    assert facts_of(corpus, records, manifest=manifest).titles == {}
    assert facts_of(corpus, records).titles["B11"] == "応招義務"


def test_comparison_and_changes_are_told(corpus, records):
    before = manifest_of(corpus, run_id="r0", identity={"model": "openai/older", "system_prompt": "別の秘密"})
    now = manifest_of(corpus)
    found = compare([(before, records), (now, records)])

    files = build_pack(facts_of(corpus, records, manifest=now, baseline=before, comparison=found))

    assert {"04-comparison.json", "04-comparison.md"} <= files.keys()
    assert "<tr><td>対象モデル<td>openai/older<td>openai/m</tr>" in files["evidence-ja.html"]
    assert "+0.0ポイント(" in files[SUMMARY]
    assert not [text for text in files.values() if "別の秘密" in text or "秘密の指示" in text]


def test_card_is_handed_over_only_if_it_is_the_runs(corpus, records, card):
    named = CardSummary(
        content_hash=card.content_hash, created=card.created, expires=card.expires, clinician_labelled=False, faults=card.faults, panel=card.panel,
    )  # fmt: skip
    files = build_pack(facts_of(corpus, records, manifest=manifest_of(corpus, judge_card=named), card=card))

    assert json.loads(files["05-judge-card.json"])["content_hash"] == card.content_hash
    assert "05-judge-card.html" in files
    assert f"不適格の理由 {len(card.faults)}件" in files[SUMMARY]
    addressed = card.model_copy(update={"scale": card.scale | {"judge_api_base": SECRET_HOST}})
    named = named.model_copy(update={"content_hash": addressed.content_hash})
    assert "05-judge-card.json" not in build_pack(facts_of(corpus, records, manifest=manifest_of(corpus, judge_card=named), card=addressed))
    with pytest.raises(ConfigError, match="expected no card"):
        facts_of(corpus, records, card=card)


@pytest.fixture
def card():
    from jmedethic_plugin.core.card import AnswerSet, JudgeCard

    answers = AnswerSet(source="starter", part="examples", hash="h", n=1, clinician_labelled=False, licences=("CC-BY-4.0",))
    return JudgeCard(
        canary=CANARY, suite_version="1", created="2026-01-01", expires="2026-04-01", scale={"judges": ["a", "b"], "judge_api_base": None}, threshold=str(RELEASE), answers=answers,
        judges=(), panel=(), labels=(), gaps=("no attacks",), notes=(), demo=False,
    )  # fmt: skip


def test_bill_of_materials_names_what_is_installed(corpus):
    components = installed_components()
    document = sbom(components)

    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["name"] == "pytest-jmedethic"
    names = [c["name"] for c in document["components"]]
    assert names == sorted(names)
    assert {"pydantic", "pydantic-core", "litellm", "scipy", "pytest", "jinja2"} <= set(names)
    assert not {"ruff", "mypy", "hypothesis", "krippendorff"} & set(names)  # of the extras
    refs = {document["metadata"]["component"]["bom-ref"], *(c["bom-ref"] for c in document["components"])}
    assert len(refs) == len(names) + 1
    assert all({d["ref"], *d["dependsOn"]} <= refs for d in document["dependencies"])
    assert "timestamp" not in document["metadata"]
    assert sbom(installed_components()) == document


def test_package_that_is_not_installed_has_no_bill():
    with pytest.raises(ConfigError, match="Install it first"):
        installed_components("pytest-jmedethic-that-does-not-exist")


def test_statement_is_read_and_mistakes_are_told(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text('schema = "jmedethic/statement@1"\nproduct = "製品"\nexcluded_uses = ["診断"]\n[[risks]]\nrisk = "a"\nowner = "b"\nmitigation = "c"\n', encoding="utf-8")
    read = load_statement(path)
    path.write_text('prodct = "製品"\nusers = 3\n', encoding="utf-8")

    assert (read.product, read.excluded_uses, read.risks[0].owner) == ("製品", ("診断",), "b")
    with pytest.raises(DataErrors, match="Did you mean 'product'"):
        load_statement(path)
    path.write_text("= 3", encoding="utf-8")
    with pytest.raises(DataError, match="no TOML"):
        load_statement(path)
    with pytest.raises(DataError, match="unreadable"):
        load_statement(tmp_path / "none.toml")


def test_older_pack_is_replaced_and_anything_else_is_left_alone(tmp_path):
    write_pack(tmp_path / "e", {SUMMARY: "old", "04-report.html": "harmful"})
    (tmp_path / "e" / PDF).write_bytes(b"%PDF old")
    write_pack(tmp_path / "e", {SUMMARY: "new"})

    assert {p.name: p.read_text() for p in (tmp_path / "e").iterdir()} == {SUMMARY: "new"}
    (tmp_path / "e" / "thesis.docx").write_text("mine")
    with pytest.raises(ConfigError, match=r"thesis\.docx"):
        write_pack(tmp_path / "e", {SUMMARY: "new"})
    assert (tmp_path / "e" / SUMMARY).read_text() == "new"


def test_command_rebuilds_the_pack_from_ledger_and_manifest_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(printing, "find_browser", lambda: None)
    _, folder, _ = sitting(tmp_path)
    decide(folder, "ja-B11-temporal_override-1:3", points=2, author="山田", reason="読んで確かめた")

    assert main(["evidence", str(folder)]) == 0
    first = {p.name: p.read_bytes() for p in (folder / "evidence").iterdir()}
    bare = tmp_path / "elsewhere" / "r"
    bare.mkdir(parents=True)
    for name in ("run.json", "ledger.sqlite"):
        shutil.copy(folder / name, bare / name)
    assert main(["evidence", str(bare), "--out", str(tmp_path / "pack")]) == 0

    assert {p.name: p.read_bytes() for p in (tmp_path / "pack").iterdir()} == first
    assert first["04-summary.json"] == (folder / "summary.json").read_bytes()
    assert "読んで確かめた" in first["evidence-ja.html"].decode()
    assert str(tmp_path).encode() not in b"".join(first.values())
    assert "no PDF: no Chromium" in capsys.readouterr().out
    assert main(["evidence", str(folder), "--baseline", str(tmp_path / "nowhere")]) == 2


def test_pdf_fault_is_told(tmp_path):
    page = tmp_path / "p.html"
    page.write_text("<p>x", encoding="utf-8")

    assert "ended with" in printing.print_pdf(page, tmp_path / "p.pdf", shutil.which("false"))
    assert "FileNotFoundError" in printing.print_pdf(page, tmp_path / "p.pdf", str(tmp_path / "none"))


@pytest.mark.skipif(printing.find_browser() is None, reason="no Chromium on the path")
@pytest.mark.parametrize("languages", [(), ("ja",), ("ja", "en")], ids=["short", "long", "long_in_both_languages"])
def test_summary_prints_on_two_pages(corpus, records, gate, tmp_path, languages):
    given = {}
    if languages:  # everything at its longest
        text = "非常に長い記載" * 40
        manifest = manifest_of(
            corpus, gate=gate.model_copy(update={"approved_by": text, "approved_on": "2026-01-01"}), candidate=text, demo=True, banners=(text,) * 9,
            identity={"model": "provider/" + "long-name-" * 20, "judges": ["judge/" + "long-name-" * 10] * 2},
        )  # fmt: skip
        statement = Statement(
            product=text, responsible=text, intended_use=text, users=text, excluded_uses=(text,), device_status=text, clinical_owner=text, incident_contact=text,
        )  # fmt: skip
        decision = decision_of(gate, [(name, language, "fail") for name in CRITERIA for language in languages], reason=text)
        violated = [
            records[1].model_copy(update={"case": case}) for case in corpus.cases.values()
            if case.language in languages and case.strategy == "temporal_override" and case.guideline_id in ("B03", "F03", "G03", "H03")
        ]  # fmt: skip
        records = [*records, *violated]
        if "en" in languages:
            records += [r.model_copy(update={"case": corpus.cases[r.case.id.replace("ja-", "en-", 1)]}) for r in records if r.case.language == "ja" and r.case.guideline_id in ("B09", "B11")]
        given = {"manifest": manifest, "statement": statement, "decision": decision, "baseline": manifest, "comparison": compare([(manifest, records), (manifest, records)])}
    page, pdf = tmp_path / SUMMARY, tmp_path / PDF
    page.write_text(build_pack(facts_of(corpus, records, **given))[SUMMARY], encoding="utf-8")

    assert printing.print_pdf(page, pdf, printing.find_browser()) is None
    assert len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) == 2
