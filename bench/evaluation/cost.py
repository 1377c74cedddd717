"""Parameters, multiply-accumulates and latency of a run's network, batch 1, at the size it works at."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from bench.evaluation.scores import Clock, Measurement, ScoreFolder
from bench.metrics.complexity import multiply_accumulates, parameter_count
from bench.metrics.features import exact_float32
from bench.metrics.latency import measure_latency
from bench.metrics.protocol import protocol_id


def measure_cost(scores: ScoreFolder, model: nn.Module, call: Callable[[], Any], size: str) -> None:
    """`call` runs the network once on one image or latent; `size` names the work, e.g. px64."""
    if scores.wants("params"):
        scores.add(Measurement("params", float(parameter_count(model)), "params/folded-export"))
    if scores.wants("macs"):
        clock = Clock()
        value = multiply_accumulates(call)
        protocol = protocol_id("macs", "conv-linear-products", "batch1", size)
        scores.add(Measurement("macs", float(value), protocol, seconds=clock.seconds))
    if scores.wants("latency"):
        _measure_latency(scores, call, size)


def _measure_latency(scores: ScoreFolder, call: Callable[[], Any], size: str) -> None:
    clock = Clock()
    with exact_float32():
        latency = measure_latency(call, scores.device)
    place = f"cpu-threads{torch.get_num_threads()}" if scores.device.type == "cpu" else "cuda"
    protocol = protocol_id("latency", "float32-eager", "batch1", size, place)
    details = {"quartiles_ms": latency.quartiles_ms, "peak_memory_bytes": latency.peak_memory_bytes}
    n, seconds = latency.repeats, clock.seconds
    scores.add(Measurement("latency", latency.median_ms, protocol, n=n, seconds=seconds, details=details))
