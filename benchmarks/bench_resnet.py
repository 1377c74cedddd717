"""SLIM-ResNet-50 compared with ResNeXt-50 32x4d and ResNet-50, forward and backward at 224 px with batch 8.

Uses float32 and contiguous memory on a CPU, and bf16 and channels_last, eager and compiled, with batch 64 on a GPU.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from baselines.resnet import resnet50, resnext50_32x4d
from benchmarks.timing import interleaved, median_milliseconds, median_ratio, target
from slim.resnet import resnet50 as slim_resnet50

SIZE, CPU_BATCH, GPU_BATCH = 224, 8, 64
CPU_REPEATS, GPU_REPEATS = 7, 30
AT_MOST = 0.9


def measure(quick: bool) -> dict[str, Any]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cpu = device.type == "cpu"
    batch, repeats = (CPU_BATCH, CPU_REPEATS) if cpu else (GPU_BATCH, GPU_REPEATS)
    repeats = 2 if quick else repeats
    rows, milliseconds = [], {}
    for mode in ("eager",) if cpu else ("eager", "compiled"):
        networks = {"slim": slim_resnet50(), "resnext": resnext50_32x4d(), "resnet": resnet50()}
        works = {name: work(network, device, batch, mode == "compiled") for name, network in networks.items()}
        times = interleaved(works, repeats)
        milliseconds[mode] = median_milliseconds(times)
        bound = AT_MOST if mode == "eager" else None
        ratio = median_ratio(times["slim"], times["resnext"])
        rows.append(target(f"SLIM-ResNet-50 / ResNeXt-50 32x4d, {mode}", ratio, at_most=bound))
        rows.append(target(f"SLIM-ResNet-50 / ResNet-50, {mode}", median_ratio(times["slim"], times["resnet"])))
    setting = {"batch": batch, "size": SIZE, "repeats": repeats, "precision": "float32" if cpu else "bf16"}
    return {"targets": rows, "milliseconds": milliseconds, **setting}


def work(network: nn.Module, device: torch.device, batch: int, compiled: bool) -> Callable[[], None]:
    """Return a forward and backward pass with gradients of the parameters."""
    cpu = device.type == "cpu"
    layout = torch.contiguous_format if cpu else torch.channels_last
    network = network.to(device, memory_format=layout)
    images = torch.randn(batch, 3, SIZE, SIZE, device=device).contiguous(memory_format=layout)
    run_network = torch.compile(network) if compiled else network

    def run() -> None:
        network.zero_grad()
        with nullcontext() if cpu else torch.autocast("cuda", torch.bfloat16):
            logits = run_network(images)
        logits.float().sum().backward()

    return run
