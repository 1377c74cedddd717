"""Every engine, stopped at any step and resumed, equals the uninterrupted run bit for bit."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench.data.datasets import read_manifest
from bench.errors import InputError
from bench.export import load_export
from bench.run import write_run
from bench.train import train
from bench.train.loop.history import History
from bench.train.loop.record import restore_record
from bench.train.startup import engine_class
from tests.helpers import ROOT
from tests.helpers.tiny import tiny_run, write_data

TASKS = ["fewshot", "oneshot", "classification"]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def result(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, str]]]:
    timings = ("seconds", "images_per_second", "peak_memory_bytes")
    rows = History(folder / "history.csv").read()
    return load_file(folder / "model.safetensors"), [{k: v for k, v in r.items() if k not in timings} for r in rows]


def assert_same(a: Path, b: Path) -> None:
    (weights_a, rows_a), (weights_b, rows_b) = result(a), result(b)
    assert rows_a == rows_b and rows_a
    assert weights_a.keys() == weights_b.keys()
    assert [name for name in weights_a if not torch.equal(weights_a[name], weights_b[name])] == []


@pytest.mark.parametrize("task", TASKS)
def test_a_run_interrupted_at_every_step_is_bit_equal(task, tmp_path, monkeypatch):
    run = tiny_run(task, write_data(task, tmp_path / "data"))
    train(run, tmp_path / "uninterrupted", tmp_path / "state")
    engine = engine_class(task)
    whole, done = engine.step, []

    def one_step(self, index):
        if done:
            raise KeyboardInterrupt
        done.append(index)
        return whole(self, index)

    monkeypatch.setattr(engine, "step", one_step)
    for _ in range(100):
        done.clear()
        try:
            train(run, tmp_path / "pieces", tmp_path / "state")
            break
        except KeyboardInterrupt:
            continue
    assert_same(tmp_path / "uninterrupted", tmp_path / "pieces")
    network, meta = load_export(tmp_path / "pieces")
    assert meta["status"] == "ok" and not network.training


COMMANDS = """
import json, os, signal, sys
from bench.cli import main
from bench.train.startup import engine_class

def kill_in_a_step(engine):
    whole = engine.step
    def step(self, index):
        scalars = whole(self, index)
        if index == 2:  # computed, but in no checkpoint yet
            os.kill(os.getpid(), signal.SIGKILL)
        return scalars
    engine.step = step

for task, arguments in json.loads(sys.argv[1]).items():
    engine = engine_class(task)
    for attempt in ("killed", "resumed"):
        child = os.fork()  # one import of torch serves them all
        if child == 0:
            if attempt == "killed":
                kill_in_a_step(engine)
            os._exit(main(arguments))
        print(task, attempt, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
def test_the_train_command_resumes_after_sigkill(tmp_path):
    runs, commands = {}, {}
    for task in TASKS:
        folder = tmp_path / task
        runs[task] = tiny_run(task, write_data(task, folder / "data"))
        write_run(folder / "run.json", runs[task])
        commands[task] = ["train", "--run", str(folder / "run.json")]
        commands[task] += ["--out", str(folder / "killed"), "--state", str(folder / "state")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", COMMANDS, json.dumps(commands)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    ends = [f"{task} {end}" for task in TASKS for end in (f"killed {-signal.SIGKILL}", "resumed 0")]
    assert done.stdout.splitlines() == ends, done.stderr
    assert len(re.findall(r"resumed at \w+ 2 of", done.stderr)) == len(TASKS), done.stderr
    for task in TASKS:
        train(runs[task], tmp_path / task / "uninterrupted", tmp_path / task / "state")
        assert_same(tmp_path / task / "uninterrupted", tmp_path / task / "killed")


def test_a_diverging_run_ends_as_failed_without_an_error(tmp_path, capsys):
    run = tiny_run("fewshot", write_data("fewshot", tmp_path / "data"), learning_rate=1e30, strips=0)
    train(run, tmp_path / "out", tmp_path / "state")
    meta = json.loads((tmp_path / "out" / "model.json").read_text())
    assert meta["status"] == "failed" and "not finite" in meta["reason"] and "after 3 rollbacks" in meta["reason"]
    assert len(meta["training"]["rollbacks"]) == 4 and meta["model_sha256"] is None
    assert "failed: not finite" in capsys.readouterr().err
    assert not (tmp_path / "state").exists() and not (tmp_path / "out" / "model.safetensors").exists()
    with pytest.raises(InputError, match="status failed: not finite"):
        load_export(tmp_path / "out")


def test_a_run_fails_if_the_network_does_not_fit_into_memory(tmp_path, monkeypatch):
    def too_large(run, device):
        raise torch.OutOfMemoryError("tried to allocate 3 GiB")

    monkeypatch.setattr("bench.train.startup.engine_class", lambda task: too_large)
    run = tiny_run("classification", write_data("classification", tmp_path / "data"))
    train(run, tmp_path / "out", tmp_path / "state")
    meta = json.loads((tmp_path / "out" / "model.json").read_text())
    assert meta["status"] == "failed"
    assert meta["reason"].startswith("out of memory") and "tried to allocate 3 GiB" in meta["reason"]


def test_out_of_memory_on_resuming_keeps_the_checkpoints(tmp_path, monkeypatch):
    def too_large(run, device):
        raise torch.OutOfMemoryError("tried to allocate 3 GiB")

    monkeypatch.setattr("bench.train.startup.engine_class", lambda task: too_large)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "step-0000000004.ckpt").touch()
    run = tiny_run("classification", write_data("classification", tmp_path / "data"))
    with pytest.raises(InputError, match=r"out of memory: .*3 GiB.*checkpoints are kept"):
        train(run, tmp_path / "out", tmp_path / "state")
    assert not (tmp_path / "out" / "model.json").exists()


def test_a_new_run_removes_the_record_of_the_previous_run(tmp_path, monkeypatch):
    """Otherwise existing weights would count as finished after a killed training process."""
    run = tiny_run("classification", write_data("classification", tmp_path / "data"))
    train(run, tmp_path / "out", tmp_path / "state")
    monkeypatch.setattr("bench.train.startup.run_loop", lambda *rest: None)
    train(run, tmp_path / "out", tmp_path / "state", overwrite=True)
    assert not restore_record(run, tmp_path / "out", read_manifest(tmp_path / "data").sha256)
    assert restore_record(run, tmp_path / "out.superseded-1", read_manifest(tmp_path / "data").sha256)


def test_a_finished_run_without_its_record_is_not_retrained(tmp_path, monkeypatch, capsys):
    run = tiny_run("classification", write_data("classification", tmp_path / "data"))
    train(run, tmp_path / "out", tmp_path / "state")
    before = (tmp_path / "out" / "model.json").read_bytes()
    (tmp_path / "out" / "model.json").unlink()
    monkeypatch.setattr("bench.train.startup.engine_class", None)
    train(run, tmp_path / "out", tmp_path / "state")
    assert (tmp_path / "out" / "model.json").read_bytes() == before
    assert "already trained, model.json restored" in capsys.readouterr().err


def test_images_edited_since_the_preparation_are_refused(tmp_path):
    data = write_data("fewshot", tmp_path / "data")
    images = np.load(data / "images.npy")
    images[0, 0, 0, 0] ^= 1
    np.save(data / "images.npy", images)
    with pytest.raises(InputError, match=r"sha256 of the arrays is .*, but manifest.json records .*prepare it again"):
        train(tiny_run("fewshot", data), tmp_path / "out", tmp_path / "state")
