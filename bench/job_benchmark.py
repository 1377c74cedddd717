"""Reads the run time and the peak memory of a job from its Snakemake benchmark file."""

import csv
import io
from pathlib import Path

from bench.errors import InputError
from bench.files import read_text
from bench.paths import RUNS


def benchmark_values(path: Path, column: str) -> list[float]:
    """Return the values of a column, one per attempt; an empty list for a missing or damaged file.

    The columns are `s` (seconds) and `max_rss` (peak resident memory in MiB). Snakemake does not measure the memory of
    a job that takes less than half a second.
    """
    try:
        rows = csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter="\t")
        return [float(row[column]) for row in rows]
    except (InputError, ValueError, KeyError, TypeError, csv.Error):
        return []


def scoring_job_seconds(project: Path, scale: str, run: str) -> float | None:
    """Return the run time of the scoring job of `run`, a name from `run_name`; None without a valid benchmark file."""
    path = project / "logs" / scale / RUNS / run / "evaluate.tsv"
    return next(reversed(benchmark_values(path, "s")), None)
