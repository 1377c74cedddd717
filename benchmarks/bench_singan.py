"""Times an epoch (3 critic, 3 generator steps) of one-shot engine and reference loop at three pyramid scales."""

from typing import Any

import torch

from baselines.singan import Pyramid
from baselines.singan import pyramid as plain_pyramid
from bench.run import Compute, OneShotRecipe
from bench.train.loop.graphs import Replayed, recorder
from bench.train.oneshot.engine import train_epoch
from bench.train.oneshot.scale import ScaleTraining
from benchmarks.timing import Workload, interleaved, median_milliseconds, median_ratio, target
from reference.singan_loop import ReferenceScale
from slim.singan import pyramid as slim_pyramid

CPU_SIZE, GPU_SIZE = 96, 250
GPU_AT_LEAST = 3.0


def measure(quick: bool) -> dict[str, Any]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cpu = device.type == "cpu"
    size, repeats = CPU_SIZE if cpu else GPU_SIZE, 2 if quick else 7
    pyramids = {
        name: make(height=size, width=size).to(device)
        for name, make in (("engine", plain_pyramid), ("slim", slim_pyramid))
    }
    sizes = pyramids["engine"].sizes
    rows, milliseconds = [], {}
    for scale in sorted({0, len(sizes) // 2, len(sizes) - 1}):
        workloads: dict[str, Workload] = {name: engine(pyramid, scale, device) for name, pyramid in pyramids.items()}
        if not cpu:
            workloads["recorded"] = engine(pyramids["engine"], scale, device, cuda_graphs=True)
        workloads["reference"] = reference(pyramids["engine"], scale, device)
        times = interleaved(workloads, repeats, warm_up=5)  # the fourth call captures the CUDA graph
        name = f"{sizes[scale][0]} px"
        milliseconds[name] = median_milliseconds(times)
        rows.append(target(f"reference loop / engine, {name}", median_ratio(times["reference"], times["engine"])))
        if not cpu:
            ratio = median_ratio(times["reference"], times["recorded"])
            rows.append(target(f"reference loop / recorded engine, {name}", ratio, at_least=GPU_AT_LEAST))
        rows.append(target(f"SinGAN-SLIM / SinGAN, {name}", median_ratio(times["slim"], times["engine"])))
    return {"targets": rows, "milliseconds": milliseconds, "size": size, "repeats": repeats, "precision": "float32"}


def engine(pyramid: Pyramid, scale: int, device: torch.device, **settings: Any) -> Workload:
    """Return an epoch of the engine. `settings` are keys of a run's `compute`."""
    recipe, compute = OneShotRecipe(), Compute(**settings)
    real = torch.rand(1, 3, *pyramid.sizes[scale], device=device) * 2 - 1
    training = ScaleTraining(pyramid, scale, pyramid.new_critic(scale).to(device), real, recipe, compute)
    noise = torch.Generator(device).manual_seed(0)
    return Replayed(lambda: train_epoch(training, noise), recorder(compute, device, [noise]))


def reference(pyramid: Pyramid, scale: int, device: torch.device) -> Workload:
    sizes, widths = list(pyramid.sizes[: scale + 1]), list(pyramid.widths[: scale + 1])
    real = torch.rand(1, 3, *sizes[-1], device=device) * 2 - 1
    return ReferenceScale(real, sizes, widths, pyramid.ups).epoch
