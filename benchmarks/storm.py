"""A provider that admits a number of calls a second and answers 429 with Retry-After above it: how near the run comes to that limit.

``python benchmarks/storm.py [--per-second 20] [--runs 3] [--sample 100]``
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from measure import run, server, spread, suite


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-second", type=float, default=20.0)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sample", type=int, default=100, help="scenes; nine calls each")
    a = parser.parse_args()
    ratios, refused = [], []
    with server(latency=a.latency, per_second=a.per_second) as url, tempfile.TemporaryDirectory() as folder:
        Path(folder, "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        command = suite(url, "--sample", str(a.sample), "--max-in-flight", "64")
        for _ in range(a.runs):
            taken = run(command, url, Path(folder))
            stats = taken.stats
            assert taken.code == 0, taken.output[-2000:]
            assert stats["answered_twice"] == 0
            assert stats["answered"] == 9 * a.sample
            bound = (stats["answered"] - a.per_second) / a.per_second + a.latency  # a second's worth is admitted at once
            ratios.append(stats["span_s"] / bound)
            refused.append(stats["refused"])
            print(f"  {stats['answered']} answered, {stats['refused']} refused, limit {bound:.1f} s, span {stats['span_s']:.1f} s", flush=True)
    print(f"{a.per_second:g} calls a second admitted, latency {a.latency} s; median (range) of {a.runs} runs")
    print(f"  first to last call / the server's own limit   {spread(ratios)}")
    print(f"  refused, of {9 * a.sample} answered                  {spread(refused, 0)}")


if __name__ == "__main__":
    main()
