"""After an out-of-memory error, micro-batches compute the same step, or the run fails with the size that fits."""

import json

import pytest
import torch
from torch import nn

from bench.errors import InputError
from bench.evaluate.run import evaluate_run
from bench.score import read_score
from bench.train import train
from bench.train.classification.engine import Classification
from bench.train.fewshot.engine import FewShot
from bench.train.loop.micro_batches import couples_images, fits, largest_that_fits
from bench.train.oneshot.engine import OneShot
from tests.helpers.tiny import tiny_run, write_data

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return {task: write_data(task, folder / task) for task in ("fewshot", "oneshot", "classification")}


def no_memory(*arguments, **options):
    raise torch.OutOfMemoryError("tried to allocate 3 GiB")


@pytest.mark.parametrize("largest", range(9))
def test_bisection_finds_the_largest_that_fits(largest):
    tried = []

    def attempt(number):
        tried.append(number)
        if number > largest:
            no_memory()

    assert largest_that_fits(9, attempt) == (largest or None)
    assert len(tried) <= 4 and 0 not in tried and 9 not in tried


def test_other_errors_than_out_of_memory_are_raised():
    assert fits(lambda: None) == (None,) and fits(no_memory) is None
    with pytest.raises(RuntimeError, match="must match"):
        fits(lambda: torch.zeros(2) + torch.zeros(3))


def test_batch_norm_and_spectral_norm_couple_images():
    assert couples_images(nn.Sequential(nn.Conv2d(3, 3, 1), nn.InstanceNorm2d(3, affine=True))) is None
    assert couples_images(nn.Sequential(nn.BatchNorm2d(3))) == "batch norm"
    assert couples_images(nn.Sequential(nn.BatchNorm2d(3)).eval()) is None
    assert couples_images(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)).eval()) == "batch norm"
    assert couples_images(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3))) == "spectral norm"


def gradients(network: nn.Module) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]


def assert_equal_to_rounding(ours, theirs):
    assert len(ours) == len(theirs) > 0
    largest = max(float(b.abs().max()) for b in theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert float((a - b).abs().max()) <= 1e-4 * largest


def test_a_few_shot_step_in_micro_batches_is_the_same_step(data):
    results = []
    for shrinks in (0, 2):
        engine = FewShot(tiny_run("fewshot", data["fewshot"], batch_size=5), CPU)
        for _ in range(shrinks):
            assert "micro-batch" in engine.shrink(MemoryError())
        losses = {name: float(value) for name, value in engine.step(0).items()}
        results.append((losses, gradients(engine.discriminator), gradients(engine.generator)))
    assert engine.micro_batch == 2 and "micro-batch 1 " in engine.shrink(MemoryError())
    assert engine.shrink(MemoryError()) is None
    (losses, discriminator, generator), (expected, *theirs) = results
    assert losses == pytest.approx(expected, rel=1e-4)
    assert_equal_to_rounding(discriminator, theirs[0])
    assert_equal_to_rounding(generator, theirs[1])


def test_a_few_shot_run_records_its_reduced_batch(data, tmp_path, monkeypatch):
    run = tiny_run("fewshot", data["fewshot"], batch_size=4, strips=0, steps=2)
    make = FewShot.__init__

    def limited(engine, *arguments):
        make(engine, *arguments)
        trunk = engine.perceptual.trunk
        engine.perceptual.trunk = small = type(trunk).__new__(type(trunk))
        vars(small).update(vars(trunk))
        small.forward = lambda images: no_memory() if len(images) > 4 else trunk(images)

    monkeypatch.setattr(FewShot, "__init__", limited)
    train(run, tmp_path / "out", tmp_path / "state")
    training = json.loads((tmp_path / "out" / "model.json").read_text())["training"]
    assert training["micro_batch"] == 1 and [event[:37] for event in training["events"]] == [
        "step 0: out of memory, micro-batch 2 ",
        "step 0: out of memory, micro-batch 1 ",
    ]
    evaluate_run(run, tmp_path / "out", tmp_path / "scores")
    score = read_score(tmp_path / "scores" / "params.json")
    assert score.training_micro_batch == 1 and score.training_events == tuple(training["events"])


def test_a_few_shot_batch_that_does_not_fit_fails_with_the_largest_that_does(data, tmp_path, monkeypatch):
    run = tiny_run("fewshot", data["fewshot"], batch_size=6, strips=0)
    batch = FewShot._batch
    monkeypatch.setattr(FewShot, "_batch", lambda engine: no_memory() if len(engine.order) > 3 else batch(engine))
    train(run, tmp_path / "out", tmp_path / "state")
    meta = json.loads((tmp_path / "out" / "model.json").read_text())
    assert meta["status"] == "failed"
    assert "batch norm needs all 6 images in one pass" in meta["reason"]
    assert "set recipe.batch_size to 3" in meta["reason"] and "3 GiB" in meta["reason"]


def test_a_run_fails_if_no_batch_fits(data, monkeypatch):
    engine = FewShot(tiny_run("fewshot", data["fewshot"], batch_size=6), CPU)
    monkeypatch.setattr(engine, "_batch", no_memory)
    assert "no batch of 2 or more fits" in engine.size_that_fits()


@pytest.mark.parametrize(
    ("most_images", "reason"),
    [
        (5, "batch norm needs at least 16 images in one pass; set recipe.batch_size to 5, the largest batch that fits"),
        (1, "no batch of 2 or more images fits; use a smaller network or image"),
    ],
)
def test_a_classification_batch_that_does_not_fit_fails_with_the_largest_that_does(
    data, tmp_path, monkeypatch, most_images, reason
):
    """The batch of 32 is first halved once, to 16 images in a pass."""
    run, gradients_of = tiny_run("classification", data["classification"]), Classification._gradients

    def limited(engine, inputs, *targets):
        return gradients_of(engine, inputs, *targets) if len(inputs) / engine.parts <= most_images else no_memory()

    monkeypatch.setattr(Classification, "_gradients", limited)
    train(run, tmp_path / "out", tmp_path / "state")
    meta = json.loads((tmp_path / "out" / "model.json").read_text())
    assert meta["status"] == "failed" and reason in meta["reason"] and "3 GiB" in meta["reason"]
    assert [event[:37] for event in meta["training"]["events"]] == ["step 0: out of memory, micro-batch 16"]


def test_a_one_shot_epoch_in_micro_batches_is_the_same_epoch(data):
    """The second scale samples the first. One epoch is compared, because training amplifies rounding.

    The generator's loss is not compared. It contains the critic's last bias, whose gradient is zero in exact
    arithmetic, so that Adam takes full steps in the direction of the rounding error.
    """
    results = []
    for shrinks in (0, 1, 2):
        engine = OneShot(tiny_run("oneshot", data["oneshot"], critic_steps=3, epochs_per_scale=1), CPU)
        engine.step(0)
        for _ in range(shrinks):
            assert engine.shrink(MemoryError())
        engine._begin(1)
        losses = {name: float(value) for name, value in engine.step(1).items() if name != "generator"}
        results.append((losses, gradients(engine.training.critic), gradients(engine.training.generator)))
    assert engine.micro_batch == 1 and engine.shrink(MemoryError()) is None
    for losses, critic, generator in results[1:]:
        assert losses == pytest.approx(results[0][0], rel=1e-3, abs=1e-3)
        assert_equal_to_rounding(critic, results[0][1])
        assert_equal_to_rounding(generator, results[0][2])


def test_a_one_shot_network_with_batch_norm_is_not_split(data):
    engine = OneShot(tiny_run("oneshot", data["oneshot"]), CPU)
    engine.pyramid.scales[1].gate = nn.BatchNorm2d(4)
    assert engine.shrink(MemoryError()) is None and engine.size_that_fits().startswith("batch norm needs all images")


def test_a_one_shot_run_that_does_not_fit_fails_with_the_size_that_did(data, tmp_path, monkeypatch):
    run = tiny_run("oneshot", data["oneshot"], epochs_per_scale=1)
    begin = OneShot._begin
    monkeypatch.setattr(OneShot, "_begin", lambda engine, scale: begin(engine, scale) if scale < 2 else no_memory())
    train(run, tmp_path / "out", tmp_path / "state")
    meta = json.loads((tmp_path / "out" / "model.json").read_text())
    sizes = OneShot(run, CPU).pyramid.sizes
    assert meta["status"] == "failed" and [event.split(", ")[1] for event in meta["training"]["events"]] == [
        "micro-batch 1"
    ]
    assert f"set recipe.max_size to {max(sizes[1])}" in meta["reason"] and "does not fit" in meta["reason"]


def test_samples_that_do_not_fit_together_are_generated_in_parts(data, monkeypatch):
    engine = OneShot(tiny_run("oneshot", data["oneshot"]), CPU)
    expected, whole = engine._sample(5, "samples"), engine.pyramid.sample
    monkeypatch.setattr(
        engine.pyramid, "sample", lambda n, *rest, **options: no_memory() if n > 2 else whole(n, *rest, **options)
    )
    assert torch.allclose(engine._sample(5, "samples"), expected, atol=1e-5)


def test_a_lost_gpu_gives_a_one_line_error_and_keeps_the_checkpoints(data, tmp_path, monkeypatch):
    run = tiny_run("oneshot", data["oneshot"])
    step = OneShot.step

    def lose_device(engine, index):
        if index == 3:
            raise RuntimeError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")
        return step(engine, index)

    monkeypatch.setattr(OneShot, "step", lose_device)
    with pytest.raises(InputError, match=r"the GPU failed \(CUDA error: unspecified launch failure\); the checkpoints"):
        train(run, tmp_path / "out", tmp_path / "state")
    monkeypatch.setattr(OneShot, "step", step)
    train(run, tmp_path / "out", tmp_path / "state")
    assert json.loads((tmp_path / "out" / "model.json").read_text())["status"] == "ok"
