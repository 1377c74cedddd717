"""Trains and exports a run: `train(run, out, state)` resumes from a checkpoint in `state` if one exists."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.run import Run

__all__ = ["train"]


def train(run: "Run", out: Path, state: Path, overwrite: bool = False) -> None:
    """Train `run` and write the result to folder `out`. Checkpoints in `state` are removed after the export.

    If this run is already finished in `out`, nothing is trained. A finished run in `out` is moved aside if `overwrite`
    is true, or if it is another run or was trained on other data. Files that slim-bench did not write are never
    changed; if such a file has the name of an output, InputError names the file.

    A run that fails in training (NaN after three rollbacks, out of memory) writes a model.json with status failed and
    returns normally. A stop by signal raises SystemExit(128 + signal) after a checkpoint.
    """
    from bench.train.startup import start

    start(run, Path(out), Path(state), overwrite)
