"""Compares the loss curves of few-shot training with eager steps and with compiled and recorded steps of equal seed.

Rounding differs between eager and compiled steps, and adversarial training amplifies the differences, so the curves
cannot be equal. Their distance is compared with the distance between two eager runs with different seeds. The distance
of two curves is the mean absolute difference of their running means, in standard deviations of the first curve,
averaged over the losses.
"""

import tempfile
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import torch

from bench.run import Compute
from bench.runtime.device import choose_device
from bench.train.fewshot.engine import FewShot
from bench.train.startup import set_precision
from benchmarks.gpu_proof.record import Entry, Record
from benchmarks.runs import fewshot_run

STEPS, QUICK_STEPS = 200, 8
WINDOW = 20
LOSSES = ("loss_real", "loss_fake", "loss_reconstruction", "loss_g")
WAYS: dict[str, dict[str, Any]] = {
    "recorded": {"cuda_graphs": True},
    "compiled": {"compile": True},
    "compiled, recorded": {"compile": True, "cuda_graphs": True},
}
AT_MOST = 1.0
FIRST_STEP_AT_MOST = 0.01


def measure(record: Record, quick: bool) -> None:
    size, base, batch, steps = (64, 8, 2, QUICK_STEPS) if quick else (256, 64, 8, STEPS)
    device = choose_device("auto")
    with tempfile.TemporaryDirectory() as folder:
        run = fewshot_run(Path(folder) / "data", size, base, batch)

        def train(seed: int, **compute: Any) -> Entry:
            made = run.model_copy(update={"seed": seed, "compute": Compute(**compute)})
            set_precision(made, device)
            torch.compiler.reset()  # the compiled code of earlier networks counts towards the recompile limit
            engine = FewShot(made, device)
            kept = [{name: value.clone() for name, value in engine.step(i).items()} for i in range(steps)]
            return {name: [float(f"{float(row[name]):.6g}") for row in kept] for name in LOSSES}

        eager = record.entry("eager", lambda: train(0))
        other = record.entry("eager, another seed", lambda: train(1))
        spread = None if eager is None or other is None else distance(eager, other)
        for name in WAYS if not quick else ("recorded", "compiled"):
            curve = record.entry(name, lambda name=name: train(0, **WAYS[name]))
            known = eager is not None and curve is not None
            first = max_relative(eager, curve) if known else None
            record.row(f"largest relative difference of a loss at step 1, {name}", first, at_most=FIRST_STEP_AT_MOST)
            ratio = distance(eager, curve) / spread if known and spread else None
            record.row(f"distance to eager / distance of two seeds, {steps} steps, {name}", ratio, at_most=AT_MOST)


def max_relative(one: Entry, other: Entry) -> float:
    return max(abs(one[name][0] - other[name][0]) / max(abs(one[name][0]), 1e-6) for name in LOSSES)


def distance(one: Entry, other: Entry) -> float:
    return fmean(_distance(one[name], other[name]) for name in LOSSES)


def _distance(one: list[float], other: list[float]) -> float:
    spread = pstdev(one) or 1.0
    return fmean(abs(a - b) for a, b in zip(running_means(one), running_means(other), strict=True)) / spread


def running_means(values: list[float]) -> list[float]:
    """Return the means of all windows of WINDOW values, or the mean of all values if there are fewer than WINDOW."""
    width = min(WINDOW, len(values))
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    starts = range(len(values) - width + 1)
    return [(sums[start + width] - sums[start]) / width for start in starts]
