"""The report of the paper suite's full size, from generated rows that are never results."""

import csv
import math
import random
import time

import pytest

from bench.metrics.catalogue import METRICS
from bench.plan import Plan
from bench.report.page import render
from bench.report.read.row import COLUMNS, TRAINING, Row
from tests.helpers import ROOT

CPU_SECONDS = 60
LARGEST = 8_000_000


def generated_rows():
    source = random.Random(0)
    for run in Plan.load(root=ROOT).runs("paper"):
        same = {"scale": "paper", "task": run.task, "experiment": run.experiment, "dataset": run.dataset}
        same |= {"seed": run.seed, "base": run.base or "", "model": run.model.name, "status": "ok", "weights": "last"}
        same |= {"run": run.name, "run_dir": f"runs/{run.name}", "data_sha256": "d" * 64, "torch": "0.0"}
        yield Row.of({**same, "metric": TRAINING, "protocol": "training", "value": 3600.0, "seconds": 3600.0})
        for metric in run.evaluation.metrics:
            direction = METRICS[metric].direction
            for weights in ("last", "untrained"):
                score = {"metric": metric, "value": source.uniform(10, 20), "direction": direction, "weights": weights}
                yield Row.of({**same, **score, "protocol": f"{metric}/generated/fake500"})


def write_history(path):
    path.parent.mkdir(parents=True)
    lines = [f"{step},{step / 2},{math.exp(-step / 1000)},{math.sin(step)}" for step in range(0, 50_000, 100)]
    path.write_text("\n".join(["step,seconds,loss_d,loss_g", *lines]) + "\n")


@pytest.mark.slow
def test_a_report_of_495_runs_is_small_and_fast(tmp_path):
    scale_dir = tmp_path / "results" / "paper"
    rows = list(generated_rows())
    runs = [row for row in rows if row.metric == TRAINING]
    for row in runs:
        write_history(scale_dir / row.run_dir / "history.csv")
    with (scale_dir / "scores.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *(row.cells() for row in rows)])
    begin = time.process_time()
    render(scale_dir)
    assert time.process_time() - begin < CPU_SECONDS
    assert len(runs) == 495 and (scale_dir / "report/index.html").stat().st_size < LARGEST
    assert len(list((scale_dir / "report/runs").glob("*/*/*.html"))) == 495
