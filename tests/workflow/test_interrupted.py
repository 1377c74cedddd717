"""Jobs that are stopped by a signal or killed resume from the last checkpoint in the next attempt."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers import ROOT

RUN = "fastgan-sle/fluent-emoji-100/seed0"
JOB = """
import signal, sys, time
def stop(number, frame):
    time.sleep(0.5)
    print("checkpoint written", flush=True)
    sys.exit(128 + number)
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
    signal.signal(number, stop)
print("started", flush=True)
time.sleep(600)
"""


def wait_for(condition, seconds: float = 120.0):
    """Wait for a true value of `condition` and return it. The limit is long, because the machine may be slow."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)
    return value


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_lets_a_job_finish_its_output(tmp_path, number):
    (line,) = re.findall(r'"(.*slim-bench train .*)"', (ROOT / "workflow/rules/runs.smk").read_text())
    (tmp_path / "job.py").write_text(JOB)
    log = tmp_path / "log"
    shell = line.replace("slim-bench train --run {input.run}", shlex.join([sys.executable, f"{tmp_path}/job.py"]))
    command = ["bash", "-c", "set -euo pipefail; " + shell.format(log=shlex.quote(str(log)))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        wait_for(lambda: log.exists() and "started" in log.read_text())
        os.killpg(process.pid, number)
        if number != signal.SIGINT:
            process.wait(timeout=120)
            assert "checkpoint written" in log.read_text(), "the shell waits for the job"
        wait_for(lambda: "checkpoint written" in log.read_text())
    if number != signal.SIGINT:
        assert process.returncode == 128 + number, "the exit code of the job, so that the workflow tries again"


class TinyRun:
    """`snakemake` for one tiny run in a separate session, so that a signal reaches all its processes."""

    def __init__(self, folder: Path) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTEST"))}
        environment |= {"PYTHONPATH": str(folder), "SLIM_BENCH_OFFLINE": "1"}
        command = [sys.executable, "-m", "snakemake", f"results/tiny/runs/{RUN}/model.json", "--cores", "1"]
        self.folder, self.log = folder, folder / "snakemake.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def __enter__(self) -> "TinyRun":
        return self

    def __exit__(self, *_: object) -> None:
        """Kill all remaining processes."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def message(self, pattern: str) -> list[str]:
        return re.findall(pattern, self.log.read_text())

    def at_checkpoint(self, step: int) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        found = (self.folder / f"results/tiny/state/{RUN}").glob("step-*.ckpt")
        return any(int(path.stem.removeprefix("step-")) >= step for path in found)

    def train_process(self) -> int:
        """Return the process of this session that runs `slim-bench train`."""
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"train" in words and os.getsid(int(entry.name)) == self.process.pid:
                    return int(entry.name)
        raise AssertionError("no training in this session")


@pytest.mark.slow
def test_a_stopped_and_a_killed_suite_resume_from_their_checkpoints(fresh_copy):
    folder = fresh_copy.path
    scales = folder / "config/scales.yaml"
    text = scales.read_text()
    for old, new in (("checkpoint_seconds: 60, log", "checkpoint_seconds: 0.01, log"), ("steps: 6,", "steps: 20,")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    scales.write_text(text)
    model = folder / f"results/tiny/runs/{RUN}/model.json"

    with TinyRun(folder) as run:
        wait_for(lambda: run.at_checkpoint(2))
        os.kill(run.train_process(), signal.SIGTERM)
        assert run.process.wait(timeout=300) != 0, "only the cluster profiles retry a stopped job"
        (stopped,) = run.message(r"stopping on signal 15, checkpoint saved at step (\d+)")
    assert not model.exists()

    with TinyRun(folder) as run:
        (resumed,) = wait_for(lambda: run.message(r"resumed at step (\d+) of 20"))
        assert resumed == stopped
        wait_for(lambda: run.at_checkpoint(int(resumed) + 2))
    assert not model.exists()

    with TinyRun(folder) as run:
        assert run.process.wait(timeout=300) == 0, run.log.read_text()[-4000:]
        (again,) = run.message(r"resumed at step (\d+) of 20")
    assert int(again) > int(resumed) and model.exists()
    assert f"resumed at step {again} of 20" in (folder / f"logs/tiny/runs/{RUN}/train.log").read_text()
