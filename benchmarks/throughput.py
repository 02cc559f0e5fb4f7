"""469 conversations, 4,221 calls, 64 open: how near the run comes to calls x latency / open calls, and what it costs the client.

``python benchmarks/throughput.py [--latency 0.2] [--runs 5] [--workers 16]``
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from measure import run, server, spread, suite

OPEN = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--workers", default="16")
    parser.add_argument("--sample", type=int, help="fewer conversations, for a quick look")
    a = parser.parse_args()
    ratios, cpus, memories, firsts, walls = [], [], [], [], []
    with server(latency=a.latency) as url, tempfile.TemporaryDirectory() as folder:
        Path(folder, "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        sample = ["--sample", str(a.sample)] if a.sample else []
        command = suite(url, "-m", "adversarial", "-n", a.workers, "--max-in-flight", str(OPEN), *sample)
        for _ in range(a.runs):
            taken = run(command, url, Path(folder))
            stats = taken.stats
            assert taken.code == 0, taken.output[-2000:]
            assert stats["answered_twice"] == 0
            bound = stats["calls"] * a.latency / OPEN
            ratios.append(stats["span_s"] / bound)
            cpus.append(1000 * taken.cpu_s / stats["calls"])
            memories.append(taken.peak_mb)
            firsts.append(stats["first_at"] - taken.started_at)
            walls.append(taken.wall_s)
            print(f"  {stats['calls']} calls, bound {bound:.1f} s, span {stats['span_s']:.1f} s, wall {taken.wall_s:.1f} s", flush=True)
    print(f"latency {a.latency} s, {OPEN} open, -n {a.workers}; median (range) of {a.runs} runs")
    print(f"  first to last call / bound    {spread(ratios)}")
    print(f"  client CPU per call, ms       {spread(cpus)}   (all processes, start included)")
    print(f"  memory of the tree, MB        {spread(memories, 0)}")
    print(f"  first call after start, s     {spread(firsts)}")
    print(f"  wall, s                       {spread(walls, 1)}")


if __name__ == "__main__":
    main()
