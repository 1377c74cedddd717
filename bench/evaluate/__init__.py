"""Scores finished runs (`evaluate_run`) and any folder of images (`evaluate_folders`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.run import Run
    from bench.score import Score

__all__ = ["evaluate_folders", "evaluate_run"]


def evaluate_run(run: "Run", run_dir: Path, out: Path, overwrite: bool = False) -> None:
    """Score the export in `run_dir`, and write one file per planned metric to `out`. See bench.evaluate.run."""
    from bench.evaluate.run import evaluate_run

    evaluate_run(run, run_dir, out, overwrite)


def evaluate_folders(
    samples: Path,
    reference: Path,
    background: tuple[int, int, int] = (255, 255, 255),
    *,
    metrics: tuple[str, ...] | None = None,
    statistics: Path | None = None,
    max_unpacked_gb: float | None = None,
) -> "Sequence[Score]":
    """Score the images in `samples` against the images in `reference`. See bench.evaluate.folders."""
    from bench.evaluate.folders import evaluate_folders

    return evaluate_folders(
        samples, reference, background, metrics=metrics, statistics=statistics, max_unpacked_gb=max_unpacked_gb
    )
