"""Training: `train(run, out, state)` makes the export of one run, resuming from `state` when there is one."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.run import Run

__all__ = ["train"]


def train(run: "Run", out: Path, state: Path, overwrite: bool = False) -> None:
    """Train `run` into folder `out`; resume state lives in `state` and is removed once the export is done.

    A finished run in `out` stays and nothing is trained; with `overwrite`, or where it is of another run or other
    data, it is moved aside. Files that are not ours are never touched: an InputError names what is in the way.

    A run that fails for its own reasons (NaN after three rollbacks, out of memory) leaves a model.json of status
    failed and returns normally; a stop by signal raises SystemExit(128 + signal) after a checkpoint.
    """
    from bench.train.startup import start

    start(run, Path(out), Path(state), overwrite)
