"""The tiny suite on a SLURM cluster of one node, through the profile and the executor plugin. Run by `make test-slurm`.

Jobs are stopped by USR1 and by KILL, Snakemake itself is killed, and the suite still ends in the report.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from bench.plan import Plan
from tests.helpers.project import Project, copy_files
from tests.helpers.slurm import Cluster

pytestmark = pytest.mark.slurm
PROFILE = ("--workflow-profile", "workflow/profiles/slurm", "--slurm-init-seconds-before-status-checks", "1")
PART = ("--config", "experiments=[fastgan-sle,resnet14-w16]")
INTERRUPTED = "fastgan-sle/fluent-emoji-100/seed0"
CHANGED = "resnet14-w16/fashion-mnist-tiny/seed0"
T = TypeVar("T")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:  # the path of a socket is limited to 107 characters
        found = Cluster(Path(folder), cores=2)
        try:
            found.start()
            yield found
        finally:
            found.stop()


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """Return a copy of the project whose runs write a checkpoint at every step."""
    copied = copy_files(tmp_path_factory.mktemp("project"))
    change(copied, "checkpoint_seconds: 60, log", "checkpoint_seconds: 0.01, log")
    change(copied, "steps: 6,", "steps: 30,")
    return copied


def change(project: Project, old: str, new: str) -> None:
    scales = project.path / "config/scales.yaml"
    text = scales.read_text()
    assert text.count(old) == 1
    scales.write_text(text.replace(old, new))


class Workflow:
    """`snakemake` with the profile, as a process that can be killed. Its output is in a file."""

    def __init__(self, project: Project, cluster: Cluster, *arguments: str) -> None:
        self.project, self.log = project, project.path / "snakemake.log"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTEST", "SLURM"))}
        environment = kept | {"PYTHONPATH": str(project.path), "SLIM_BENCH_OFFLINE": "1"} | cluster.environment
        command = [sys.executable, "-m", "snakemake", *arguments, *PROFILE]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=project.path, env=environment, stdout=log, stderr=log)

    def __enter__(self) -> "Workflow":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def wait(self, code: int) -> str:
        """Wait for the end, and return the output."""
        assert self.process.wait(timeout=1200) == code, self.log.read_text()[-8000:]
        return self.log.read_text()

    def until(self, condition: Callable[[], T], seconds: float = 600.0) -> T:
        """Wait for a true value of `condition` and return it. The limit is long, because the machine may be slow."""
        end = time.monotonic() + seconds
        while not (value := condition()):
            assert self.process.poll() is None, self.log.read_text()[-8000:]
            assert time.monotonic() < end, f"timed out: {self.log.read_text()[-8000:]}"
            time.sleep(0.05)
        return value


def last_step(project: Project, run: str) -> int:
    """Return the step of the newest checkpoint; 0 if there is none."""
    found = (project.path / f"results/tiny/state/{run}").glob("step-*.ckpt")
    return max((int(path.stem.removeprefix("step-")) for path in found), default=0)


def train_job(cluster: Cluster, run: str) -> str | None:
    """Return the id of the running job that trains `run`."""
    wanted = "_".join(("rule_train_wildcards_tiny", *run.replace("/seed", "/").split("/")))
    return next((number for number, comment in cluster.jobs("--states=running").items() if comment == wanted), None)


def train_process(project: Project) -> int:
    """Return the process that runs `slim-bench train` in the project."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            command = [word.rpartition(b"/")[2] for word in words[1:3]]  # after the interpreter
            if command == [b"slim-bench", b"train"] and (entry / "cwd").samefile(project.path):
                return int(entry.name)
    raise AssertionError("no training in the project")


def log_of(project: Project, run: str) -> str:
    return (project.path / f"logs/tiny/runs/{run}/train.attempts.log").read_text()


def test_a_refused_job_shows_the_reason(cluster, project):
    """The same call prepares the dataset of a later test, and shows the program that reports states."""
    target = f"results/tiny/runs/{CHANGED}/model.json"
    with Workflow(project, cluster, target, "--set-resources", "train:slurm_partition=nowhere") as workflow:
        message = workflow.wait(1)
    assert "invalid partition specified: nowhere" in message
    assert "slim-bench: squeue reports the states of SLURM jobs, because sacct does not respond" in message
    submitted = set(re.findall(r"has been submitted .*/rule_(\w+?)/", message))
    assert submitted == {"prepare_dataset"}, "short jobs run on this machine"


def test_signals_and_kills_resume_and_the_suite_ends_in_the_report(cluster, project):
    """The log of the training contains all three attempts, although Snakemake deletes the log before each."""

    def attempts() -> list[int]:
        return [int(step) for step in re.findall(r"resumed at step (\d+) of 30", log_of(project, INTERRUPTED))]

    with Workflow(project, cluster, "tiny", *PART) as workflow:
        workflow.until(lambda: last_step(project, INTERRUPTED) > 1)
        job = train_job(cluster, INTERRUPTED)
        assert job and cluster.command("scancel", "--signal=USR1", job).returncode == 0
        (stopped,) = workflow.until(attempts)
        workflow.until(lambda: last_step(project, INTERRUPTED) > stopped + 1)
        os.kill(train_process(project), signal.SIGKILL)  # `scancel --signal=KILL` would send SIGTERM first
        workflow.wait(0)
    (line,) = re.findall("stopping on .*", log_of(project, INTERRUPTED))
    assert line == f"stopping on signal 10, checkpoint saved at step {stopped}"
    first, second = attempts()
    assert first == stopped < second
    assert log_of(project, INTERRUPTED).count("slim-bench train --run") == 3
    assert (project.path / "results/tiny/report/index.html").exists()
    status = project.run("slim-bench", "status", "tiny").stdout
    assert "2 ok" in status, status


def test_a_changed_configuration_is_trained_after_a_kill_of_snakemake(cluster, project):
    """The job of the killed Snakemake continues with the earlier configuration."""
    target = f"results/tiny/runs/{CHANGED}/scores/.complete"
    change(project, "recipe: {epochs: 2,", "recipe: {epochs: 3,")
    with Workflow(project, cluster, target) as workflow:
        workflow.until(lambda: train_job(cluster, CHANGED))
        workflow.process.kill()
    change(project, "recipe: {epochs: 3,", "recipe: {epochs: 1,")
    with Workflow(project, cluster, target) as workflow:
        workflow.wait(0)
    folder = project.path / f"results/tiny/runs/{CHANGED}"
    run = Plan.load(root=project.path).run("tiny", "resnet14-w16", "fashion-mnist-tiny", 0)
    assert run.recipe.epochs == 1
    assert json.loads((folder / "model.json").read_text())["run_sha256"] == run.hash
    score = json.loads((folder / "scores/top1.json").read_text())
    assert score["status"] == "ok" and score["run_sha256"] == run.hash
