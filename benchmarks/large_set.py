"""50,000 conversations from a JSONL set: selecting 500, collecting all, and the check of a finished ledger when resuming.

``python benchmarks/large_set.py [--cases 50000] [--runs 3]``
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from measure import Taken, run, server, spread

from jmedethic_plugin.corpus.jsonl import case_line
from jmedethic_plugin.corpus.loading import corpus_root, load_corpus


def write_set(path: Path, n: int) -> None:
    """The corpus over and over, each copy marked as another conversation."""
    cases = [c for c in load_corpus(corpus_root(Path(__file__).parents[1])).cases.values() if c.language == "ja"]
    with path.open("w", encoding="utf-8") as out:
        for k in range(n):
            case, copy = cases[k % len(cases)], k // len(cases) + 1
            head = case.id.rsplit("-", 1)[0]
            turns = (f"{case.user_turns[0]}({copy})", *case.user_turns[1:])
            out.write(case_line(case.model_copy(update={"id": f"{head}-{copy}", "user_turns": turns, "twin_of": None}), "benchmark") + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--resume", action="store_true", help="also play the whole set once (minutes) and measure the check of the finished run")
    a = parser.parse_args()
    with server(latency=0) as url, tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        write_set(root / "set.jsonl", a.cases)
        base = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--model", "demo/steadfast", "--cases", "set.jsonl"]

        def measure(title: str, *options: str, code: int = 0) -> Taken:
            taken = [run([*base, *options], url, root) for _ in range(a.runs)]
            assert all(t.code == code for t in taken), taken[0].output[-2000:]
            print(f"{title:<52} wall {spread([t.wall_s for t in taken], 1)} s, memory {spread([t.peak_mb for t in taken], 0)} MB", flush=True)
            return taken[0]

        print(f"{a.cases} conversations, {(root / 'set.jsonl').stat().st_size / 1e6:.0f} MB of JSONL; median (range) of {a.runs} runs")
        measure("collect and select 500", "--collect-only", "--sample", "500", "-qq")
        measure("collect all, -n 0", "--collect-only", "-qq")
        if a.resume:
            whole = [*base, "--tb=no", "--no-summary", "--run-id", "whole", "-n", "0"]
            played = run(whole, url, root)
            print(f"{'play all once, demo models':<52} wall {played.wall_s:.0f} s, memory {played.peak_mb:.0f} MB, exit {played.code}", flush=True)
            measure("resume check: what of the finished run is missing", "--resume", "whole", "--plan")


if __name__ == "__main__":
    main()
