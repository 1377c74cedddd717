"""Training on a GPU: engines, CUDA graphs, resume, precision, monitoring."""

import pytest
import torch

from bench.export import load_export
from bench.train import train
from bench.train.classification.engine import Classification
from bench.train.fewshot.engine import FewShot
from bench.train.loop.history import History
from bench.train.loop.monitor import Monitor
from bench.train.oneshot.engine import OneShot
from bench.train.startup import set_precision
from tests.helpers.tiny import tiny_run, write_data

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.mark.parametrize("task", ["fewshot", "oneshot", "classification"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("compile", [False, True])
def test_each_engine_trains_and_exports_on_a_gpu(tmp_path, task, precision, compile):
    compute = {"device": "cuda", "precision": precision, "compile": compile}
    run = tiny_run(task, write_data(task, tmp_path / "data"), compute=compute)
    train(run, tmp_path / "out", tmp_path / "state")
    network, meta = load_export(tmp_path / "out")
    assert meta["status"] == "ok" and not meta["training"]["rollbacks"]
    assert meta["training"]["precision"] == precision and meta["training"]["compile"] == compile
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    assert float(History(tmp_path / "out" / "history.csv").read()[-1]["gpu_memory_bytes"]) > 0


@pytest.mark.parametrize(
    ("task", "make", "changes"),
    [
        ("fewshot", FewShot, {"steps": 40}),
        ("oneshot", OneShot, {"epochs_per_scale": 20, "generator_steps": 2}),
    ],
)
def test_recording_graphs_changes_no_result(tmp_path, task, make, changes):
    """Most steps are replayed. The comparison has a tolerance, because sums on a GPU differ between calls."""
    data, losses = write_data(task, tmp_path / "data"), []
    for recorded in (False, True):
        run = tiny_run(task, data, compute={"device": "cuda", "cuda_graphs": recorded}, **changes)
        engine = make(run, torch.device("cuda", 0))
        losses.append([{name: float(value) for name, value in engine.step(i).items()} for i in range(40)])
    for plain, recorded in zip(*losses, strict=True):
        assert recorded == pytest.approx(plain, rel=0.05, abs=0.02)


def test_a_classifiers_first_step_is_that_of_the_cpu(tmp_path):
    """The first step is equal because weights, order, augmentation and mixup are drawn on the CPU."""
    run = tiny_run("classification", write_data("classification", tmp_path / "data"))
    set_precision(run, torch.device("cuda"))
    ours, theirs = (Classification(run, torch.device(name)).step(0) for name in ("cpu", "cuda"))
    assert all(torch.isclose(ours[key], theirs[key].cpu(), rtol=1e-3) for key in ours)


def test_the_state_can_be_loaded_on_the_cpu(tmp_path):
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
