"""Measures the overhead of loading data: step time with new batches from memory divided by that with a fixed batch."""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.run import Run
from bench.train.classification.engine import Classification
from bench.train.fewshot.engine import FewShot
from benchmarks.runs import classification_run, fewshot_run
from benchmarks.timing import Workload, interleaved, median_ratio, target

Parts = dict[str, Callable[..., Any]]
MAX_RATIO = 1.05
REPEATS = 60


def measure(quick: bool) -> dict[str, Any]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows, milliseconds = [], {}
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            "few-shot, 64 px, base_channels 16, batch 8": fewshot_run(Path(folder) / "a", 64, 16, 8),
            "classification, 32 px, width 16, batch 64": classification_run(Path(folder) / "b", 2048, 64),
        }
        for name, run in runs.items():
            seconds = interleaved(with_and_without(run, device), 4 if quick else REPEATS, warm_up=4)
            rows.append(target(name, median_ratio(seconds["data"], seconds["fixed"]), at_most=MAX_RATIO))
            milliseconds[name] = {key: round(1e3 * statistics.median(s), 2) for key, s in seconds.items()}
    return {"targets": rows, "milliseconds": milliseconds}


def with_and_without(run: Run, device: torch.device) -> dict[str, Workload]:
    """Return two workloads: a step that loads its batch, and a step on a batch that is already loaded."""
    engine: FewShot | Classification
    if run.task == "fewshot":
        source = engine = FewShot(run, device)
        engine._choose_images(0)
        images = engine._batch()
        fixed: Parts = {"_choose_images": lambda index: None, "_batch": lambda: images}
    else:
        engine = Classification(run, device)
        source, batch = engine.batches, engine.batches.batch(0)
        fixed = {"batch": lambda index: batch}
    real = {name: getattr(source, name) for name in fixed}
    steps = iter(range(10**6))

    def step(parts: Parts) -> None:
        vars(source).update(parts)
        engine.step(next(steps))

    return {"data": lambda: step(real), "fixed": lambda: step(fixed)}
