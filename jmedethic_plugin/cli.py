"""``jmedethic``: what is not a test run."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from jmedethic_plugin import __version__
from jmedethic_plugin.core.review import PROFESSIONS
from jmedethic_plugin.corpus.loading import corpus_root, load_corpus
from jmedethic_plugin.errors import ConfigError, JMedEthicError


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
    report.set_defaults(run=_report)

    plan = commands.add_parser(
        "plan",
        help="calls, tokens, money and time of a run before anything is spent",
        usage="jmedethic plan [options as for pytest]",
        prefix_chars="\0",
    )
    plan.add_argument(
        "options", nargs="*", help="as for the run itself: --model ID --judge ID --judge ID --lang both ...; --resume RUN takes its means"
    )
    plan.set_defaults(run=_plan)

    merge = commands.add_parser("merge", help="join the parts of a run (--shard) into one folder with its reports")
    merge.add_argument("out", type=Path, help="folder to write, e.g. reports/joined")
    merge.add_argument("folders", type=Path, nargs="+", help="run folders of the parts")
    merge.set_defaults(run=_merge)

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
    chosen = [g for g in corpus.guidelines.values() if not arguments.guideline or {g.id, g.category} & set(arguments.guideline)]
    if not chosen:
        raise ConfigError(f"--guideline {' '.join(arguments.guideline)}: no such guideline or category.")
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
    from jmedethic_plugin.ledger.store import Ledger
    from jmedethic_plugin.run import read_manifest, write_reports
    from jmedethic_plugin.settings import threshold_of

    manifest = read_manifest(arguments.folder)
    ledger = Ledger(arguments.ledger or arguments.folder / "ledger.sqlite", manifest.run_id)
    try:
        records = list(ledger.records())
    finally:
        ledger.close()
    changed: dict[str, object] = {"n_recorded": len(records), "n_planned": manifest.n_planned or len(records)}
    if arguments.profile is not None or arguments.min_points is not None:
        changed["threshold"] = threshold_of(arguments.profile or "release", arguments.min_points)
    write_reports(arguments.folder, manifest.model_copy(update=changed), records)
    print(arguments.folder / "report.html")
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    # The options are pytest's and mean what they mean there; pytest itself is imported by the plugin alone.
    return subprocess.run([sys.executable, "-m", "pytest", "--plan", "-q", "--no-header", *arguments.options], check=False).returncode


def _merge(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.run import merge_runs

    manifest = merge_runs(arguments.out, arguments.folders)
    missing = f"; the parts {', '.join(map(str, manifest.missing_shards))} are missing" if manifest.missing_shards else ""
    print(f"{manifest.n_recorded} of {manifest.n_planned} planned conversations{missing}")
    print(arguments.out / "report.html")
    return 0 if manifest.complete else 1


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
