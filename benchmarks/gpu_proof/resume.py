"""Tests that training killed by SIGKILL resumes from its checkpoint, and measures the energy of both processes."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.code_digest import ROOT
from bench.run import Run, write_run
from bench.runtime.device import choose_device
from bench.train.loop.history import History
from benchmarks.gpu_proof.record import NEEDS_GPU, Entry, Record
from benchmarks.runs import fewshot_run

STEPS, QUICK_STEPS = 300, 12
KILL_AFTER = 0.3
"""Share of the steps that a checkpoint must contain before the process is killed."""
LOSS_AT_MOST = 0.2


def measure(record: Record, quick: bool) -> None:
    steps = QUICK_STEPS if quick else STEPS
    size, base, batch = (64, 8, 2) if quick else (256, 64, 8)

    def killed_and_resumed() -> Entry:
        with tempfile.TemporaryDirectory() as folder:
            run = _run(Path(folder), size, base, batch, steps)
            return compare(run, Path(folder), steps, record.seconds_left())

    found = record.entry("killed and resumed", killed_and_resumed) or {}
    record.row("share of the steps that were kept", found.get("kept"), at_least=KILL_AFTER)
    record.row("finished steps / planned steps", found.get("finished"), at_least=1.0)
    name = "relative difference of the last reconstruction loss from an uninterrupted run"
    record.row(name, found.get("difference"), at_most=LOSS_AT_MOST)
    if choose_device("auto").type == "cpu":
        record.skip("joules per step, both processes", NEEDS_GPU)
    else:
        record.row("joules per step, both processes", found.get("joules_per_step"))


def _run(folder: Path, size: int, base: int, batch: int, steps: int) -> Run:
    run = fewshot_run(folder / "data", size, base, batch, checkpoint_seconds=0.5, log_every=steps // 6)
    recipe = run.recipe.model_copy(update={"steps": steps, "strips": 0, "snapshots": 0})
    return run.model_copy(update={"recipe": recipe})


def compare(run: Run, folder: Path, steps: int, seconds: float) -> Entry:
    """Train a run with and without a SIGKILL, and return the progress and losses of the interrupted run."""
    end = time.monotonic() + seconds
    losses = {}
    for name in ("uninterrupted", "killed"):
        write_run(folder / name / "run.json", run)
        if name == "killed":
            kept = _kill(folder / name, round(KILL_AFTER * steps), end)
        done = subprocess.run(
            _command(folder / name), cwd=ROOT, capture_output=True, text=True, timeout=_seconds_left(end)
        )
        if done.returncode:
            raise RuntimeError(f"train ended with code {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
        losses[name] = float(History(folder / name / "history.csv").read()[-1]["loss_reconstruction"])
    if f"resumed at step {kept} " not in done.stderr:
        raise RuntimeError(f"the second process did not resume at step {kept}")
    training: dict[str, Any] = json.loads((folder / "killed/model.json").read_text())["training"]
    joules = training["energy_joules"]
    return {
        "kept": kept / steps,
        "finished": training["steps"] / steps,
        "difference": abs(losses["killed"] - losses["uninterrupted"]) / losses["uninterrupted"],
        "joules_per_step": None if joules is None else joules / steps,
        "training": {key: training[key] for key in ("device", "seconds", "energy_joules", "peak_memory_bytes")},
    }


def _command(folder: Path) -> list[str]:
    paths = [f"--run={folder / 'run.json'}", f"--state={folder / 'state'}"]
    return [sys.executable, "-m", "bench.cli", "train", *paths]


def _kill(folder: Path, step: int, end: float) -> int:
    """Start training, kill it after the checkpoint of `step` or of a later step, and return the checkpoint's step."""
    with subprocess.Popen(_command(folder), cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        while _latest(folder) < step:
            if process.poll() is not None or not _seconds_left(end):
                process.kill()
                raise RuntimeError(f"no checkpoint of step {step} was found before the process ended")
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    return _latest(folder)


def _latest(folder: Path) -> int:
    found = [int(path.stem.removeprefix("step-")) for path in (folder / "state").glob("step-*.ckpt")]
    return max(found, default=-1)


def _seconds_left(end: float) -> float:
    return max(0.0, end - time.monotonic())
