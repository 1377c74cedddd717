"""Measured latency of a network for a given batch and device."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Latency:
    """Median and quartiles of the time per call in ms, over `repeats` calls."""

    median_ms: float
    quartiles_ms: tuple[float, float]
    repeats: int


def measure_latency(call: Callable[[], Any], device: torch.device, *, warmup: int = 3, repeats: int = 15) -> Latency:
    """Measure the time of `call` after `warmup` untimed calls.

    A CUDA device is synchronised before and after each timed call.
    """
    with torch.inference_mode():
        for _ in range(warmup):
            call()
        times = [_timed(call, device) for _ in range(repeats)]
    low, middle, high = statistics.quantiles(times, n=4)
    return Latency(middle, (low, high), repeats)


def _timed(call: Callable[[], Any], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000 * (time.perf_counter() - start)
