"""Training on a GPU: the same engine, data on the device, resume, precision and what is measured."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "train"))
from tiny import tiny_run, write_data

from bench.export import load_export
from bench.train import train
from bench.train.fewshot import FewShot
from bench.train.history import History
from bench.train.monitor import Monitor

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("compile", [False, True])
def test_few_shot_run(tmp_path, precision, compile):
    compute = {"device": "cuda", "precision": precision, "compile": compile}
    run = tiny_run("fewshot", write_data("fewshot", tmp_path / "data"), steps=6, batch_size=4, compute=compute)
    train(run, tmp_path / "out", tmp_path / "state")
    network, meta = load_export(tmp_path / "out")
    assert meta["training"]["precision"] == precision and meta["training"]["compile"] == compile
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    assert float(History(tmp_path / "out" / "history.csv").read()[-1]["gpu_memory_bytes"]) > 0


def test_state_survives_the_way_through_the_cpu(tmp_path):
    device = torch.device("cuda", 0)
    run = tiny_run("fewshot", write_data("fewshot", tmp_path / "data"), compute={"device": "cuda"})
    first, second = FewShot(run, device), FewShot(run, device)
    first.step(0)
    second.load_state_dict(first.state_dict())
    a, b = first.step(1), second.step(1)
    assert all(torch.allclose(a[key], b[key], rtol=1e-3) for key in a)


def test_monitor_reads_the_gpu():
    row = Monitor(torch.device("cuda", 0)).sample()
    assert row["gpu_memory_bytes"] > 0 and 0 <= row["gpu_utilisation_percent"] <= 100
