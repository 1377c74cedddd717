"""Output of a running training: progress lines, sinks, resource use, signals."""

import os
import signal
import sys

import pytest
import torch

from bench.errors import InputError
from bench.runtime.memory import peak_memory_bytes
from bench.runtime.progress import ProgressLine
from bench.train.loop import sinks
from bench.train.loop.loop import run_loop
from bench.train.loop.monitor import Monitor
from bench.train.loop.record import Data
from bench.train.loop.signals import StopRequest
from tests.helpers.toy import DATA_SHA, ToyEngine, toy_run


def test_progress_prints_lines_at_its_interval(capsys):
    progress = ProgressLine("name", total=4, unit="step", done=0, every_seconds=3600)
    progress.update(1)
    progress.note({"loss": 0.5})
    progress.update(2)  # not due
    progress.update(4)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0].split(")")[0] for line in lines] == ["[name] step 1/4 (25 %", "[name] step 4/4 (100 %"]
    assert "left" in lines[0] and lines[1].endswith("loss 0.5")


def test_a_second_signal_stops_immediately_and_handlers_are_restored(capfd):
    before = signal.getsignal(signal.SIGUSR1)
    with StopRequest() as stop:
        assert stop.number is None
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.number == signal.SIGUSR1
        with pytest.raises(SystemExit) as caught:
            os.kill(os.getpid(), signal.SIGUSR1)
    assert caught.value.code == 128 + signal.SIGUSR1
    assert signal.getsignal(signal.SIGUSR1) == before
    (line,) = capfd.readouterr().err.splitlines()
    assert line == f"slim-bench: stopped by a second signal {int(signal.SIGUSR1)}; the last complete checkpoint is kept"


class Recorder:
    def __init__(self, name, folder):
        self.rows, self.closed = [], False

    def log(self, step, row):
        self.rows.append((step, row))

    def close(self):
        self.closed = True


def test_sinks_are_chosen_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setitem(sinks.SINKS, "recorder", Recorder)
    monkeypatch.delenv("SLIM_BENCH_SINKS", raising=False)
    assert sinks.open_sinks("run", tmp_path) == []
    monkeypatch.setenv("SLIM_BENCH_SINKS", " recorder ,")
    assert [type(sink) for sink in sinks.open_sinks("run", tmp_path)] == [Recorder]
    monkeypatch.setenv("SLIM_BENCH_SINKS", "tensorbord")
    with pytest.raises(InputError, match=r"'tensorbord'.*did you mean 'tensorboard'"):
        sinks.open_sinks("run", tmp_path)


def test_a_sink_that_is_not_installed_names_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setenv("SLIM_BENCH_SINKS", "wandb")
    with pytest.raises(InputError, match="pip install wandb"):
        sinks.open_sinks("run", tmp_path)


def test_the_monitor_of_a_cpu_measures_memory_and_no_energy():
    device = torch.device("cpu")
    assert peak_memory_bytes(device) > 50e6
    assert Monitor(device).sample().keys() == {"peak_memory_bytes"} and Monitor(device).spent_joules() is None


def test_a_driver_without_nvml_gives_one_message_and_the_run_continues(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr("bench.train.loop.monitor.peak_memory_bytes", lambda device: 1)
    monitor = Monitor(torch.device("cuda", 0))
    assert "NVML does not work (" in monitor.problem and monitor.spent_joules() is None
    assert monitor.sample() == {"peak_memory_bytes": 1}
    monkeypatch.setattr("bench.train.loop.loop.Monitor", lambda device: monitor)
    run = toy_run()
    run_loop(ToyEngine(run, torch.device("cpu")), run, tmp_path / "out", tmp_path / "state", Data(DATA_SHA, None))
    assert capsys.readouterr().err.count("NVML does not work") == 1
