"""``jmedethic``: what is not a test run."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jmedethic_plugin import __version__
from jmedethic_plugin.cli_generate import add_generate, chosen_guidelines
from jmedethic_plugin.cli_search import add_search
from jmedethic_plugin.core.review import PROFESSIONS
from jmedethic_plugin.corpus.loading import corpus_root, load_corpus
from jmedethic_plugin.errors import ConfigError, JMedEthicError

if TYPE_CHECKING:
    from jmedethic_plugin.core.gate import Decision
    from jmedethic_plugin.core.record import CaseRecord, Manifest
    from jmedethic_plugin.core.threshold import Threshold
    from jmedethic_plugin.run import Results
    from jmedethic_plugin.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 0 when all went well, 2 on a mistake of the user."""
    parser = argparse.ArgumentParser(
        prog="jmedethic",
        description="Release gate for medical language models; test runs themselves are started with pytest.",
    )
    parser.add_argument("--version", action="version", version=f"jmedethic {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument("--folder", type=Path, default=Path(), help="folder that holds guidelines/ and cases/ (default: here)")

    lint = commands.add_parser(
        "lint", parents=[folder], help="check guidelines and cases: format, completeness, lengths, languages, safety, near-duplicates",
        formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_rules_help(),
    )  # fmt: skip
    lint.add_argument("--skip", action="append", default=[], metavar="RULE", help="leave a rule out; may repeat")
    lint.add_argument("--against", type=Path, metavar="FILE", help="also compare with a JSONL set that must not be contained in the cases")
    lint.add_argument("--against-field", metavar="NAME", help="field of that set with the user's words, where it is not recognised")
    lint.set_defaults(run=_lint)

    corpus = commands.add_parser("corpus", parents=[folder], help="print what the corpus is made of, as Markdown")
    corpus.add_argument(
        "--overlaps", type=int, default=0, metavar="N", help="also the N most alike pairs of each language, with both texts"
    )
    corpus.set_defaults(run=_corpus)

    review = commands.add_parser("review", help="review sheets for clinicians").add_subparsers(dest="what", required=True)
    sheet = review.add_parser("sheet", parents=[folder], help="write a page and a CSV for each guideline")
    sheet.add_argument("--guideline", action="append", default=[], metavar="ID", help="a guideline or category; may repeat (default: all)")
    sheet.add_argument("--out", type=Path, default=Path("review"), help="folder for the sheets (default: review)")
    sheet.set_defaults(run=_review_sheet)
    back = review.add_parser("import", parents=[folder], help="write the verdicts of filled-in CSV sheets into the data files")
    back.add_argument("sheets", nargs="+", type=Path, help="CSV as saved by the page or by Excel")
    back.add_argument("--reviewer", help="name, for rows without one")
    back.add_argument("--profession", choices=PROFESSIONS, help="for rows without one")
    back.add_argument(
        "--date", default=datetime.now().astimezone().date().isoformat(), help="YYYY-MM-DD, for rows without one (default: today)"
    )
    back.set_defaults(run=_review_import)

    report = commands.add_parser("report", help="write the reports of a run again from its ledger")
    report.add_argument("folder", type=Path, help="run folder, e.g. reports/20261124-101500-000-demo-eroding")
    report.add_argument("--profile", choices=["paper", "release"], help="another threshold than the run's own")
    report.add_argument("--min-points", type=float, help="every judge at or above this on every turn, instead of the run's own threshold")
    report.add_argument("--ledger", metavar="URL", help="the shared PostgreSQL ledger, where the run used one")
    report.add_argument(
        "--redact", action="store_true", help="also write report-redacted.html, without any text of cases, models and judges"
    )
    report.add_argument(
        "--allure", type=Path, metavar="DIR", help="also write Allure results, as --alluredir does during a run, into this folder"
    )
    report.set_defaults(run=_report)

    plots = commands.add_parser(
        "plots", help="draw the figures of a run or of a study as SVG and PNG into its folder plots/ (extra: plots)"
    )
    plots.add_argument("folder", type=Path, metavar="RUN|STUDY", help="run folder, or folder of a study")
    plots.add_argument("--with-paper", action="store_true", help="study: also the paper's 22 models, which are not comparable")
    plots.add_argument("--ledger", metavar="URL", help="the shared PostgreSQL ledger, where the run used one")
    plots.set_defaults(run=_plots)

    export = commands.add_parser("export", help="write the conversations of a run in the format of other tools (docs/exports.md)")
    export.add_argument("folder", type=Path, metavar="RUN", help="run folder")
    export.add_argument("--format", required=True, choices=["jsonl", "csv", "parquet", "inspect", "sarif", "hf"])
    export.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (default: export/FORMAT in the run folder)")
    export.add_argument("--bom", action="store_true", help="csv: begin with a byte-order mark, for Excel in Japan")
    export.add_argument("--redact", action="store_true", help="leave out all texts; each is replaced by its length and hash")
    export.add_argument("--ledger", metavar="URL", help="the shared PostgreSQL ledger, where the run used one")
    export.set_defaults(run=_export)

    schema = commands.add_parser("schema", help="print the JSON Schema of a file format, or write all")
    schema.add_argument("name", nargs="?", help="e.g. record; without it, the names")
    schema.add_argument("--write", type=Path, nargs="?", const=Path("schemas"), metavar="FOLDER", help="write all (default: schemas/)")
    schema.set_defaults(run=_schema)

    gate = commands.add_parser("gate", help="decide a run by its gate again, from its ledger; exit 0 PASS, 1 FAIL, 6 INCONCLUSIVE")
    gate.add_argument("folder", type=Path, help="run folder")
    gate.add_argument("--gate", type=Path, metavar="FILE", help="another gate than the run's own; nothing can pass one chosen afterwards")
    gate.add_argument("--ledger", metavar="URL", help="the shared PostgreSQL ledger, where the run used one")
    gate.add_argument("--digest", metavar="CASE", help="print the digest of a case's text, for a waiver, and decide nothing")
    gate.set_defaults(run=_gate)
    compare = commands.add_parser(
        "compare", help="runs beside each other, the first as baseline: paired differences, what got worse, a leaderboard; no gate"
    )
    compare.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="run folders, the baseline first")
    compare.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    compare.add_argument("--markdown", type=Path, metavar="FILE", help="write everything as Markdown")
    compare.add_argument("--ledger", metavar="URL", help="the shared PostgreSQL ledger, where the runs used one")
    compare.set_defaults(run=_compare)

    evidence = commands.add_parser(
        "evidence", parents=[folder], help="what an ethics committee asks for, as a folder: a Japanese summary and twelve parts"
    )
    evidence.add_argument("run_folder", type=Path, metavar="RUN", help="run folder")
    evidence.add_argument("--out", type=Path, metavar="FOLDER", help="folder to write (default: RUN/evidence)")
    evidence.add_argument("--baseline", type=Path, metavar="RUN", help="run of the last release (default: the run's own baseline)")
    evidence.add_argument("--statement", type=Path, metavar="FILE", help="what the product's maker states (TOML; docs/evidence.md)")
    evidence.add_argument("--judge-card", type=Path, metavar="FILE", help="card.json of the judges, to be handed over with it")
    evidence.add_argument("--with-text", action="store_true", help="also the conversations with their replies, which may be harmful")
    evidence.add_argument("--ledger", metavar="URL", help="the shared PostgreSQL ledger, where the run used one")
    evidence.set_defaults(run=_evidence)

    queue = commands.add_parser("queue", help="turns that wait for a person, and a person's decision on one")
    queue.add_argument("folder", type=Path, help="run folder")
    queue.add_argument("--show-text", action="store_true", help="also the conversation up to the turn, which may be harmful")
    queue.add_argument("--decide", metavar="CASE:TURN", help="record a decision on this turn, by --points, --author and --reason")
    queue.add_argument("--points", type=float, metavar="P", help="1 to 10, 10 safest")
    queue.add_argument("--author", default="", metavar="NAME", help="who decided; stands in the report")
    queue.add_argument("--reason", default="", metavar="TEXT", help="why; stands in the report")
    queue.add_argument("--ledger", metavar="URL", help="the shared PostgreSQL ledger, where the run used one")
    queue.set_defaults(run=_queue)

    plan = commands.add_parser(
        "plan",
        help="calls, tokens, money, time and, with --power, statistical power of a run before anything is spent",
        usage="jmedethic plan [options as for pytest]",
        prefix_chars="\0",
    )
    plan.add_argument(
        "options",
        nargs="*",
        help="as for the run itself: --model ID --judge ID --judge ID --lang both ...; --resume RUN takes its means. "
        "--power adds what the run will be able to show, --baseline RUN with the design effect seen there",
    )
    plan.set_defaults(run=_plan)

    merge = commands.add_parser("merge", help="join the parts of a run (--shard) into one folder with its reports")
    merge.add_argument("out", type=Path, help="folder to write, e.g. reports/joined")
    merge.add_argument("folders", type=Path, nargs="+", help="run folders of the parts")
    merge.set_defaults(run=_merge)

    study = commands.add_parser("study", parents=[folder], help="run many models into one folder and write the paper's tables over them")
    study.add_argument("file", type=Path, help="study file (TOML; docs/study.md)")
    study.add_argument("--out", type=Path, metavar="DIR", help="folder of the study; the same folder goes on (default: reports/<name>)")
    study.add_argument("--report-only", action="store_true", help="only write the tables again, from the runs that are finished")
    study.set_defaults(run=_study)

    panel = argparse.ArgumentParser(add_help=False)
    panel.add_argument("--judge", action="append", default=[], metavar="ID", help="judge model; give it twice")
    panel.add_argument("--third-judge", metavar="ID", help="judge heard where the two disagree")
    panel.add_argument("--fallback-judge", metavar="ID", help="judge heard in the place of one whose reply cannot be used")
    panel.add_argument("--judge-api-base", metavar="URL", help="OpenAI-compatible address of the judges")
    panel.add_argument(
        "--family", action="append", default=[], metavar="MODEL=FAMILY", help="family of a model whose name does not tell it; may repeat"
    )
    panel.add_argument("--allow-related-judges", action="store_true", help="although two judges are of one family; the result says so")
    panel.add_argument("--allow-alias", action="store_true", help="although a judge's id names no dated snapshot; the result says so")
    panel.add_argument("--judge-temperature", metavar="T", help="of the judges, or 'default' for judges that take none (default: 0)")
    panel.add_argument("--judge-max-tokens", type=int, metavar="N", help="of a verdict, thoughts included (default: 1024)")
    panel.add_argument("--max-in-flight", type=int, metavar="N", help="calls open at once (default: by provider)")
    panel.add_argument("--max-calls", type=int, metavar="N", help="stop before more calls are made")
    panel.add_argument("--budget-usd", type=float, metavar="USD", help="stop before more is spent")
    panel.add_argument("--price", action="append", default=[], metavar="MODEL=IN,OUT", help="US dollars for a million tokens; may repeat")
    panel.add_argument(
        "--reports-dir", type=Path, default=Path("reports"), metavar="DIR", help="where the folder is made (default: reports)"
    )
    panel.add_argument("--run-id", metavar="ID", help="name of the folder; the same name goes on with what it holds")

    rejudge = commands.add_parser("rejudge", parents=[panel, folder], help="judge a run's stored answers again; the target is not called")
    rejudge.add_argument("source", type=Path, help="run folder")
    rejudge.add_argument("--judge-card", type=Path, metavar="FILE", help="card.json of the judges, written by `jmedethic judge qualify`")
    rejudge.add_argument("--ledger", metavar="URL", help="the shared PostgreSQL ledger, where the run used one")
    rejudge.set_defaults(run=_rejudge)

    judge = commands.add_parser("judge", help="measure the judges' own error").add_subparsers(dest="what", required=True)
    for name, about in (
        ("qualify", "examine judges on labelled answers, plain, changed and attacked; writes a judge card"),
        ("attack", "only the attacks: how many violations a judge lets pass when the answer talks to it"),
    ):
        exam = judge.add_parser(name, parents=[panel, folder], help=about)
        exam.add_argument(
            "--set", dest="labelled", type=Path, metavar="PATH", help="labelled answers: JSONL, or the starter folder (default)"
        )
        exam.add_argument("--lang", choices=["ja", "en", "both"], default="both", help="default: both")
        exam.add_argument(
            "--part", choices=["examples", "tuning", "sealed"], default="sealed",
            help="which part of a set that names parts; only sealed answers admit a judge (default)",
        )  # fmt: skip
        exam.add_argument(
            "--per-attack",
            type=int,
            default=93,
            metavar="N",
            help="violating answers that meet each attack, in each language (default: 93)",
        )
        exam.add_argument("--plan", action="store_true", help="only print what it will take")
        # A card counts for the threshold it was made under.
        exam.set_defaults(profile="release", min_points=None)
        if name == "qualify":
            exam.add_argument("--profile", choices=["paper", "release"], help="threshold of the runs the card is for (default: release)")
            exam.add_argument("--min-points", type=float, help="every judge at or above this on every turn, instead of a profile")
            exam.add_argument("--no-attacks", action="store_true", help="leave the attacks out: a try-out, whose card admits no judge")
        exam.set_defaults(run=_qualify)
    card = judge.add_parser("card", help="print a judge card")
    card.add_argument("file", type=Path, help="card.json")
    card.set_defaults(run=_card)
    bring = judge.add_parser("import", help="turn a public labelled set that you hold into our JSONL")
    bring.add_argument("format", help="jailbreakbench, xstest, polyguard or healthbench")
    bring.add_argument("file", type=Path, help="the set's file")
    bring.add_argument("out", type=Path, help="JSONL to write")
    bring.set_defaults(run=_import_labelled)

    cases = commands.add_parser("cases", help="sets of cases from elsewhere").add_subparsers(dest="what", required=True)
    foreign = cases.add_parser("import", parents=[folder], help="turn a published set that you hold into case lines (docs/import.md)")
    foreign.add_argument("file", type=Path, help="the set's file: .csv, .json or .jsonl")
    foreign.add_argument("--format", required=True, metavar="NAME", help="jmedethicbench, safedialbench, medsafetybench or cares")
    foreign.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSONL to write")
    foreign.add_argument(
        "--mapping", type=Path, metavar="FILE", help="whose fields and values are what (default: the one that ships, if any)"
    )
    foreign.add_argument("--allow-noncommercial", action="store_true", help="although the set's licence forbids commercial use")
    foreign.set_defaults(run=_import_cases)
    add_search(*add_generate(commands, folder))

    server = commands.add_parser("demo-server", help="serve the scripted demo models over HTTP on the loopback address")
    server.add_argument("--port", type=int, default=0, help="default: a free one")
    server.add_argument("--latency", type=float, default=0.0, metavar="S", help="seconds an answer takes")
    server.add_argument("--slow", type=float, default=30.0, metavar="S", help="seconds an answer takes under the fault slow")
    server.add_argument("--fault", action="append", default=[], metavar="NAME=SHARE", help="e.g. rate_limit=0.1; may repeat")
    server.set_defaults(run=_demo_server)

    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except JMedEthicError as exc:
        print(f"jmedethic: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _rules_help() -> str:
    from jmedethic_plugin.corpus.lint import RULES

    return "rules:\n" + "\n".join(f"  {name:<16} {(rule.__doc__ or '').splitlines()[0]}" for name, rule in RULES.items())


def _lint(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.corpus.external import read_user_texts
    from jmedethic_plugin.corpus.lint import lint, lint_against
    from jmedethic_plugin.reporting.text import visible

    corpus = load_corpus(corpus_root(arguments.folder))
    try:
        findings = lint(corpus, skip=arguments.skip)
    except ValueError as exc:
        raise ConfigError(f"--skip: {exc}") from exc
    if arguments.against is not None:
        findings += lint_against(corpus, read_user_texts(arguments.against, arguments.against_field), arguments.against.name)
    for finding in findings:
        print(visible(str(finding)))
        for text in finding.texts:
            print("    | " + visible(text).replace("\n", "\n    | "))
            print()
    n_files = len(corpus.guideline_files) + len(corpus.case_files)
    print(f"{len(findings)} findings in {n_files} files: {len(corpus.guidelines)} guidelines, {len(corpus.cases)} cases")
    return 1 if findings else 0


def _corpus(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.corpus.composition import composition_markdown, overlaps_markdown
    from jmedethic_plugin.reporting.text import visible

    corpus = load_corpus(corpus_root(arguments.folder))
    print(composition_markdown(corpus), end="")
    if arguments.overlaps:
        print("\n" + visible(overlaps_markdown(corpus, arguments.overlaps)), end="")
    return 0


def _review_sheet(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.corpus.lint import entries_of
    from jmedethic_plugin.reporting.files import write_atomically
    from jmedethic_plugin.reporting.review_sheet import render_csv, render_sheet

    corpus = load_corpus(corpus_root(arguments.folder))
    chosen = chosen_guidelines(corpus, arguments.guideline)
    arguments.out.mkdir(parents=True, exist_ok=True)
    entries = entries_of(corpus)
    for guideline in chosen:
        own = [e for e in entries if e.guideline_id == guideline.id]
        write_atomically(arguments.out / f"review-{guideline.id}.html", render_sheet(guideline, own, corpus.strategies))
        write_atomically(arguments.out / f"review-{guideline.id}.csv", render_csv(guideline, own, corpus.strategies))
    print(f"{len(chosen)} sheets, each as .html and .csv, in {arguments.out}")
    return 0


def _review_import(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.corpus.reviews import apply_reviews, read_sheet
    from jmedethic_plugin.reporting.files import write_atomically

    corpus = load_corpus(corpus_root(arguments.folder))
    rows, n_blank = [], 0
    for path in arguments.sheets:
        read, blank = read_sheet(path, reviewer=arguments.reviewer, profession=arguments.profession, date=arguments.date)
        rows += read
        n_blank += blank
    changed = apply_reviews(corpus, rows)
    for path, text in changed.items():
        write_atomically(path, text)
    print(f"{len(rows)} verdicts read, {n_blank} rows without one; {len(changed)} files changed")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.reporting.files import write_atomically
    from jmedethic_plugin.reporting.html import render_html
    from jmedethic_plugin.run import open_ledger, read_manifest, read_results, write_reports
    from jmedethic_plugin.settings import threshold_of

    manifest = read_manifest(arguments.folder)
    ledger = open_ledger(arguments.folder, manifest, arguments.ledger)
    try:
        results, ended = read_results(ledger), ledger.ended()
    finally:
        ledger.close()
    n = len(results.records)
    changed: dict[str, object] = {"n_recorded": n, "n_planned": manifest.n_planned or n}
    if arguments.profile is not None or arguments.min_points is not None:
        changed["threshold"] = threshold_of(arguments.profile or "release", arguments.min_points)
    manifest = manifest.model_copy(update=changed)
    tables = write_reports(arguments.folder, manifest, results)
    print(arguments.folder / "report.html")
    if arguments.redact:
        path = arguments.folder / "report-redacted.html"
        write_atomically(path, render_html(tables, manifest, results.records, redact=True))
        print(path)
    if arguments.allure is not None:
        from jmedethic_plugin.reporting.allure_results import write_results

        write_results(arguments.allure, tables, manifest, [*results.records, *results.exam], ended, arguments.folder, os.environ)
        print(arguments.allure)
    return 0


def _plots(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.reporting.plots.run import write_plots
    from jmedethic_plugin.reporting.plots.study import read_study, write_study_plots
    from jmedethic_plugin.run import tabulate

    folder: Path = arguments.folder
    if (folder / "study.json").exists():
        written = write_study_plots(folder / "plots", read_study(folder / "study.json"), with_paper=arguments.with_paper)
    elif arguments.with_paper:
        raise ConfigError(f"--with-paper: {folder} holds no study.json; the paper's models stand beside those of a study.")
    else:
        manifest, results = _results(folder, arguments.ledger)
        tables = tabulate(folder, manifest, results)
        written = write_plots(folder / "plots", manifest, tables, results.records)
    print(*written, sep="\n")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.reporting.export.rows import Exported
    from jmedethic_plugin.reporting.export.writing import write_export
    from jmedethic_plugin.run import tabulate

    manifest, results = _results(arguments.folder, arguments.ledger)
    exported = Exported(manifest, tabulate(arguments.folder, manifest, results), results.records, redacted=False)
    out = arguments.out or arguments.folder / "export" / arguments.format
    written = write_export(arguments.format, out, exported, redact=arguments.redact, bom=arguments.bom)
    print(*written, sep="\n")
    return 0


def _schema(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.reporting.files import write_atomically
    from jmedethic_plugin.reporting.schemas import SCHEMAS, render_schema

    if arguments.write is not None:
        arguments.write.mkdir(parents=True, exist_ok=True)
        for name in SCHEMAS:
            write_atomically(arguments.write / f"{name}.schema.json", render_schema(name))
        print(f"{len(SCHEMAS)} schemas in {arguments.write}")
    elif arguments.name is None:
        print(*SCHEMAS, sep="\n")
    elif arguments.name in SCHEMAS:
        print(render_schema(arguments.name), end="")
    else:
        raise ConfigError(f"schema {arguments.name!r}: no such format; expected one of {', '.join(SCHEMAS)}.")
    return 0


def _results(folder: Path, ledger_url: str | None) -> tuple[Manifest, Results]:
    from jmedethic_plugin.run import open_ledger, read_manifest, read_results

    manifest = read_manifest(folder)
    ledger = open_ledger(folder, manifest, ledger_url)
    try:
        return manifest, read_results(ledger)
    finally:
        ledger.close()


def _gate(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.corpus.gatefile import load_gate
    from jmedethic_plugin.reporting.text import decision_lines
    from jmedethic_plugin.run import write_reports

    manifest, results = _results(arguments.folder, arguments.ledger)
    if arguments.digest is not None:
        found = {r.case.digest for r in results.records if r.case.id == arguments.digest}
        if not found:
            raise ConfigError(f"--digest {arguments.digest!r}: no such case in this run; expected an id like ja-B11-temporal_override-1.")
        print(*found, sep="\n")
        return 0
    decision = write_reports(arguments.folder, manifest, results, None if arguments.gate is None else load_gate(arguments.gate)).decision
    if decision is None:
        raise ConfigError(
            f"{arguments.folder}: the run has no gate of its own, or is one part of a run; give --gate FILE, or merge its parts."
        )
    print(*decision_lines(decision), sep="\n")
    _announce(arguments.folder, manifest, decision, arguments.ledger)
    return decision.exit_code


def _compare(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.analysis.comparison import compare
    from jmedethic_plugin.reporting.comparison import comparison_lines, comparison_markdown
    from jmedethic_plugin.reporting.files import write_atomically
    from jmedethic_plugin.run import read_manifest

    manifests = [read_manifest(folder) for folder in arguments.folders]
    found = compare([
        (manifest, _records(folder, arguments.ledger)) for folder, manifest in zip(arguments.folders, manifests, strict=True)
    ])  # fmt: skip
    print(*comparison_lines(found), sep="\n")
    if arguments.json is not None:
        write_atomically(arguments.json, found.model_dump_json(indent=1) + "\n")
    if arguments.markdown is not None:
        write_atomically(arguments.markdown, comparison_markdown(found))
    return 0


def _announce(folder: Path, manifest: Manifest, decision: Decision | None, ledger_url: str | None) -> None:
    """What a CI service shows of a run beside the log; nothing elsewhere."""
    from jmedethic_plugin.reporting.ci import announce

    for line in announce(folder, decision, _records(folder, ledger_url), manifest.threshold):
        print(line)


def _records(folder: Path, ledger_url: str | None) -> Iterator[CaseRecord]:
    """Read when asked for, so that the texts of one run at a time are in memory."""
    yield from _results(folder, ledger_url)[1].records


def _evidence(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.analysis.comparison import compare
    from jmedethic_plugin.ledger.store import HUMAN
    from jmedethic_plugin.reporting.evidence import pack, printing
    from jmedethic_plugin.reporting.evidence.statement import Statement, load_statement
    from jmedethic_plugin.run import open_ledger, read_card, read_manifest, read_results, summary_json, tabulate

    run: Path = arguments.run_folder
    manifest = read_manifest(run)
    ledger = open_ledger(run, manifest, arguments.ledger)
    try:
        results, served, decided = read_results(ledger), ledger.served(), tuple(ledger.verdicts(HUMAN))
    finally:
        ledger.close()
    baseline = comparison = None
    other = arguments.baseline or (None if manifest.baseline is None else run.resolve().parent / manifest.baseline)
    if other is not None:
        try:
            baseline = read_manifest(other)
            comparison = compare([(baseline, _records(other, arguments.ledger)), (manifest, results.records)])
        except ConfigError:
            if arguments.baseline is not None:
                raise  # what was asked for by name; the run's own baseline may be elsewhere or on another scale, which the pack says
    tables = tabulate(run, manifest, results)
    files = pack.build_pack(pack.Facts(
        manifest=manifest, tables=tables, records=results.records, summary=summary_json(manifest, tables), served=served, decided=decided,
        corpus=load_corpus(corpus_root(arguments.folder)), baseline=baseline, comparison=comparison,
        statement=Statement() if arguments.statement is None else load_statement(arguments.statement),
        card=None if arguments.judge_card is None else read_card(arguments.judge_card),
    ), with_text=arguments.with_text)  # fmt: skip
    out: Path = arguments.out or run / "evidence"
    pack.write_pack(out, files)
    browser = printing.find_browser()
    fault = "no Chromium was found on the path" if browser is None else printing.print_pdf(out / pack.SUMMARY, out / pack.PDF, browser)
    print(out / pack.SUMMARY, out / pack.PDF if fault is None else f"no PDF: {fault}; print the page in a browser", sep="\n")
    return 0


def _queue(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.judging.queue import decide, waiting

    if arguments.decide is not None:
        if arguments.points is None:
            raise ConfigError("--decide needs --points P (1 to 10, 10 safest), --author NAME and --reason TEXT.")
        manifest = decide(
            arguments.folder, arguments.decide, points=arguments.points, author=arguments.author, reason=arguments.reason,
            ledger_url=arguments.ledger,
        )  # fmt: skip
        if not manifest.threshold.has_queue:
            print(f"recorded, but {manifest.threshold.profile!r} looks at the judges alone: a decision counts under --profile release")
    found = waiting(arguments.folder, arguments.ledger)
    for entry in found:
        print(entry.line())
        if arguments.show_text:
            print(*entry.text_lines(), sep="\n")
    print(f"{len(found)} turns wait for a person")
    return 0


def _judging_settings(
    arguments: argparse.Namespace,
    model: str,
    lang: str,
    threshold: Threshold,
    *,
    api_base: str | None = None,
    families: Mapping[str, str] | None = None,
) -> Settings:
    from jmedethic_plugin.engine.budget import Caps
    from jmedethic_plugin.engine.scheduler import Limits
    from jmedethic_plugin.settings import Settings, default_in_flight, families_of, judge_sampling_of, prices_of

    judges = tuple(arguments.judge)
    return Settings(
        root=corpus_root(arguments.folder), model=model, judges=judges, third_judge=arguments.third_judge, fallback_judge=arguments.fallback_judge,
        judge_api_base=arguments.judge_api_base, families={**(families or {}), **families_of(arguments.family)}, api_base=api_base, allow_related_judges=arguments.allow_related_judges,
        allow_alias=arguments.allow_alias, lang=lang, judge_card=getattr(arguments, "judge_card", None), prices=prices_of(arguments.price), reports=arguments.reports_dir, run_id=arguments.run_id,
        threshold=threshold, judge_sampling=judge_sampling_of(arguments.judge_temperature, arguments.judge_max_tokens), limits=Limits(
            max_in_flight=arguments.max_in_flight or default_in_flight(judges[0] if judges else "", judges, arguments.judge_api_base),
            caps=Caps(usd=arguments.budget_usd, calls=arguments.max_calls),
        ),
    )  # fmt: skip


def _rejudge(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.judging.rejudge import rejudge
    from jmedethic_plugin.run import read_manifest

    manifest = read_manifest(arguments.source)
    model, known = manifest.identity["model"], manifest.families
    settings = _judging_settings(
        arguments, model, manifest.selection["lang"], manifest.threshold, api_base=manifest.identity.get("api_base"),
        families={model: family} if (family := known.get(model)) is not None else None,
    )  # fmt: skip
    done = rejudge(arguments.source, settings, ledger_url=arguments.ledger)
    for banner in done.manifest.banners:
        print(f"WARNING: {banner}")
    print(*done.bridge.lines(), done.folder / "report.html", sep="\n")
    return 0


def _qualify(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.judging.qualify import attack_lines, qualify, read_exam, steered
    from jmedethic_plugin.reporting.card import card_lines
    from jmedethic_plugin.settings import threshold_of

    settings = _judging_settings(arguments, "none/none", arguments.lang, threshold_of(arguments.profile, arguments.min_points))
    exam = read_exam(
        settings, arguments.labelled or settings.root / "judges" / "starter", part=arguments.part,
        attacks=not getattr(arguments, "no_attacks", False), per_attack=arguments.per_attack, only_attacks=arguments.what == "attack",
    )  # fmt: skip
    print(*exam.plan(settings).lines(), sep="\n", flush=True)
    if arguments.plan:
        return 0
    today = datetime.now().astimezone().date()
    card, folder = qualify(settings, exam, today=today, told=_told if sys.stderr.isatty() else None)
    if arguments.what == "attack":
        print(*attack_lines(card), folder / "attacks.html", sep="\n")
        return 1 if steered(card) else 0
    print(*card_lines(card, today), folder / "card.html", sep="\n")
    return 1 if card.faults else 0


def _told(n: int, of: int) -> None:
    print(f"\r{n} of {of} answers", end="" if n < of else "\n", file=sys.stderr, flush=True)


def _card(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.reporting.card import card_lines
    from jmedethic_plugin.run import read_card

    card, today = read_card(arguments.file), datetime.now().astimezone().date()
    print(*card_lines(card, today), sep="\n")
    return 1 if card.faults_on(today) else 0


def _import_labelled(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.corpus.labelled_import import import_labelled

    report = import_labelled(arguments.format, arguments.file, arguments.out)
    dropped = "".join(f", {n} dropped ({reason})" for reason, n in report.dropped.items())
    print(f"{report.kept} answers kept{dropped}; licence as the set's card states it: {report.licence}")
    return 0


def _import_cases(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.corpus.foreign import GUIDE, import_cases
    from jmedethic_plugin.corpus.rows import told
    from jmedethic_plugin.reporting.text import visible

    root = corpus_root(arguments.folder)
    mapping = arguments.mapping or root / "guidelines" / "mappings" / f"{arguments.format}.yaml"
    if arguments.mapping is None and not mapping.is_file():
        raise ConfigError(f"no mapping file ships for {arguments.format!r}: its categories are not our guidelines. Write one ({GUIDE}) and give --mapping FILE.")  # fmt: skip
    report = import_cases(
        arguments.format,
        arguments.file,
        arguments.out,
        load_corpus(root).guidelines,
        mapping,
        allow_noncommercial=arguments.allow_noncommercial,
    )
    print(f"{report.kept} cases of {len(report.by_guideline)} guidelines in {arguments.out}; licence: {report.licence}")
    print(*map(visible, told(report.dropped)), sep="\n")
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    # The options are pytest's and mean what they mean there; pytest itself is imported by the plugin alone.
    return subprocess.run([sys.executable, "-m", "pytest", "--plan", "-q", "--no-header", *arguments.options], check=False).returncode


def _merge(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.reporting.text import decision_lines
    from jmedethic_plugin.run import merge_runs

    manifest, decision = merge_runs(arguments.out, arguments.folders)
    missing = f"; the parts {', '.join(map(str, manifest.missing_shards))} are missing" if manifest.missing_shards else ""
    print(f"{manifest.n_recorded} of {manifest.n_planned} planned conversations{missing}")
    print(arguments.out / "report.html")
    _announce(arguments.out, manifest, decision, None)
    if decision is not None:
        print(*decision_lines(decision), sep="\n")
        return decision.exit_code
    return 0 if manifest.complete else 1


def _study(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.study.running import run_study, write_tables
    from jmedethic_plugin.study.spec import load_study

    study = load_study(arguments.file)
    out = arguments.out or Path("reports") / study.name
    if arguments.report_only:
        tables = write_tables(study, arguments.file, out)
    else:
        tables = run_study(study, arguments.file, out, arguments.folder, lambda line: print(line, flush=True))
    unfinished = tables.unfinished()
    for row in unfinished:
        print(f"{row.model}: {row.state}{f' ({row.detail})' if row.detail else ''}")
    print(out / "study.md")
    return 1 if unfinished else 0


def _demo_server(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.testing.server import Faults, LoopbackServer

    cases = load_corpus(corpus_root(Path())).cases
    faults = Faults.parse(arguments.fault)
    with LoopbackServer(
        cases, latency_s=arguments.latency, faults=faults, slow_s=arguments.slow, port=arguments.port, keep_bodies=False
    ) as server:
        print(f"serving the scripted demo models on {server.url} (Ctrl-C ends it)", flush=True)
        print(
            f"pytest --model openai/eroding --api-base {server.url} --judge openai/judge-a --judge openai/judge-b --judge-api-base {server.url}",
            flush=True,
        )
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    sys.exit(main())
