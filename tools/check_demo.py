"""Does a finished demo show what it promises? A table of every mark, exit code 1 where one is missed.

python tools/check_demo.py [FOLDER]        FOLDER: the project, with results/demo and logs/demo (default: here)
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
Mark = tuple[str, str, float, str, float]
"""Run, what is asked, the value, the side of the bound it has to lie on, the bound."""


def read_values(path: Path) -> Values:
    """(run, metric, weights) -> value, of scores that ended well."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "ok" and row["value"]]
    return {(row["run"], row["metric"], row["weights"]): float(row["value"]) for row in rows}


def marks_of(run: Run, values: Values) -> Iterator[Mark]:
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


def memory_of(run: Run, logs: Path) -> Iterator[Mark]:
    """Largest resident memory of its two jobs, from Snakemake's benchmark files."""
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
        print(f"{path}: no such file; `make demo` comes first", file=sys.stderr)
        return 2
    values, runs = read_values(path), Plan.load(root=ROOT).runs("demo", "demo")
    marks = [mark for run in runs for mark in (*marks_of(run, values), *memory_of(run, folder / "logs/demo/runs"))]
    missed = [mark for mark in marks if not holds(*mark[2:])]
    for name, asked, value, side, bound in marks:
        found = "missing" if math.isnan(value) else f"{value:.3f}"
        print(f"{'ok  ' if holds(value, side, bound) else 'MISS'} {name:<45}{asked:<31}{found:>8}  {side} {bound:g}")
    print(f"{len(marks) - len(missed)} of {len(marks)} marks are met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
