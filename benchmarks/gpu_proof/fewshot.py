"""Times the few-shot step of the engine and of the reference loop in each of SETTINGS, at 256 and 1024 px.

Both loops use LPIPS's VGG16 with random weights. Time and operations do not depend on the weights. Steps of the
two loops alternate. Energy is measured for the whole GPU over several seconds of consecutive steps.
"""

import importlib
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bench.measure.job import random_lpips
from bench.metrics.memory import peak_bytes
from bench.run import Compute, ModelSpec, Run
from bench.runtime.device import choose_device
from bench.train.fewshot.engine import FewShot
from bench.train.fewshot.perceptual import LpipsTrunk, PerceptualLoss
from bench.train.loop.graphs import WARM_UP
from bench.train.loop.monitor import Monitor
from bench.train.startup import set_precision
from benchmarks.gpu_proof.record import NEEDS_GPU, Entry, Record
from benchmarks.runs import fewshot_run
from benchmarks.timing import Workload, interleaved, median_ratio
from reference.fewshot_loop import ReferenceFewShot

SETTINGS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bf16": {"precision": "bf16"},
    "bf16, recorded": {"precision": "bf16", "cuda_graphs": True},
    "bf16, compiled": {"precision": "bf16", "compile": True},
    "bf16, compiled, recorded": {"precision": "bf16", "compile": True, "cuda_graphs": True},
}
FASTEST = "bf16, compiled, recorded"
QUICK = {256: (16, ("float32", FASTEST)), 1024: (32, ("float32",))}
"""Base channels and settings with --quick. The SLIM gates do not support fewer channels."""
AT_LEAST = {256: 3.0, 1024: 2.0}
SLE_AT_MOST = 1.05
BASE, BATCH = 64, 8
REPEATS = {256: 40, 1024: 20}
ENERGY_SECONDS = 3.0


def measure(record: Record, image_size: int, quick: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        steps = Steps(Path(folder), image_size, quick)
        ratios = {}
        for name in steps.settings:
            entry = record.entry(name, lambda name=name: steps.against_reference(name))
            if entry is not None:
                ratios[name] = median_ratio(entry["reference"], entry["engine"])
                record.row(f"reference loop / engine, {image_size} px, {name}", ratios[name])
                if entry["joules"] is not None:
                    record.row(f"joules per step, {image_size} px, {name}", entry["joules"])
        sle = record.entry("SLIM and SLE", steps.slim_and_sle)
    if steps.device.type == "cpu":
        record.skip(f"joules per step, {image_size} px", NEEDS_GPU)
    name = f"reference loop / engine, {image_size} px, fastest setting"
    record.row(name, max(ratios.values(), default=None), at_least=AT_LEAST[image_size])
    ratio = None if sle is None else median_ratio(sle["slim"], sle["sle"])
    record.row(f"SLIM / SLE, whole step, {image_size} px, {steps.settings[-1]}", ratio, at_most=SLE_AT_MOST)


class Steps:
    """Training steps of engines and of the reference loop on the same random images."""

    def __init__(self, folder: Path, image_size: int, quick: bool) -> None:
        self.device = choose_device("auto")
        self.base, self.settings = QUICK[image_size] if quick else (BASE, tuple(SETTINGS))
        self.batch = 2 if quick else BATCH
        self.repeats, self.warm_up = (1, 0) if quick else (REPEATS[image_size], 5)
        self.run = fewshot_run(folder / "data", image_size, self.base, self.batch)
        # the compiled networks share their code, and each compiles about six variants of its discriminator
        importlib.import_module("torch._dynamo.config").recompile_limit = 64
        torch.manual_seed(0)
        self.lpips = random_lpips().to(self.device)
        self.reference = ReferenceFewShot(self.device, self.lpips, image_size, self.base)

    def engine(self, run: Run, setting: str) -> Workload:
        """Return a step of an engine, after all CUDA graphs of the step have been recorded."""
        run = run.model_copy(update={"compute": Compute(**SETTINGS[setting])})
        set_precision(run, self.device)
        engine = FewShot(run, self.device)
        engine.perceptual = PerceptualLoss(LpipsTrunk(self.lpips).to(memory_format=torch.channels_last))
        if engine.compute.recorder is not None:
            for part in range(4):
                for _ in range(WARM_UP + 1):
                    engine.compute(part)
        numbers = iter(range(10**6))
        return lambda: engine.step(next(numbers))

    def against_reference(self, setting: str) -> Entry:
        step = self.engine(self.run, setting)
        images = torch.randint(0, 256, (self.batch, 3, *(self.run.data.image_size,) * 2), dtype=torch.uint8)
        images = images.to(self.device)
        workloads: dict[str, Workload] = {"reference": lambda: self.reference.step(images), "engine": step}
        times = interleaved(workloads, self.repeats, self.warm_up)
        peak = peak_bytes(step, self.device) if self.device.type == "cuda" else None
        return {**rounded(times), "joules": joules_per_step(step, self.device), "peak_memory_bytes": peak}

    def slim_and_sle(self) -> Entry:
        """Return the times of the last setting with SLIM gates, and with SLE gates in the same places."""
        sle = self.run.model_copy(update={"model": ModelSpec(name="fastgan-sle", args=self.run.model.args)})
        workloads = {name: self.engine(run, self.settings[-1]) for name, run in (("slim", self.run), ("sle", sle))}
        return rounded(interleaved(workloads, self.repeats, self.warm_up))


def joules_per_step(step: Workload, device: torch.device, seconds: float = ENERGY_SECONDS) -> float | None:
    """Return the energy of the whole GPU per step, measured over `seconds` of steps; None without NVML."""
    monitor = Monitor(device)
    if monitor.spent_joules() is None:
        return None
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        step()
        count += 1
        torch.cuda.synchronize()
    spent = monitor.spent_joules()
    return None if spent is None else spent / count


def rounded(times: dict[str, list[float]]) -> Entry:
    """Return name -> seconds of each repetition with five significant digits, and the medians."""
    medians = {f"{name}_median": float(f"{median(values):.5g}") for name, values in times.items()}
    return {name: [float(f"{value:.5g}") for value in values] for name, values in times.items()} | medians
