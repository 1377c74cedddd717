"""Compare a finished demo with its acceptance criteria. Print a table, and exit with code 1 if one is not met.

python tools/check_demo.py [FOLDER]        FOLDER: the project, with results/demo and logs/demo (default: .)
"""

import csv
import math
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.plan import Plan
from bench.run import Run

ROOT = Path(__file__).resolve().parents[1]
MEBIBYTE = 1 << 20
Values = dict[tuple[str, str, str], float]
Criterion = tuple[str, str, float, str, float]
"""Run, quantity, value, comparison operator, bound."""


def read_values(path: Path) -> Values:
    """(run, metric, weights) -> value of each score with status ok."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "ok" and row["value"]]
    return {(row["run"], row["metric"], row["weights"]): float(row["value"]) for row in rows}


def criteria_of(run: Run, values: Values) -> Iterator[Criterion]:
    def value(metric: str, weights: str) -> float:
        return values.get((run.name, metric, weights), math.nan)

    if run.task == "fewshot":
        ratio = value("fd_efflite0", "last") / value("fd_efflite0", "untrained")
        yield run.name, "fd_efflite0, last / untrained", ratio, "<=", 0.9
    elif run.task == "oneshot":
        reached = value("ssim_reconstruction", "last")
        yield run.name, "SSIM of the reconstruction", reached, ">=", 0.75
        yield run.name, "  above bicubic", reached - value("ssim_reconstruction", "control-bicubic"), ">=", 0.1
    else:
        reached = value("top1", "last")
        yield run.name, "top-1 in percent", reached, ">=", 85.0
        yield run.name, "  above the linear classifier", reached - value("top1", "control-linear"), ">", 0.0


def memory_criteria(run: Run, logs: Path) -> Iterator[Criterion]:
    """Peak resident memory of the two jobs of a run, from Snakemake's benchmark files."""
    for job in ("train", "evaluate"):
        path, largest = logs / run.name / f"{job}.tsv", math.nan
        if path.exists():
            with path.open(newline="") as file:
                largest = max(float(row["max_rss"]) for row in csv.DictReader(file, delimiter="\t"))
        yield run.name, f"GB of memory, {job}", largest * MEBIBYTE / 1e9, "<", 3.0


def holds(value: float, side: str, bound: float) -> bool:
    return {"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}[side]


def main(folder: Path) -> int:
    path = folder / "results/demo/scores.csv"
    if not path.exists():
        print(f"{path}: no such file; run `make demo` first", file=sys.stderr)
        return 2
    values, runs = read_values(path), Plan.load(root=ROOT).runs("demo", "demo")
    logs = folder / "logs/demo/runs"
    criteria = [found for run in runs for found in (*criteria_of(run, values), *memory_criteria(run, logs))]
    missed = [criterion for criterion in criteria if not holds(*criterion[2:])]
    for name, quantity, value, side, bound in criteria:
        found = "missing" if math.isnan(value) else f"{value:.3f}"
        print(f"{'ok  ' if holds(value, side, bound) else 'MISS'} {name:<45}{quantity:<31}{found:>8}  {side} {bound:g}")
    print(f"{len(criteria) - len(missed)} of {len(criteria)} criteria met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
