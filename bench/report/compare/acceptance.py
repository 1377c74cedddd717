"""Acceptance criteria of the demo. Every network must learn, and every job must need less than 3 GB of memory.

The few-shot distance is compared with the distance of the untrained network, the SSIM of the one-shot reconstruction
with the SSIM of bicubic upsampling, and top-1 accuracy with the accuracy of a linear classifier.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.job_benchmark import benchmark_values
from bench.report.read.scores import Scores
from bench.run import Run

ACCEPTED_SCALE = "demo"
"""The only scale with acceptance criteria."""
MEBIBYTE = 1 << 20
Values = dict[tuple[str, str, str], float]
"""Values of the scores with status ok, by (run, metric, weights)."""


@dataclass(frozen=True)
class Criterion:
    """Quantity of a run, and the bound that its value must meet. A missing value is NaN, which meets no bound."""

    run: str
    quantity: str
    value: float
    relation: Literal["<", "<=", ">", ">="]
    bound: float

    @property
    def met(self) -> bool:
        value, bound = self.value, self.bound
        return {"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}[self.relation]


def acceptance_criteria(runs: Sequence[Run], scores: Scores, logs: Path) -> list[Criterion]:
    """Return the criteria of all planned runs. `logs` is the folder of Snakemake's benchmark files, logs/demo/runs."""
    known = {(row.run, row.metric, row.weights): row.value for row in scores if row.ok}
    values = {key: value for key, value in known.items() if value is not None}
    return [criterion for run in runs for criterion in (*_score_criteria(run, values), *_memory_criteria(run, logs))]


def _score_criteria(run: Run, values: Values) -> Iterator[Criterion]:
    def value(metric: str, weights: str) -> float:
        return values.get((run.name, metric, weights), math.nan)

    if run.task == "fewshot":
        trained, untrained = value("fd_efflite0", "last"), value("fd_efflite0", "untrained")
        ratio = trained / untrained if untrained else math.nan
        yield Criterion(run.name, "fd_efflite0, last / untrained", ratio, "<=", 0.9)
    elif run.task == "oneshot":
        reached = value("ssim_reconstruction", "last")
        yield Criterion(run.name, "SSIM of the reconstruction", reached, ">=", 0.75)
        bicubic = value("ssim_reconstruction", "control-bicubic")
        yield Criterion(run.name, "  minus bicubic upsampling", reached - bicubic, ">=", 0.1)
    else:
        reached = value("top1", "last")
        yield Criterion(run.name, "top-1 in percent", reached, ">=", 85.0)
        yield Criterion(run.name, "  minus the linear classifier", reached - value("top1", "control-linear"), ">", 0.0)


def _memory_criteria(run: Run, logs: Path) -> Iterator[Criterion]:
    """Yield the criteria for the peak resident memory of the two jobs of a run."""
    for job in ("train", "evaluate"):
        yield Criterion(
            run.name, f"peak memory of {job}, GB", _peak_gigabytes(logs / run.name / f"{job}.tsv"), "<", 3.0
        )


def _peak_gigabytes(path: Path) -> float:
    """Return the peak resident memory in GB from a benchmark file of Snakemake, or NaN without a measurement."""
    peaks = benchmark_values(path, "max_rss")
    return max(peaks, default=math.nan) * MEBIBYTE / 1e9
