"""The loop on a toy engine ends like an uninterrupted run after kills, signals, NaN and out-of-memory errors."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from bench.errors import InputError, RunFailedError
from bench.export import save_weights
from bench.files import write_png
from bench.run import read_run
from bench.train.loop import sinks
from bench.train.loop.folders import claim_state
from bench.train.loop.history import History
from bench.train.loop.loop import Loop, run_loop
from bench.train.loop.record import Data, restore_record
from bench.train.loop.recovery import CHECK_EVERY
from tests.helpers import ROOT
from tests.helpers.toy import DATA_SHA, ToyEngine, toy_run

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def train(folder: Path, run=None, engine: ToyEngine | None = None) -> dict:
    run = run or toy_run()
    run_loop(engine or ToyEngine(run, CPU), run, folder / "out", folder / "state", Data(DATA_SHA, None))
    return json.loads((folder / "out" / "model.json").read_text())


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "out" / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def losses(folder: Path) -> list[tuple[str, str]]:
    return [(row["step"], row["loss"]) for row in History(folder / "out" / "history.csv").read()]


class Killed(ToyEngine):
    """Engine that ends its process at a step, in the way given by `ending`."""

    ending, at = signal.SIGKILL, 7

    def step(self, index: int):
        if index == self.at:
            os.kill(os.getpid(), self.ending)
        return super().step(index)


class Cancelled(Killed):
    """Engine whose process is ended while the checkpoint after a step is written, by KILL or by two signals."""

    def step(self, index: int):
        if index == self.at:
            sync = os.fsync

            def cancel(descriptor: int) -> None:
                if ".ckpt." not in os.readlink(f"/proc/self/fd/{descriptor}"):
                    return sync(descriptor)
                os.fsync = sync
                for _ in range(2):
                    os.kill(os.getpid(), self.ending)

            os.fsync = cancel
        return ToyEngine.step(self, index)


def child(folder: Path, ending: signal.Signals, engine: str = "Killed") -> int:
    """Train an engine in a separate process; return its exit code."""
    code = (
        "import sys, signal; from pathlib import Path; import tests.unit.train.loop.test_loop as t; "
        f"t.{engine}.ending = signal.Signals({int(ending)}); run = t.toy_run(checkpoint_seconds=1e-6, threads=1); "
        f"t.torch.set_num_threads(1); t.train(Path(sys.argv[1]), run, t.{engine}(run, t.CPU))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", code, str(folder)], env=environment, check=False).returncode


def test_a_finished_run_has_its_files(tmp_path):
    meta = train(tmp_path)
    out = tmp_path / "out"
    assert meta["status"] == "ok" and meta["training"]["steps"] == 12 and meta["training"]["protocol"] == "toy"
    assert meta["run_sha256"] == toy_run().hash and meta["data_sha256"] == DATA_SHA
    assert [step for step, _ in losses(tmp_path)] == ["2", "4", "6", "8", "10", "12"]
    assert {"lr", "images_per_second", "seconds", "peak_memory_bytes"} <= History(out / "history.csv").read()[0].keys()
    assert sorted(p.name for p in (out / "samples").iterdir()) == ["0.txt", "6.txt"]
    assert "toy" in (out / "README.md").read_text()
    assert not (tmp_path / "state").exists()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    train(folder, toy_run(checkpoint_seconds=1e-6, threads=1))
    return folder


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1])
def test_a_resumed_stage_equals_an_uninterrupted_one(tmp_path, uninterrupted, ending):
    run = toy_run(checkpoint_seconds=1e-6, threads=1)
    if ending == signal.SIGKILL:
        assert child(tmp_path, ending) == -9
    else:
        engine = Killed(run, CPU)
        engine.ending = ending
        with pytest.raises(SystemExit) as caught:
            train(tmp_path, run, engine)
        assert caught.value.code == 128 + ending
    assert not (tmp_path / "out" / "model.json").exists()
    meta = train(tmp_path, run)
    assert same(weights(tmp_path), weights(uninterrupted))
    assert losses(tmp_path) == losses(uninterrupted)
    assert meta["training"]["images"] == 48


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_cancelled_during_a_checkpoint_resumes_from_the_previous_one(tmp_path, uninterrupted, ending, capfd):
    assert child(tmp_path, ending, "Cancelled") == (-9 if ending == signal.SIGKILL else 128 + ending)
    lines = [line for line in capfd.readouterr().err.splitlines() if "] step " not in line]
    assert lines == (
        [f"slim-bench: stopped by a second signal {int(ending)}; the last complete checkpoint is kept"]
        if ending == signal.SIGTERM
        else []
    )
    train(tmp_path, toy_run(checkpoint_seconds=1e-6, threads=1))
    assert "resumed at step 7 of 12" in capfd.readouterr().err
    assert same(weights(tmp_path), weights(uninterrupted)) and losses(tmp_path) == losses(uninterrupted)


def test_resume_at_a_step_between_two_rows_keeps_the_mean_of_the_row(tmp_path):
    run = toy_run(log_every=5, checkpoint_seconds=1e-6)
    engine = ToyEngine(run, CPU)
    engine.total_steps = 8
    loop_steps = engine.step

    def stop_after_seven(index):
        if index == 7:
            raise KeyboardInterrupt
        return loop_steps(index)

    engine.step = stop_after_seven
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "a", run, engine)
    train(tmp_path / "a", run)
    train(tmp_path / "b", run)
    assert losses(tmp_path / "a") == losses(tmp_path / "b")


def test_nan_rolls_back_to_another_stream_and_is_recorded(tmp_path):
    engine = ToyEngine(toy_run(), CPU)
    engine.poison = {(0, 5)}
    meta = train(tmp_path, engine=engine)
    assert meta["status"] == "ok"
    assert meta["training"]["rollbacks"] == [{"step": CHECK_EVERY, "reason": "not finite: loss"}]
    train(tmp_path / "clean")
    assert not same(weights(tmp_path), weights(tmp_path / "clean"))
    assert [step for step, _ in losses(tmp_path)] == ["2", "4", "6", "8", "10", "12"]


@pytest.mark.parametrize("poisoned", [set(), {(0, 5)}, {(0, 0), (1, 10)}])
def test_the_logging_interval_does_not_change_the_result(tmp_path, poisoned):
    """Therefore the run hash does not cover `log_every`. With 1000 only the last step is logged."""
    results = []
    for log_every in (1, 2, 3, 1000):
        engine, folder = ToyEngine(toy_run(log_every=log_every), CPU), tmp_path / str(log_every)
        engine.poison = set(poisoned)
        meta = train(folder, toy_run(log_every=log_every), engine)
        results.append((meta["training"]["rollbacks"], meta["run_sha256"], weights(folder)))
        assert all(loss for _, loss in losses(folder)), "no row with a value that is not finite remains"
    for rollbacks, run_sha256, found in results:
        assert (rollbacks, run_sha256) == results[0][:2] and same(found, results[0][2])
    assert len(results[0][0]) == len(poisoned)


def test_no_checkpoint_contains_nan(tmp_path):
    """A NaN at a step that is not logged must not be saved by a checkpoint that is due at that step."""
    run = toy_run(log_every=100, checkpoint_seconds=1e-6)
    engine = ToyEngine(run, CPU)
    engine.poison = {(0, 5)}
    meta = train(tmp_path, run, engine)
    assert meta["status"] == "ok" and meta["training"]["rollbacks"][0]["step"] == 6


def test_a_run_fails_after_three_rollbacks(tmp_path):
    engine = ToyEngine(toy_run(), CPU)
    engine.poison = {(stream, 5) for stream in range(4)}
    with pytest.raises(RunFailedError, match=rf"not finite: loss at step {CHECK_EVERY}, after 3 rollbacks"):
        train(tmp_path, engine=engine)
    meta = json.loads((tmp_path / "out" / "model.json").read_text())
    assert meta["status"] == "failed" and "loss" in meta["reason"] and len(meta["training"]["rollbacks"]) == 4
    assert [step for step, _ in losses(tmp_path)] == ["2", "4"]


def test_out_of_memory_fails_with_a_reason(tmp_path):
    engine = ToyEngine(toy_run(), CPU)

    def step(index):
        raise torch.OutOfMemoryError("tried to allocate 3 GiB")

    engine.step = step
    fits = r"peak \d+\.\d GiB of .* allocation; a batch of 256 does not fit in memory; try 128 .*3 GiB"
    with pytest.raises(RunFailedError, match=fits):
        train(tmp_path, engine=engine)


def test_out_of_memory_halves_the_micro_batch(tmp_path):
    engine = ToyEngine(toy_run(), CPU)
    whole_step, errors = engine.step, []

    def step(index):
        if index == 7 and not errors:
            raise torch.OutOfMemoryError("no")
        return whole_step(index)

    def shrink(error):
        errors.append(error)
        return "micro-batch 4 -> 2"

    engine.step, engine.shrink = step, shrink
    meta = train(tmp_path / "a", engine=engine)
    assert meta["training"]["events"] == ["step 7: out of memory, micro-batch 4 -> 2"]
    train(tmp_path / "b")
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_out_of_memory_outside_a_step_keeps_the_checkpoints(tmp_path):
    def no_memory(out):
        raise torch.OutOfMemoryError("tried to allocate 3 GiB")

    run = toy_run(checkpoint_seconds=1e-6)
    engine = ToyEngine(run, CPU)
    engine.export = no_memory
    with pytest.raises(InputError, match=r"out of memory: .*3 GiB.*; the checkpoints in .* are kept; free memory"):
        train(tmp_path, run, engine)
    assert not (tmp_path / "out" / "model.json").exists()
    resumed = ToyEngine(run, CPU)
    resumed.step = None
    assert train(tmp_path, run, resumed)["status"] == "ok"


def test_the_suggested_batch_is_half_of_the_micro_batch(tmp_path):
    engine = ToyEngine(toy_run(), CPU)
    engine.micro_batch = 32

    def step(index):
        raise torch.OutOfMemoryError("no")

    engine.step = step
    with pytest.raises(RunFailedError, match="does not fit in memory; try 16"):
        train(tmp_path, engine=engine)


def test_a_checkpoint_is_written_at_the_end_of_each_part(tmp_path):
    engine, kept = ToyEngine(toy_run(), CPU), []
    engine.ends_part = lambda done: done in (4, 9)
    loop = Loop(engine, toy_run(), tmp_path / "out", tmp_path / "state", Data(DATA_SHA, None))
    save = loop.checkpoints.save
    loop.checkpoints.save = lambda step, *rest: kept.append(step) or save(step, *rest)
    loop.run_to_end()
    assert kept == [0, 4, 9]


def test_half_written_files_are_cleaned_on_start(tmp_path):
    names = ("out/.model.safetensors", "out/samples/.grid.png", "out/..model.json", "state/.step-0000000004.ckpt")
    orphans = [tmp_path / f"{name}.ab_12xyz.part" for name in (*names, "state/outputs/.history.csv")]
    others = [tmp_path / name for name in ("out/.a.part", "out/.thesis.tex.ab_12xyz.part", "out/sub/.grid.png.part")]
    for path in (*orphans, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    Loop(ToyEngine(toy_run(), CPU), toy_run(), tmp_path / "out", tmp_path / "state", Data(DATA_SHA, None))
    assert not any(orphan.exists() for orphan in orphans)
    assert all(path.read_bytes() == b"half" for path in others)


def test_only_foreign_files_of_an_earlier_run_are_kept(tmp_path):
    for name in ("out", "state/outputs"):
        write_png(tmp_path / name / "samples/step-0000003.png", Image.new("RGB", (2, 2)))
        save_weights(tmp_path / name / "snapshots/step-0000003.safetensors", nn.Linear(1, 1), {"name": "x", "args": {}})
        (tmp_path / name / "samples/note.txt").write_text("mine")
    save_weights(tmp_path / "out/best/model.safetensors", nn.Linear(1, 1), {"name": "x", "args": {}})
    claim_state(tmp_path / "state")
    train(tmp_path)
    assert not list(tmp_path.rglob("step-*")) and not (tmp_path / "out/best").exists()
    assert (tmp_path / "out/samples/note.txt").read_text() == "mine"
    assert (tmp_path / "state/outputs/samples/note.txt").read_text() == "mine"


def test_a_sink_writes_next_to_the_run_and_closes_before_its_record(tmp_path, monkeypatch):
    class Late:
        def __init__(self, name, folder):
            self.folder = folder

        def log(self, step, row): ...

        def close(self):
            assert not (tmp_path / "out" / "model.json").exists()
            (self.folder / "closed").write_text("yes")

    monkeypatch.setitem(sinks.SINKS, "late", Late)
    monkeypatch.setenv("SLIM_BENCH_SINKS", "late")
    train(tmp_path)
    assert (tmp_path / "out" / "closed").read_text() == "yes"


def test_energy_is_summed_over_resumed_parts(tmp_path, monkeypatch):
    """The energy meter is a mock, because a CPU has none."""
    monkeypatch.setattr("bench.train.loop.monitor.Monitor.spent_joules", lambda self: 1.0)
    run = toy_run(checkpoint_seconds=1e-6)
    engine = Killed(run, CPU)
    engine.ending = signal.SIGTERM
    with pytest.raises(SystemExit):
        train(tmp_path, run, engine)
    resumed = train(tmp_path, run)["training"]["energy_joules"]
    uninterrupted = train(tmp_path / "uninterrupted", run)["training"]["energy_joules"]
    assert resumed >= uninterrupted > 6
    assert float(History(tmp_path / "out" / "history.csv").read()[-1]["gpu_energy_joules"]) > 6


def test_a_missing_record_is_written_again_without_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bench.train.loop.record.training_modules", lambda task, model: ("bench.train.loop.loop",))
    meta, out = train(tmp_path), tmp_path / "out"
    (out / "model.json").unlink()
    assert not restore_record(toy_run(precision="bf16"), out, DATA_SHA)
    assert not restore_record(toy_run(), out, "e" * 64)
    assert not (out / "model.json").exists()
    assert restore_record(toy_run(), out, DATA_SHA)
    assert json.loads((out / "model.json").read_text()) == meta
    monkeypatch.setattr("bench.train.loop.record.training_modules", lambda task, model: ("bench.train.ema",))
    assert restore_record(toy_run(), out, DATA_SHA), "by a different code version, but kept"
    assert "by a different code version; --overwrite retrains" in capsys.readouterr().err


def test_the_record_of_other_weights_is_not_restored(tmp_path):
    train(tmp_path)
    (tmp_path / "out" / "model.safetensors").write_bytes(b"other")
    assert not restore_record(toy_run(), tmp_path / "out", DATA_SHA)


def test_state_of_another_run_or_dataset_is_refused(tmp_path):
    engine = ToyEngine(toy_run(), CPU)
    engine.poison = {(s, 5) for s in range(4)}
    run = toy_run()
    stopped = ToyEngine(run, CPU)
    stopped.step = lambda index: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, run, stopped)
    other = toy_run(precision="bf16")
    with pytest.raises(InputError, match=rf"run.json was {run.hash}, but is now {other.hash}; delete"):
        train(tmp_path, other)
    with pytest.raises(InputError, match=r"dataset was d+, but is now e+; delete"):
        run_loop(ToyEngine(run, CPU), run, tmp_path / "out", tmp_path / "state", Data("e" * 64, None))


def test_resume_sets_the_thread_count_of_the_start(tmp_path):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        stopped = ToyEngine(toy_run(), CPU)
        stopped.step = lambda index: (_ for _ in ()).throw(KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, engine=stopped)
        torch.set_num_threads(2)
        assert train(tmp_path)["training"]["threads"] == 1
    finally:
        torch.set_num_threads(threads)


def test_an_export_to_another_folder_includes_its_description(tmp_path):
    run = toy_run()
    train(tmp_path, run)
    assert read_run(tmp_path / "out" / "run.json") == run
