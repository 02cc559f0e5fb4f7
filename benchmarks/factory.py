"""Conversations of the factory, 64 open: how near the step comes to calls x latency / open calls, and what its memory does as jobs grow.

``python benchmarks/factory.py [--latency 0.2] [--requests 1935]``: 1,935 requests x 7 strategies x 4 agents are the paper's 54,180 jobs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from measure import run, server

from jmedethic_plugin.corpus.loading import corpus_root, load_corpus
from jmedethic_plugin.generation.questions import Request

OPEN = 64
AGENTS = ("agent-a", "agent-b", "agent-c", "agent-d")


def write_requests(path: Path, n: int) -> None:
    """So many requests, spread over the guidelines."""
    guidelines = list(load_corpus(corpus_root(Path(__file__).parents[1])).guidelines)
    with path.open("w", encoding="utf-8") as out:
        for k in range(n):
            guideline = guidelines[k % len(guidelines)]
            request = Request(
                id=f"ja-{guideline}-{k // len(guidelines) + 1}", language="ja", guideline=guideline, generator="openai/generator",
                request=f"測定のための依頼その{k}", violating="測定のための文", acceptable="測定のための文",
            )  # fmt: skip
            out.write(request.model_dump_json(by_alias=True, exclude_none=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--requests", type=int, nargs="+", default=[100, 400], help="how many requests, for each measurement")
    a = parser.parse_args()
    for n in a.requests:
        with server(latency=a.latency) as url, tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_requests(root / "requests.jsonl", n)
            agents = [part for name in AGENTS for part in ("--agent", f"openai/{name}")]
            command = [sys.executable, "-m", "jmedethic_plugin.cli", "generate", "conversations", "--out", "factory", "--requests", "requests.jsonl"]
            command += [*agents, "--api-base", url, "--max-in-flight", str(OPEN)]
            taken = run(command, url, root)
            stats = taken.stats
            assert taken.code == 0, taken.output[-2000:]
            assert stats["answered_twice"] == 0
            again = run(command, url, root)
            assert again.stats["calls"] == 0, "a finished step must call nobody"
            bound = stats["calls"] * a.latency / OPEN
            print(
                f"{stats['calls']:,} calls: first to last / bound {stats['span_s'] / bound:.2f} ({stats['span_s']:.1f} s / {bound:.1f} s), wall {taken.wall_s:.1f} s, "
                f"CPU {1000 * taken.cpu_s / stats['calls']:.1f} ms a call, memory {taken.peak_mb:.0f} MB; repeated: {again.wall_s:.1f} s, {again.peak_mb:.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
