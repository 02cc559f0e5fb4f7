"""What the benchmark scripts share: the server in its own process, a command with its wall time, CPU and memory."""

from __future__ import annotations

import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@contextmanager
def server(**options: float) -> Iterator[str]:
    """``http://127.0.0.1:PORT/v1`` of a benchmark server."""
    arguments = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    process = subprocess.Popen([sys.executable, str(HERE / "server.py"), *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.wait()


def ask(url: str, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(url.removesuffix("/v1") + path, timeout=10) as answer:
        return json.load(answer)


def suite(url: str, *options: str) -> list[str]:
    """The suite's own command: target and both judges at the server, quiet."""
    quiet = ["-q", "--tb=no", "--no-summary", "-p", "no:cacheprovider", "--sentinels", "0"]  # the server's judges always say 9
    judges = ["--judge", "openai/judge-a", "--judge", "openai/judge-b", "--judge-api-base", url]
    return [sys.executable, "-m", "pytest", *quiet, "--model", "openai/target", "--api-base", url, *judges, *options]


@dataclass
class Taken:
    """What a command took."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    """Highest sum of proportional memory over the process tree, sampled twice a second."""
    started_at: float
    code: int
    stats: dict[str, Any]
    output: str = ""


def run(command: Sequence[str], url: str, cwd: Path, env: dict[str, str] | None = None, *, kill_at: int = 0, reset: bool = True) -> Taken:
    """Run a command against a server and take its measure; ``kill_at``: with SIGKILL once the server has answered so many calls."""
    if reset:
        ask(url, "/reset")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started, clock = time.time(), time.monotonic()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment(env))
    peak, cpu_at_kill = [0.0], [0.0]
    watching = [threading.Thread(target=_watch, args=(process, peak), daemon=True)]
    if kill_at:
        watching.append(threading.Thread(target=_kill, args=(process, url, kill_at, cpu_at_kill), daemon=True))
    for thread in watching:
        thread.start()
    output, _ = process.communicate()
    wall = time.monotonic() - clock
    for thread in watching:
        thread.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = cpu_at_kill[0] or after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(wall, cpu, peak[0], started, process.returncode, ask(url, "/stats"), output)


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Ours, but with compiled modules kept: without them pytest compiles every plugin's tests in every process again."""
    return {k: v for k, v in (os.environ | (extra or {})).items() if k != "PYTHONDONTWRITEBYTECODE"}


def _watch(process: subprocess.Popen[str], peak: list[float]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], sum(map(_pss_mb, _tree(process.pid))))
        time.sleep(0.5)


def _kill(process: subprocess.Popen[str], url: str, answered: int, cpu: list[float]) -> None:
    """Kill the whole tree, its CPU noted before: nobody waits for the children of a killed process."""
    while process.poll() is None:
        if ask(url, "/stats")["answered"] >= answered:
            tree = _tree(process.pid)
            cpu[0] = sum(map(_cpu_s, tree))
            for pid in tree:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.05)


def _cpu_s(pid: int) -> float:
    """CPU of a process and of its children that ended."""
    try:
        times = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[11:15]
    except OSError:
        return 0.0
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def _tree(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [p for child in task.read_text().split() for p in _tree(int(child))]
        except OSError:
            continue
    return found


def _pss_mb(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """``1.04 (1.03-1.06)``: median and range."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"
