"""Reads Snakemake's benchmark file of a job: its run time and peak memory."""

import csv
import io
from pathlib import Path

from bench.errors import InputError
from bench.files import read_text
from bench.paths import RUNS


def benchmark_values(path: Path, column: str) -> list[float]:
    """Return the values of a column, one per attempt; empty for a missing or damaged file.

    Snakemake does not measure the memory of a job of less than half a second.
    Columns: `s` (seconds), `max_rss` (peak resident memory in MiB).
    """
    try:
        rows = csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter="\t")
        return [float(row[column]) for row in rows]
    except (InputError, ValueError, KeyError, TypeError, csv.Error):
        return []


def scoring_job_seconds(project: Path, scale: str, run: str) -> float | None:
    """Return the run time of the scoring job of a run, named as by `run_name`. None without a valid benchmark file."""
    path = project / "logs" / scale / RUNS / run / "evaluate.tsv"
    return next(reversed(benchmark_values(path, "s")), None)
