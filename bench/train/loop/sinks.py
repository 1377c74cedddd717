"""Optionally logs the rows of history.csv to TensorBoard or Weights & Biases (extras `tensorboard`, `wandb`).

The environment variable SLIM_BENCH_SINKS=tensorboard,wandb enables the sinks. The sinks are not part of a run's
description.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bench.errors import InputError, did_you_mean, storage_error, writing


class Sink(Protocol):
    def log(self, step: int, row: dict[str, float]) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    def __init__(self, name: str, folder: Path):
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), filename_suffix="." + name.replace("/", "-"))

    def log(self, step: int, row: dict[str, float]) -> None:
        for key, value in row.items():
            self._writer.add_scalar(key, value, step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    def __init__(self, name: str, folder: Path):
        import wandb

        self._run = wandb.init(project="slim-bench", name=name, id=name.replace("/", "-"), resume="allow", dir=folder)

    def log(self, step: int, row: dict[str, float]) -> None:
        self._run.log(row, step=step)

    def close(self) -> None:
        self._run.finish()


SINKS = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def open_sinks(name: str, folder: Path) -> list[Sink]:
    wanted = [part.strip() for part in os.environ.get("SLIM_BENCH_SINKS", "").split(",") if part.strip()]
    sinks: list[Sink] = []
    for sink in wanted:
        if sink not in SINKS:
            raise InputError(f"SLIM_BENCH_SINKS: unknown sink {sink!r}{did_you_mean(sink, SINKS)}")
        try:
            with writing(folder / sink):
                sinks.append(SINKS[sink](name, folder))
        except ImportError:
            raise InputError(f"SLIM_BENCH_SINKS: {sink} is not installed; pip install {sink}") from None
    return sinks


def send_row(sinks: list[Sink], step: int, row: dict[str, float | int | None]) -> None:
    """Write a row to every sink. If a sink fails, a message is printed, the sink is removed, and training continues."""
    for sink in list(sinks):
        if not _succeeds(sink, lambda sink=sink: sink.log(step, row)):
            sinks.remove(sink)


def close_sinks(sinks: list[Sink]) -> None:
    while sinks:
        sink = sinks.pop()
        _succeeds(sink, sink.close)


def _succeeds(sink: Sink, call: Callable[[], None]) -> bool:
    try:
        call()
    except OSError as error:
        print(f"{type(sink).__name__}: logging to it stops: {storage_error(error)}", file=sys.stderr)
        return False
    return True
