import re
from collections import Counter
from pathlib import Path

from jmedethic_plugin.cli import main
from jmedethic_plugin.corpus.composition import composition_markdown, overlaps_markdown

ROOT = Path(__file__).parents[2]


def test_every_table_adds_up(corpus):
    n = Counter(case.kind for case in corpus.cases.values() if case.language == "ja")

    totals = {
        match[1]: sum(map(int, re.findall(r"\d+", match[3])))
        for match in re.finditer(r"^\| (\w+ x \w+) \|.*\n\|[ -:|]+\n((?:\|.*\n)*?)\| all \|(.*)$", composition_markdown(corpus), re.MULTILINE)
    }

    assert totals == {f"strategy x {f}": n["adversarial"] for f in ("politeness", "role", "authority", "setting", "severity")} | {
        "twin x politeness": n["benign"]
    }


def test_dataset_card_holds_the_present_composition(corpus):
    card = (ROOT / "cases" / "DATASET_CARD.md").read_text(encoding="utf-8")

    between = card.partition("<!-- composition -->\n")[2].partition("<!-- /composition -->")[0]
    assert between == composition_markdown(corpus), "run `jmedethic corpus` and paste its output between the marks of cases/DATASET_CARD.md"


def test_most_alike_pairs_come_with_both_texts(corpus):
    text = overlaps_markdown(corpus, 2)

    assert text.count("### ") == 4
    shares = [float(s) for s in re.findall(r"^### ([\d.]+)%", text, re.MULTILINE)]
    assert shares[0] >= shares[1]


def test_commands_print(capsys):
    assert main(["corpus", "--folder", str(ROOT), "--overlaps", "1"]) == 0
    out = capsys.readouterr().out
    assert "| strategy x politeness | plain | desu_masu | keigo |" in out
    assert "## Most alike conversations, en" in out
    assert main(["lint", "--folder", str(ROOT), "--skip", "nothing"]) == 2
    assert "--skip: no such rule: nothing. Known: cells" in capsys.readouterr().err
