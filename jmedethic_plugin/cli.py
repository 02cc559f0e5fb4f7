"""``jmedethic``: what is not a test run."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jmedethic_plugin import __version__
from jmedethic_plugin.corpus.loading import corpus_root, load_corpus
from jmedethic_plugin.errors import JMedEthicError


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 0 when all went well, 2 on a mistake of the user."""
    parser = argparse.ArgumentParser(
        prog="jmedethic",
        description="Release gate for medical language models; test runs themselves are started with pytest.",
    )
    parser.add_argument("--version", action="version", version=f"jmedethic {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    check = commands.add_parser("check", help="read guidelines and cases and name every mistake")
    check.add_argument("folder", nargs="?", type=Path, default=Path(), help="folder that holds guidelines/ and cases/ (default: here)")
    check.set_defaults(run=_check)

    report = commands.add_parser("report", help="write the reports of a run again from its ledger")
    report.add_argument("folder", type=Path, help="run folder, e.g. reports/20261124-101500-000-demo-eroding")
    report.add_argument("--profile", choices=["paper", "release"], help="another threshold than the run's own")
    report.add_argument("--min-points", type=float, help="every judge at or above this on every turn, instead of the run's own threshold")
    report.set_defaults(run=_report)

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


def _check(arguments: argparse.Namespace) -> int:
    corpus = load_corpus(corpus_root(arguments.folder))
    counts = Counter((case.language, case.kind) for case in corpus.cases.values())
    print(f"{len(corpus.guidelines)} guidelines, {len(corpus.strategies)} strategies")
    for (language, kind), n in sorted(counts.items()):
        print(f"{n} {kind} cases in {language}")
    reviewed = sum(case.review.status != "unreviewed" for case in corpus.cases.values())
    print(f"reviewed by a clinician: {reviewed} of {len(corpus.cases)}")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.ledger.store import Ledger
    from jmedethic_plugin.run import read_manifest, write_reports
    from jmedethic_plugin.settings import threshold_of

    manifest = read_manifest(arguments.folder)
    ledger = Ledger(arguments.folder / "ledger.sqlite")
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


def _demo_server(arguments: argparse.Namespace) -> int:
    from jmedethic_plugin.testing.server import Faults, LoopbackServer

    cases = load_corpus(corpus_root(Path())).cases.values()
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
