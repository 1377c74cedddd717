"""Measures time and peak memory of a forward and backward pass of SLIM, ReferenceSLIM and SLE with batch size 8.

On a CPU the gates are measured twice. With torch's defaults, most of the time is spent on allocating memory for feature
maps. If freed memory is kept, as in training (bench.runtime.memory), all three gates take about a third of the time.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from baselines.fastgan import SLEGate, gate_pairs
from bench.metrics.memory import peak_bytes
from bench.runtime.memory import keep_freed_memory
from benchmarks.timing import interleaved, median_milliseconds, median_ratio, target
from reference.slim_gate import ReferenceSLIM
from slim import SkipLayerSLIM

BATCH, BASE_CHANNELS, REPEATS = 8, 64, 15
PAIRS = gate_pairs(512, BASE_CHANNELS)
REFERENCE_AT_LEAST = {128: 6.0, 256: 6.0, 512: 8.0}
SLE_AT_MOST = {128: 1.15, 256: 1.15}
MEMORY_AT_MOST = 2.5


def measure(quick: bool) -> dict[str, Any]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cpu = device.type == "cpu"
    repeats = 3 if quick else REPEATS
    rows, milliseconds = ratios(device, repeats, bounded=cpu)
    if cpu:
        rows += [memory("SLIM", "slim", MEMORY_AT_MOST), memory("reference", "reference", None)]
        keep_freed_memory()  # last, because this setting cannot be undone
        again, milliseconds["freed memory kept"] = ratios(device, repeats, bounded=False)
        rows += [{**row, "name": f"{row['name']}, freed memory kept"} for row in again]
    setting = {"batch": BATCH, "base_channels": BASE_CHANNELS, "repeats": repeats, "gates_compiled": not cpu}
    return {"targets": rows, "milliseconds": milliseconds, **setting}


def ratios(device: torch.device, repeats: int, bounded: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows of the three pairs, and times in ms. Gates are compiled on a GPU to hide launch overhead."""
    rows, milliseconds = [], {}
    for size, reference_at_least in REFERENCE_AT_LEAST.items():
        label = f"{size // 16}->{size}"
        measured = gates(size, device, device.type == "cuda")
        workloads = {name: gate_pass(gate, size, device) for name, gate in measured.items()}
        times = interleaved(workloads, repeats)
        milliseconds[label] = median_milliseconds(times)
        bounds = (reference_at_least, SLE_AT_MOST.get(size)) if bounded else (None, None)
        ratio = median_ratio(times["reference"], times["slim"])
        rows.append(target(f"reference / SLIM, {label}", ratio, at_least=bounds[0]))
        rows.append(target(f"SLIM / SLE, {label}", median_ratio(times["slim"], times["sle"]), at_most=bounds[1]))
    return rows, milliseconds


def gates(size: int, device: torch.device, compiled: bool) -> dict[str, nn.Module]:
    """Return the three gates of one pair, all with spectral norm. The reference implementation is never compiled."""
    low, high = PAIRS[size]
    options = {"low_channels": low, "high_channels": high, "dilation": 4 if size == 512 else 2}
    modules = {
        "slim": SkipLayerSLIM(**options),
        "sle": SLEGate(low_channels=low, high_channels=high),
        "reference": ReferenceSLIM(**options),
    }
    modules = {name: gate.to(device) for name, gate in modules.items()}
    return {n: torch.compile(g, fullgraph=True) if compiled and n != "reference" else g for n, g in modules.items()}


def gate_pass(gate: nn.Module, size: int, device: torch.device) -> Callable[[], None]:
    """Return a function that runs a forward and backward pass, with gradients of both feature maps and parameters."""
    low, high = PAIRS[size]
    source = torch.randn(BATCH, low, size // 16, size // 16, device=device, requires_grad=True)
    sink = torch.randn(BATCH, high, size, size, device=device, requires_grad=True)
    probe = torch.randn_like(sink)

    def run() -> None:
        source.grad = sink.grad = None
        gate.zero_grad()
        gate(source, sink).backward(probe)

    return run


def memory(label: str, name: str, at_most: float | None) -> dict[str, Any]:
    gate = gates(512, torch.device("cpu"), compiled=False)[name]
    run = gate_pass(gate, 512, torch.device("cpu"))
    size = BATCH * PAIRS[512][1] * 512 * 512 * 4
    return target(f"peak memory in targets, {label}, 32->512", peak_bytes(run) / size, at_most=at_most)
