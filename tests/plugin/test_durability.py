"""Kills at random moments, a full disk, two at once: nothing answered is lost, nothing recorded is paid for twice, the tables are the same."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jmedethic_plugin.testing.server import LoopbackServer
from tests.plugin.test_runs import FEW, http_args, project, run, start, summary, the_run  # noqa: F401  # the fixture is used by its name

SOME = ("--guideline", "B11", "--guideline", "C02", "--guideline", "G01", "--lang", "both")
SLOTS = 6


def recorded(folder):
    """How many usable calls the ledger holds."""
    try:
        with sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro", uri=True, timeout=5) as connection:
            return connection.execute("select count(*) from calls where reusable").fetchone()[0]
    except sqlite3.OperationalError:
        return 0  # the run has only just begun


def paid_twice(folder):
    connection = sqlite3.connect(folder / "ledger.sqlite")
    rows = connection.execute("select key, count(*) from calls where reusable group by run_id, key having count(*) > 1").fetchall()
    connection.close()
    return rows


def wait(condition, process=None):
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        if process is not None and process.poll() is not None:
            return
        time.sleep(0.005)


def only_run(project):  # noqa: F811
    folders = list((project.path / "reports").glob("*")) if (project.path / "reports").exists() else []
    return folders[0] if folders else None


@pytest.mark.parametrize(
    ("over_http", "workers", "n_kills", "seed"),
    [(False, [], 15, 1), (False, ["-n", "2"], 15, 2), (True, [], 10, 3), (True, ["-n", "2"], 10, 4)],  # fifty moments
    ids=["demo", "demo-xdist", "http", "http-xdist"],
)
def test_kill_at_random_moments_changes_nothing(project, corpus, over_http, workers, n_kills, seed):  # noqa: F811
    rng = random.Random(seed)
    run(project, "--model", "demo/eroding", *SOME)
    whole = summary(the_run(project))["tables"]
    the_run(project).rename(project.path / "whole")

    with LoopbackServer(corpus.cases, latency_s=0.02) as server:
        model = http_args(server) if over_http else ("--model", "demo/eroding")
        args = (*model, *SOME, "--max-in-flight", str(SLOTS), "--run-id", "r", *workers)
        total = 9 * 60
        for kill in range(n_kills):
            resume = ("--resume", "r") if (only_run(project) and (only_run(project) / "run.json").exists()) else ()
            command = [a for a in args if a not in ("--run-id", "r")] if resume else args
            before = recorded(only_run(project)) if resume else 0
            wanted = before + rng.randint(0, (total - before) // (n_kills - kill))
            process = start(project, *command, *resume)
            wait(lambda wanted=wanted: (f := only_run(project)) is not None and recorded(f) >= wanted, process)
            time.sleep(rng.random() * 0.05)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
        result = run(project, *[a for a in args if a not in ("--run-id", "r")], "--resume", "r")

    result.assert_outcomes(passed=18, failed=42)
    tables = summary(the_run(project))["tables"]
    assert tables == whole
    assert paid_twice(the_run(project)) == []
    if over_http:
        again = sum(server.stats.answered.values()) - total
        assert 0 <= again <= n_kills * 2 * SLOTS  # replies on the wire, and on their way to the disk, when the run was killed
        assert len(server.stats.answered) == total


def test_full_disk_stops_the_calls_and_the_run_goes_on_later(project, corpus):  # noqa: F811
    with LoopbackServer(corpus.cases, latency_s=0.01) as server:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=line", *http_args(server), *SOME, "--run-id", "r", "--max-in-flight", "4"]
        limit = 400_000  # bytes a file may have: as if the disk were full from there on

        done = subprocess.run(
            command, cwd=project.path, capture_output=True, text=True, check=False, timeout=120,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )  # fmt: skip

        assert done.returncode != 0
        assert "the ledger cannot be written" in done.stdout
        kept, asked = recorded(the_run(project)), server.stats.requests
        assert 0 < kept < 9 * 60
        assert asked - kept <= 3 * 4  # what was open, what waited for the commit, and the commit that failed

        result = run(project, *http_args(server), *SOME, "--resume", "r")

    result.assert_outcomes(passed=18, failed=42)
    assert paid_twice(the_run(project)) == []
    assert server.stats.requests == asked + 9 * 60 - kept


def test_second_start_on_the_same_run_is_refused_and_disturbs_nothing(project, corpus):  # noqa: F811
    with LoopbackServer(corpus.cases, latency_s=0.2) as server:
        args = (*http_args(server), *FEW, "--max-in-flight", "4")
        first = start(project, *args, "--run-id", "r")
        wait(lambda: server.stats.requests > 5)

        second = run(project, *args, "--resume", "r")

        assert second.ret == pytest.ExitCode.USAGE_ERROR
        assert "another process works on this run" in second.stderr.str()
        assert first.wait(90) == 1
    assert server.stats.requests == 90
    assert json.loads((the_run(project) / "run.json").read_text(encoding="utf-8"))["complete"] is True


def shared(project, server, url, name, *args):  # noqa: F811
    """A machine of its own: another report folder, the same ledger."""
    ledger = ("--ledger", url, "--reports-dir", str(project.path / name))
    return start(project, *http_args(server), *SOME, "--run-id", "r", *ledger, *args)


@pytest.mark.parametrize("split", [True, False], ids=["shards", "the-same-cases"])
def test_two_machines_on_one_ledger_pay_each_call_once(project, corpus, postgresql_url, split):  # noqa: F811
    run(project, "--model", "demo/eroding", *SOME)
    whole = summary(the_run(project))["tables"]
    with LoopbackServer(corpus.cases, latency_s=0.02) as server:
        machines = [
            shared(project, server, postgresql_url, f"machine{n}", *(["--shard", f"{n}/2"] if split else []), *(["-n", "2"] if n == 2 else []))
            for n in (1, 2)
        ]  # fmt: skip
        assert [m.wait(180) for m in machines] == [1, 1]

    assert len(server.stats.answered) == 9 * 60
    assert set(server.stats.answered.values()) == {1}
    if not split:
        for n in (1, 2):
            assert summary(project.path / f"machine{n}" / "r")["tables"] == whole


def test_machine_that_died_is_taken_over_when_its_lease_ends(project, corpus, postgresql_url, monkeypatch):  # noqa: F811
    project.makeconftest("import jmedethic_plugin.engine.scheduler as s\ns.LEASE_S = 4.0\ns._POLL_S = 0.2\n")
    with LoopbackServer(corpus.cases, latency_s=0.1) as server:
        first = shared(project, server, postgresql_url, "machine1", "--max-in-flight", "4")
        wait(lambda: server.stats.requests > 60)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait(30)
        asked = server.stats.requests

        second = shared(project, server, postgresql_url, "machine2")
        assert second.wait(120) == 1

    assert len(server.stats.answered) == 9 * 60
    assert sum(server.stats.answered.values()) <= 9 * 60 + 2 * 4  # only what was on the wire or on its way to the ledger when the first died
    assert server.stats.requests < asked + 9 * 60
    assert Path(project.path / "machine2" / "r" / "report.html").exists()
