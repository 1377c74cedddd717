"""An epoch (3 critic, 3 generator steps) of SinGAN's engine against the plain loop at three scales; SLIM beside it."""

from typing import Any

import torch

from baselines.singan import Pyramid
from baselines.singan import pyramid as plain_pyramid
from bench.run import Compute, OneShotRecipe
from bench.train.oneshot import train_epoch
from bench.train.oneshot_scale import ScaleTraining
from benchmarks.plain_singan import PlainScale
from benchmarks.timing import Work, interleaved, median_milliseconds, median_ratio, target
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
        works: dict[str, Work] = {name: engine(pyramid, scale, device) for name, pyramid in pyramids.items()}
        works["plain"] = plain(pyramids["engine"], scale, device)
        times = interleaved(works, repeats)
        name = f"{sizes[scale][0]} px"
        milliseconds[name] = median_milliseconds(times)
        ratio = median_ratio(times["plain"], times["engine"])
        rows.append(target(f"plain loop / engine, {name}", ratio, at_least=None if cpu else GPU_AT_LEAST))
        rows.append(target(f"SinGAN-SLIM / SinGAN, {name}", median_ratio(times["slim"], times["engine"])))
    return {"targets": rows, "milliseconds": milliseconds, "size": size, "repeats": repeats, "precision": "float32"}


def engine(pyramid: Pyramid, scale: int, device: torch.device) -> Work:
    recipe = OneShotRecipe()
    real = torch.rand(1, 3, *pyramid.sizes[scale], device=device) * 2 - 1
    training = ScaleTraining(pyramid, scale, pyramid.new_critic(scale).to(device), real, recipe, Compute())
    noise = torch.Generator(device).manual_seed(0)
    return lambda: train_epoch(training, noise)


def plain(pyramid: Pyramid, scale: int, device: torch.device) -> Work:
    sizes, widths = list(pyramid.sizes[: scale + 1]), list(pyramid.widths[: scale + 1])
    real = torch.rand(1, 3, *sizes[-1], device=device) * 2 - 1
    return PlainScale(real, sizes, widths, pyramid.ups).epoch
