"""Measured time and memory of a network at a stated batch and device."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one call (median and quartiles over `repeats`) and the extra device memory at its peak."""

    median_ms: float
    quartiles_ms: tuple[float, float]
    repeats: int
    peak_memory_bytes: int | None


def measure_latency(call: Callable[[], Any], device: torch.device, *, warmup: int = 3, repeats: int = 15) -> Latency:
    """Time `call` after `warmup` calls, waiting for the device each time. Memory is known on CUDA only."""
    cuda = device.type == "cuda"
    with torch.inference_mode():
        for _ in range(warmup):
            call()
        if cuda:
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
        times = [_timed(call, device) for _ in range(repeats)]
    low, middle, high = statistics.quantiles(times, n=4)
    peak = torch.cuda.max_memory_allocated(device) if cuda else None
    return Latency(middle, (low, high), repeats, peak)


def _timed(call: Callable[[], Any], device: torch.device) -> float:
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000 * (time.perf_counter() - start)
