"""Generated rows of the paper suite's full size, for tests of the report only. They are never results."""

import csv
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.metrics.catalogue import METRICS
from bench.plan import Plan
from bench.report.read.row import COLUMNS, TRAINING, Row
from tests.helpers import ROOT


def make_large_results(scale_dir: Path, histories: bool = True) -> list[Row]:
    """Write scores.csv, and a history of each run if `histories`. Return the training rows."""
    rows = list(generated_rows())
    runs = [row for row in rows if row.metric == TRAINING]
    scale_dir.mkdir(parents=True)
    for row in runs if histories else ():
        write_history(scale_dir / row.run_dir / "history.csv")
    with (scale_dir / "scores.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *(row.cells() for row in rows)])
    return runs


def generated_rows() -> Iterator[Row]:
    source = random.Random(0)
    for run in Plan.load(root=ROOT).runs("paper"):
        same: dict[str, Any] = {"scale": "paper", "task": run.task, "experiment": run.experiment}
        same |= {"dataset": run.dataset}
        same |= {"seed": run.seed, "base": run.base or "", "model": run.model.name, "status": "ok", "weights": "last"}
        same |= {"run": run.name, "run_dir": f"runs/{run.name}", "data_sha256": "d" * 64, "torch": "0.0"}
        yield Row.of({**same, "metric": TRAINING, "protocol": "training", "value": 3600.0, "seconds": 3600.0})
        for metric in run.evaluation.metrics:
            direction = METRICS[metric].direction
            for weights in ("last", "untrained"):
                score = {"metric": metric, "value": source.uniform(10, 20), "direction": direction, "weights": weights}
                yield Row.of({**same, **score, "protocol": f"{metric}/generated/fake500"})


def write_history(path: Path) -> None:
    path.parent.mkdir(parents=True)
    lines = [f"{step},{step / 2},{math.exp(-step / 1000)},{math.sin(step)}" for step in range(0, 50_000, 100)]
    path.write_text("\n".join(["step,seconds,loss_d,loss_g", *lines]) + "\n")
