"""A full disk at the start, restart or end of training, or while a run is moved aside.

Training resumes after space is freed.
"""

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bench.errors import InputError
from bench.run import write_run
from bench.train.loop import sinks
from bench.train.loop.history import History
from bench.train.loop.loop import run_loop
from bench.train.loop.record import Data
from bench.train.loop.superseded import move_aside
from tests.helpers.full_disk import files_in, fill, free, mounted
from tests.helpers.toy import DATA_SHA, ToyEngine, toy_run

CPU = torch.device("cpu")


def train(out: Path, state: Path, engine: ToyEngine | None = None) -> None:
    run = toy_run(checkpoint_seconds=1e-6, threads=1)
    run_loop(engine or ToyEngine(run, CPU), run, out, state, Data(DATA_SHA, None))


def one_line(call, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class FillsDisk(ToyEngine):
    """Engine that fills `disk` before step `at`."""

    disk, at = Path(), 7

    def step(self, index: int):
        if index == self.at:
            fill(self.disk)
        return super().step(index)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    train(folder / "out", folder / "state")
    return folder / "out"


def same_end(out: Path, uninterrupted: Path) -> bool:
    mine, wanted = load_file(out / "model.safetensors"), load_file(uninterrupted / "model.safetensors")
    weights = mine.keys() == wanted.keys() and all(torch.equal(mine[key], wanted[key]) for key in mine)
    losses = [[row["loss"] for row in History(folder / "history.csv").read()] for folder in (out, uninterrupted)]
    return weights and losses[0] == losses[1] and files_in(out) == files_in(uninterrupted)


def test_training_does_not_start_on_a_full_disk(tmp_path, uninterrupted):
    with mounted(tmp_path / "disk") as disk:
        fill(disk)
        message = one_line(train, disk / "out", disk / "state")
        assert message.startswith(f"{disk / 'state'}: No space left on device for .slim-bench-state (")
        assert not files_in(disk)
        free(disk)
        train(disk / "out", disk / "state")
        assert same_end(disk / "out", uninterrupted)


def test_a_checkpoint_and_a_restart_on_a_full_disk(tmp_path, uninterrupted):
    with mounted(tmp_path / "disk") as disk:
        engine = FillsDisk(toy_run(), CPU)
        engine.disk = disk
        message = one_line(train, disk / "out", disk / "state", engine)
        assert message.startswith(f"{disk / 'state'}: No space left on device for step-0000000008.ckpt (")
        assert "step-0000000007.ckpt is intact" in message
        kept = files_in(disk)
        message = one_line(train, disk / "out", disk / "state")
        assert message.startswith(f"{disk / 'state/outputs'}: No space left on device for history.csv (")
        assert files_in(disk) == kept
        free(disk)
        train(disk / "out", disk / "state")
        assert same_end(disk / "out", uninterrupted)


@pytest.mark.parametrize("room", [0, 8192])
def test_an_export_on_a_full_disk_names_the_run_folder_and_is_repeated(tmp_path, uninterrupted, room):
    with mounted(tmp_path / "disk") as disk:
        fill(disk, leave=room)
        message = one_line(train, disk / "out", tmp_path / "state")
        assert message.startswith(f"{disk / 'out'}") and str(tmp_path / "state") not in message
        assert not (disk / "out/model.json").exists()
        assert not [name for name in files_in(disk) if name.endswith(".part")]
        assert not (disk / "out/history.csv").exists() or (tmp_path / "state/outputs/history.csv").exists()
        free(disk)
        train(disk / "out", tmp_path / "state")
        assert same_end(disk / "out", uninterrupted) and not (tmp_path / "state").exists()


def test_a_finished_run_is_moved_aside_atomically(tmp_path):
    run = toy_run(checkpoint_seconds=1e-6, threads=1)
    with mounted(tmp_path / "disk") as disk:
        train(disk / "out", tmp_path / "state")
        write_run(disk / "out/run.json", run)
        before = {name: (disk / name).read_bytes() for name in files_in(disk)}
        fill(disk)
        assert "No space left on device for " in one_line(move_aside, run, disk / "out")
        assert {name: (disk / name).read_bytes() for name in files_in(disk)} == before
        assert {path.name for path in disk.iterdir()} == {"out", "filler.bin"}
        free(disk)
        place = move_aside(run, disk / "out")
        assert (place / "model.safetensors").read_bytes() == before["out/model.safetensors"]


def test_a_sink_on_a_full_disk_does_not_end_the_training(tmp_path, uninterrupted, monkeypatch, capsys):
    class Full:
        def __init__(self, name, folder): ...

        def log(self, step, row):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self):
            raise AssertionError("closed after it had failed")

    monkeypatch.setitem(sinks.SINKS, "full", Full)
    monkeypatch.setenv("SLIM_BENCH_SINKS", "full")
    train(tmp_path / "out", tmp_path / "state")
    assert same_end(tmp_path / "out", uninterrupted)
    assert capsys.readouterr().err.count("Full: logging to it stops: No space left on device") == 1
