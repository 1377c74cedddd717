"""Times the few-shot training step against the reference loop: 256 px, base_channels 64, batch 8, two CPU threads.

Both loops use the same perceptual network, LPIPS's VGG16. If the weights of LPIPS are not available, the network has
random weights, which require the same operations. Steps of the two loops alternate, and the reported ratio is the
median over pairs of consecutive steps. float32 is always measured. bf16 is measured only if the device has instructions
for it, and is otherwise recorded as not measured. Compiled steps, and compiled steps replayed as CUDA graphs, are
measured on a GPU. Step times are also reported as multiples of the roofline bound.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from bench.errors import InputError
from bench.measure.job import random_lpips
from bench.metrics.lpips import Lpips, load_lpips
from bench.runtime.memory import keep_freed_memory
from bench.train.fewshot.engine import FewShot
from bench.train.fewshot.perceptual import LpipsTrunk, PerceptualLoss
from benchmarks.roofline import roofline_seconds
from benchmarks.runs import fewshot_run
from benchmarks.timing import Workload, interleaved, median_ratio, target
from reference.fewshot_loop import ReferenceFewShot

THREADS, BATCH = 2, 8
REPEATS, WARM_UP = {"cpu": 3, "cuda": 50}, {"cpu": 1, "cuda": 40}
CPU_AT_LEAST, GPU_AT_LEAST = {"float32": 1.3, "bf16": 1.8}, {"bf16, compiled": 3.0}
RATIO = "reference loop over engine"


def measure(quick: bool) -> dict[str, Any]:
    """Return the seconds per step of both loops, their ratio, and the engine's time divided by its roofline bound."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    if device.type == "cpu":
        keep_freed_memory()  # as in training; this setting also applies to the reference loop
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _against_reference(Path(folder), device, 1 if quick else REPEATS[device.type])
    finally:
        torch.set_num_threads(threads)


def _against_reference(folder: Path, device: torch.device, repeats: int) -> dict[str, Any]:
    torch.manual_seed(0)
    lpips, weights = _lpips()
    lpips = lpips.to(device)
    reference = ReferenceFewShot(device, lpips)
    engines = {}
    for name, compute in _settings(device).items():
        engines[name] = FewShot(fewshot_run(folder / name, 256, 64, BATCH, threads=THREADS, **compute), device)
        engines[name].perceptual = PerceptualLoss(LpipsTrunk(lpips).to(memory_format=torch.channels_last))
    images, steps = engines["float32"].images[:BATCH], iter(range(10_000))
    workloads: dict[str, Workload] = {"reference": lambda: reference.step(images)}
    workloads |= {name: lambda engine=engine: engine.step(next(steps)) for name, engine in engines.items()}
    seconds = interleaved(workloads, repeats, warm_up=WARM_UP[device.type])
    wanted = CPU_AT_LEAST if device.type == "cpu" else GPU_AT_LEAST
    ratios = {name: median_ratio(seconds["reference"], seconds[name]) for name in engines}
    eager = {name: engine for name, engine in engines.items() if not engine.run.compute.compile}
    bounds = {name: roofline_seconds(workloads[name]) for name in eager}
    least = {name: bounds.get(name, bounds.get("bf16")) for name in engines}
    over = {name: statistics.median(seconds[name]) / least[name] for name in engines}
    return {
        "setting": f"256 px, base_channels 64, batch {BATCH}, {THREADS} threads, LPIPS with {weights} weights",
        "not_measured": {} if "bf16" in engines else {f"{RATIO}, bf16": "this CPU has no bf16 instructions"},
        "step_seconds": {name: [round(value, 4) for value in values] for name, values in seconds.items()},
        "roofline_seconds": {name: round(value, 4) for name, value in bounds.items()},
        "targets": [
            *(target(f"{RATIO}, {name}", ratio, at_least=wanted.get(name)) for name, ratio in ratios.items()),
            *(target(f"engine over roofline bound, {name}", value) for name, value in over.items()),
        ],
    }


def _settings(device: torch.device) -> dict[str, dict[str, Any]]:
    """Return the settings of `compute` that are measured on `device`, by name."""
    ways: dict[str, dict[str, Any]] = {"float32": {}}
    if device.type == "cuda" or _has_bf16():
        ways["bf16"] = {"precision": "bf16"}
    if device.type == "cuda":
        ways["bf16, compiled"] = {"precision": "bf16", "compile": True}
        ways["bf16, compiled, recorded"] = {**ways["bf16, compiled"], "cuda_graphs": True}
    return ways


def _has_bf16() -> bool:
    """Return whether the CPU multiplies bf16 in hardware. Otherwise bf16 is emulated and slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _lpips() -> tuple[Lpips, str]:
    try:
        return load_lpips(), "its own"
    except InputError:
        return random_lpips(), "random"
