"""The same work with what a user would pick instead, against the same server, each in its own environment.

``python benchmarks/peers/run_peers.py [--latency 0.05 0.2 1] [--inspect PYTHON]``; a peer whose environment is missing is skipped and said so.
For Inspect AI make one (LiteLLM and Inspect cannot share it): ``python -m venv v && v/bin/pip install inspect-ai openai``, then ``--inspect v/bin/python``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from measure import run, server, suite  # noqa: E402

from jmedethic_plugin.corpus.loading import corpus_root, load_corpus  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, nargs="+", default=[0.05, 0.2, 1.0])
    parser.add_argument("--inspect", help="Python of an environment with inspect-ai and openai")
    parser.add_argument("--only", nargs="+")
    a = parser.parse_args()
    cases = load_corpus(corpus_root(HERE.parents[1])).cases.values()
    job = [{"id": c.id, "turns": list(c.user_turns)} for c in cases if c.language == "ja" and c.kind == "adversarial"]
    for latency in a.latency:
        with server(latency=latency) as url, tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
            (root / "job.json").write_text(json.dumps(job), encoding="utf-8")
            python, quiet = sys.executable, ["-q", "--tb=no", "--no-summary", "-p", "no:cacheprovider"]
            peers = {
                "JMedEthic, -n 2": suite(url, "-m", "adversarial", "-n", "2"),
                "threads over the OpenAI client": [python, str(HERE / "threads_openai.py"), url, "job.json"],
                "asyncio over LiteLLM": [python, str(HERE / "async_litellm.py"), url, "job.json"],
                "pytest + LiteLLM, -n 16": [python, "-m", "pytest", *quiet, "-c", str(root / "pytest.ini"), "-n", "16", "-p", "no:jmedethic_plugin.plugin", str(HERE / "test_pytest_litellm.py")],
                "Inspect AI": [a.inspect or "", str(HERE / "inspect_peer.py"), url, "job.json"],
            }
            bound = 9 * len(job) * latency / 64
            print(f"latency {latency} s; calls x latency / 64 = {bound:.1f} s", flush=True)
            env = dict(os.environ) | {"PEER_JOB": str(root / "job.json"), "PEER_URL": url, "PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
            for name, command in peers.items():
                if a.only and not any(word in name for word in a.only):
                    continue
                if not command[0]:
                    print(f"  {name:<32} skipped: no environment given", flush=True)
                    continue
                taken = run(command, url, root, env)
                calls = taken.stats
                told = "" if taken.code == 0 else f"  exit {taken.code}: {taken.output.strip().splitlines()[-1][:80] if taken.output.strip() else ''}"
                print(
                    f"  {name:<32} wall {taken.wall_s:6.1f} s ({taken.wall_s / bound:5.1f} x)  CPU {taken.cpu_s:6.1f} s  {taken.peak_mb:6.0f} MB  "
                    f"{calls['calls']} calls, {calls['peak_in_flight']} open{told}", flush=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
