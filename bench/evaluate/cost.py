"""Scores the number of parameters, multiply-accumulates, latency and peak memory of a run's network at batch size 1."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from bench.evaluate.measurement import Clock, Measurement
from bench.evaluate.writer import ScoreFolder
from bench.metrics.complexity import multiply_accumulates, parameter_count
from bench.metrics.features import exact_float32
from bench.metrics.latency import measure_latency
from bench.metrics.memory import peak_bytes
from bench.provenance import processor_name, slug
from bench.runtime.device import device_name


def measure_cost(scores: ScoreFolder, model: nn.Module, call: Callable[[], Any], size: str) -> None:
    """Score the cost of `call`, which runs the network on one input. `size`: image size as a protocol part (px64)."""
    if scores.is_planned("params"):
        scores.add(Measurement("params", float(parameter_count(model)), ("folded-export",)))
    if scores.is_planned("macs"):
        clock = Clock()
        value = multiply_accumulates(call)
        parts = ("conv-linear-products", "batch1", size)
        scores.add(Measurement("macs", float(value), parts, seconds=clock.seconds))
    if scores.is_planned("latency"):
        _measure_latency(scores, call, size)
    if scores.is_planned("memory"):
        clock = Clock()
        with torch.inference_mode(), exact_float32():
            peak = peak_bytes(call, scores.device)
        device = "cpu" if scores.device.type == "cpu" else _device_part(scores.device)
        setting = ("float32-eager", "batch1", size, device)
        scores.add(Measurement("memory", float(peak), setting, seconds=clock.seconds))


def _device_part(device: torch.device) -> str:
    """Return the protocol part of the device. This part differs between GPUs, CPUs and thread counts."""
    if device.type == "cpu":
        return f"cpu-{slug(processor_name())}-threads{torch.get_num_threads()}"
    return slug(device_name(device))


def _measure_latency(scores: ScoreFolder, call: Callable[[], Any], size: str) -> None:
    clock = Clock()
    with exact_float32():
        latency = measure_latency(call, scores.device)
    parts = ("float32-eager", "batch1", size, _device_part(scores.device))
    details = {"quartiles_ms": latency.quartiles_ms}
    n, seconds = latency.repeats, clock.seconds
    scores.add(Measurement("latency", latency.median_ms, parts, n=n, seconds=seconds, details=details))
