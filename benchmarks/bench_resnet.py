"""Times a forward and backward pass of SLIM-ResNet-50, ResNeXt-50 32x4d and ResNet-50 at 224 px.

CPU: batch 8, float32, contiguous memory format. GPU: batch 64, bf16, channels_last, both eager and compiled.
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
MAX_RATIO = 0.9


def measure(quick: bool) -> dict[str, Any]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cpu = device.type == "cpu"
    batch, repeats = (CPU_BATCH, CPU_REPEATS) if cpu else (GPU_BATCH, GPU_REPEATS)
    repeats = 2 if quick else repeats
    rows, milliseconds = [], {}
    for mode in ("eager",) if cpu else ("eager", "compiled"):
        networks = {"slim": slim_resnet50(), "resnext": resnext50_32x4d(), "resnet": resnet50()}
        compiled = mode == "compiled"
        workloads = {name: training_pass(network, device, batch, compiled) for name, network in networks.items()}
        times = interleaved(workloads, repeats)
        milliseconds[mode] = median_milliseconds(times)
        bound = MAX_RATIO if mode == "eager" else None
        ratio = median_ratio(times["slim"], times["resnext"])
        rows.append(target(f"SLIM-ResNet-50 / ResNeXt-50 32x4d, {mode}", ratio, at_most=bound))
        rows.append(target(f"SLIM-ResNet-50 / ResNet-50, {mode}", median_ratio(times["slim"], times["resnet"])))
    setting = {"batch": batch, "size": SIZE, "repeats": repeats, "precision": "float32" if cpu else "bf16"}
    return {"targets": rows, "milliseconds": milliseconds, **setting}


def training_pass(network: nn.Module, device: torch.device, batch: int, compiled: bool) -> Callable[[], None]:
    """Return a function that runs a forward and backward pass and computes the gradients of the parameters."""
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
