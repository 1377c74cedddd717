"""Measures the overhead of a job, which is Snakemake's time plus the time of the job's process without training steps.

Each process imports torch, and most processes also import torchvision. These imports take longer than everything else,
so they are timed in alternation with the jobs, and their time is subtracted. Snakemake's time per job is the difference
between many and few jobs of the same rule, divided by the difference of the numbers of jobs, minus the time of the
job's process. The CPU times of these processes are also reported, because other load on the machine affects them less.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from bench.code_digest import ROOT
from bench.run import Run, write_run
from benchmarks.runs import classification_run, fewshot_run
from benchmarks.timing import Workload, interleaved, target

AT_MOST_SECONDS = 1.5
IMPORT = [sys.executable, "-c", "import torch, torchvision"]
COMMAND = [sys.executable, "-m", "bench.cli"]
EXPERIMENTS, DATASET = ("fastgan-sle", "fastgan-slim-4to64"), "fluent-emoji-100"
FEW, MANY = 1, 12
"""Numbers of jobs in the two workflows."""


def measure(quick: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        runs = _runs(Path(folder))
        jobs: dict[str, Workload] = {"import": lambda: _call(IMPORT)}
        for name, run in runs.items():
            jobs[f"train {name}"] = lambda run=run: _call([*COMMAND, "train", "--run", str(run), "--overwrite"])
            jobs[f"evaluate {name}"] = lambda run=run: _call([*COMMAND, "evaluate", "--run", str(run), "--overwrite"])
        jobs["freeze"] = lambda: _call([*COMMAND, *_freeze(Path(folder) / "frozen/run.json")])
        few, many = (1, 3) if quick else (FEW, MANY)
        for name, count in (("few", few), ("many", many)):
            jobs[name] = lambda name=name, count=count: _workflow(Path(folder) / name, count)
        cpu: dict[str, list[float]] = {name: [] for name in jobs}
        timed: dict[str, Workload] = {name: _with_cpu_time(work, cpu[name]) for name, work in jobs.items()}
        times = interleaved(timed, 1 if quick else 5, warm_up=0 if quick else 1)
        steps = {name: _training_seconds(run) for name, run in runs.items()}
    rows = [target("importing torch and torchvision, s", median(times["import"]))]
    own = _job_overhead(times, steps, many - few)
    rows += [target(f"own time per job, {name}, s", value, at_most=AT_MOST_SECONDS) for name, value in own.items()]
    own = _job_overhead(cpu, steps, many - few)
    rows += [target(f"own CPU time per job, {name}, s", value) for name, value in own.items()]
    return {"targets": rows, "wall_seconds": _rounded(times), "cpu_seconds": _rounded(cpu), "step_seconds": steps}


def _job_overhead(times: Mapping[str, list[float]], steps: Mapping[str, float], more_jobs: int) -> dict[str, float]:
    """Return the overhead of Snakemake per job, and the overhead of each job including Snakemake."""
    seconds = {name: median(values) for name, values in times.items()}
    snakemake = (seconds["many"] - seconds["few"]) / more_jobs - seconds["freeze"]
    found = {"Snakemake": snakemake}
    for name, stepping in steps.items():
        found[f"train {name}"] = seconds[f"train {name}"] - stepping - seconds["import"] + snakemake
        found[f"evaluate {name}"] = seconds[f"evaluate {name}"] - seconds["import"] + snakemake
    return found


def _rounded(times: Mapping[str, list[float]]) -> dict[str, list[float]]:
    return {name: [round(value, 3) for value in values] for name, values in times.items()}


def _with_cpu_time(work: Workload, found: list[float]) -> Workload:
    """Return a workload that runs `work` and appends the CPU seconds of its child processes to `found`."""

    def run() -> None:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        work()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)

    return run


def _runs(folder: Path) -> dict[str, Path]:
    """Return the `run.json` files of two runs that have a single step, and whose only metric is `params`."""
    fewshot = fewshot_run(folder / "a", 64, 16, 2, device="cpu", threads=1)
    recipe = fewshot.recipe.model_copy(update={"steps": 1, "strips": 0, "snapshots": 0})
    classifier = classification_run(folder / "b", 64, 64, device="cpu", threads=1)
    short = classifier.recipe.model_copy(update={"epochs": 1, "warmup_epochs": 0})
    made: dict[str, Run] = {
        "few-shot": fewshot.model_copy(update={"recipe": recipe}),
        "classification": classifier.model_copy(update={"recipe": short}),
    }
    for name, run in made.items():
        write_run(folder / name / "run.json", run)
    return {name: folder / name / "run.json" for name in made}


def _freeze(out: Path) -> list[str]:
    chosen = ["--experiment", EXPERIMENTS[0], "--dataset", DATASET, "--seed", "0", "--out", str(out)]
    return ["freeze", "--scale", "demo", *chosen]


def _workflow(folder: Path, count: int) -> None:
    """Run `count` jobs of the rule freeze_run in an empty folder, one after another."""
    folder.mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder))
    names = [f"results/demo/runs/{EXPERIMENTS[i % 2]}/{DATASET}/seed{i // 2}/run.json" for i in range(count)]
    options = ["--snakefile", str(ROOT / "workflow/Snakefile"), "--directory", str(work), "--cores", "1"]
    _call([sys.executable, "-m", "snakemake", *options, "--", *names])
    assert all((work / name).is_file() for name in names)


def _training_seconds(run: Path) -> float:
    return json.loads((run.parent / "model.json").read_text())["training"]["seconds"]


def _call(command: list[str]) -> None:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # with this variable, each process compiles torch again
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with code {done.returncode}: {done.stderr[-2000:]}")
