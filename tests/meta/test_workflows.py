"""The workflows that are handed out: read as their services read them."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

CI = Path(__file__).parents[2] / "docs" / "ci"
GITHUB = yaml.safe_load((CI / "github-release-gate.yml").read_text(encoding="utf-8"))
GITLAB = yaml.safe_load((CI / "gitlab-release-gate.yml").read_text(encoding="utf-8"))
STEPS = [(name, step) for name, job in GITHUB["jobs"].items() for step in job["steps"]]


def flat(script):
    return "\n".join(flat(part) if isinstance(part, list) else part for part in script)


def test_every_action_is_pinned_by_a_full_commit_hash():
    used = [step["uses"] for _, step in STEPS if "uses" in step]

    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", name) for name in used), used


def test_a_forks_pull_request_meets_no_secret_and_no_write_permission():
    text = (CI / "github-release-gate.yml").read_text(encoding="utf-8")
    jobs = GITHUB["jobs"]

    assert set(GITHUB[True]) == {"workflow_dispatch", "push", "pull_request"}  # YAML 1.1 reads the key `on` as true
    assert "pull_request_target" not in text
    assert "secrets." not in str(jobs["offline"]) + str(jobs["gate"])
    assert jobs["play"]["if"] == "github.event_name != 'pull_request'"
    assert jobs["play"]["environment"] == "release-gate"
    assert {value for holder in (GITHUB, *jobs.values()) for value in holder.get("permissions", {}).values()} == {"read"}
    assert all(step["with"]["persist-credentials"] is False for _, step in STEPS if step.get("uses", "").startswith("actions/checkout@"))


def test_no_expression_is_pasted_into_a_shell():
    assert all("${{" not in step["run"] for _, step in STEPS if "run" in step)


@pytest.mark.parametrize("script", [step["run"] for _, step in STEPS if "run" in step] + [flat(job["script"]) for job in GITLAB.values() if isinstance(job, dict) and "script" in job])
def test_scripts_are_shell(script):
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_parts_see_earlier_runs_before_they_start_and_the_gate_decides_once():
    for service, names in (("github", [str(s) for n, s in STEPS if n == "play"]), ("gitlab", [flat(GITLAB["play"]["script"])])):
        text = "\n".join(names)
        assert text.index("gated-runs") < text.index("pytest --model"), service
        assert "jmedethic merge" not in text
    gate = [str(s) for n, s in STEPS if n == "gate"]
    assert sum("jmedethic merge" in s for s in (*gate, flat(GITLAB["gate"]["script"]))) == 2
    assert GITHUB["jobs"]["play"]["strategy"]["matrix"]["part"] == [1, 2, 3, 4]
    assert any("--shard \"$PART/4\"" in step.get("run", "") for _, step in STEPS)
    assert all("protected" in str(GITLAB[job].get("rules", GITLAB[".release"]["rules"])).lower() for job in ("play", "gate"))
