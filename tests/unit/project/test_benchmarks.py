"""Parts of `make bench` that do not need an idle machine: benchmarks run, and the roofline bound of a step is right."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from baselines.singan import pyramid
from bench.run import read_run
from benchmarks import bench_data, bench_overhead, bench_singan, roofline
from benchmarks.runs import classification_run, fewshot_run

CPU = torch.device("cpu")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the machine's rates to 1e9 operations and 1e6 bytes per second."""
    monkeypatch.setattr(roofline, "matrix_rate", lambda device, dtype: 1e9)
    monkeypatch.setattr(roofline, "bandwidth", lambda device: 1e6)


@pytest.mark.usefixtures("machine")
def test_the_roofline_bound_takes_the_larger_of_operations_and_bytes() -> None:
    few_operations, many_operations = torch.randn(2, 8), torch.randn(2000, 2000)
    seconds = roofline.roofline_seconds(lambda: few_operations @ few_operations.T)
    assert seconds == pytest.approx(4 * (2 * 16 + 4) / 1e6)
    seconds = roofline.roofline_seconds(lambda: many_operations @ many_operations)
    assert seconds == pytest.approx(4 * 3 * 2000**2 / 1e6)  # 48 s for the bytes, 16 s for the operations
    assert roofline.roofline_seconds(lambda: few_operations + 1) == 0


@pytest.mark.usefixtures("machine")
def test_the_roofline_bound_counts_backward_passes_too() -> None:
    weight = torch.randn(4, 3, 3, 3, requires_grad=True)
    image = torch.randn(1, 3, 16, 16, requires_grad=True)
    forward = roofline.roofline_seconds(lambda: F.conv2d(image, weight))
    assert roofline.roofline_seconds(lambda: F.conv2d(image, weight).sum().backward()) > 2 * forward > 0


def test_rates_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(roofline.SIDE, "cpu", 64)
    monkeypatch.setitem(roofline.COPIED_BYTES, "cpu", 2**20)
    roofline.matrix_rate.cache_clear()
    roofline.bandwidth.cache_clear()
    assert roofline.matrix_rate("cpu", torch.float32) > 1e6 and roofline.bandwidth("cpu") > 1e6
    roofline.matrix_rate.cache_clear()
    roofline.bandwidth.cache_clear()


@pytest.mark.parametrize("task", ["fewshot", "classification"])
def test_steps_run_with_data_and_on_a_fixed_batch(tmp_path: Path, task: str) -> None:
    fewshot = task == "fewshot"
    run = fewshot_run(tmp_path / "a", 64, 4, 2) if fewshot else classification_run(tmp_path / "a", 32, 8)
    works = bench_data.with_and_without(run, CPU)
    for work in (*works.values(), works["data"]):
        work()


def test_an_epoch_of_singan_runs_in_both_loops() -> None:
    small = pyramid(height=40, width=40, base_channels=4, scale_factor=0.6)
    for scale in range(len(small.sizes)):
        assert "critic" in bench_singan.engine(small, scale, CPU)()
        bench_singan.reference(small, scale, CPU)()


def test_own_time_of_a_job_excludes_import_and_steps() -> None:
    times = {
        "import": [4.0, 4.0, 9.0],
        "train a": [7.0],
        "evaluate a": [5.0],
        "freeze": [0.5],
        "few": [3.0],
        "many": [9.5],
    }
    found = bench_overhead._job_overhead(times, {"a": 2.0}, more_jobs=10)
    assert found == pytest.approx({"Snakemake": 0.15, "train a": 1.15, "evaluate a": 1.15})


def test_runs_of_the_overhead_take_one_step(tmp_path: Path) -> None:
    runs = {name: read_run(path) for name, path in bench_overhead._runs(tmp_path).items()}
    assert runs["few-shot"].recipe.steps == 1 and runs["classification"].recipe.batch_size == 64
    assert all(run.evaluation.metrics == ("params",) for run in runs.values())
