"""The classification engine: learning, resuming, options, failures."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from bench.data.datasets import load_split
from bench.data.inputs import network_classes, split_holdout, split_shards
from bench.data.prepare import prepare
from bench.errors import InputError
from bench.evaluate.linear import fit_linear
from bench.export import load_weights
from bench.run import ClassificationRecipe, DataSpec
from bench.train.classification.engine import Classification
from bench.train.classification.schedule import learning_rate
from tests.helpers.classify_cases import classify_run, labelled, write_prepared
from tests.helpers.data_project import make_project

CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_prepared(tmp_path / "stripes-16")


def losses(engine: Classification, start: int, stop: int) -> list[float]:
    return [engine.step(index)["loss"].item() for index in range(start, stop)]


@pytest.mark.parametrize("model", ["resnet", "slim-resnet"])
def test_training_reaches_the_expected_accuracy(data: Path, tmp_path: Path, model: str) -> None:
    run = classify_run(data, model, epochs=12, optimiser="adamw", learning_rate=0.05, augment="none", holdout=12)
    engine = Classification(run, CPU)
    assert engine.total_steps == 12 * 2  # 60 images remain, which are two full batches of 24
    for index in range(engine.total_steps):
        scalars = engine.step(index)
    assert scalars["train_top1"] > 90
    fields = engine.export(tmp_path)
    images, labels = load_split(data, "test")
    for name in ("model.safetensors", "best/model.safetensors"):
        with torch.no_grad():
            predicted = load_weights(tmp_path / name)(engine.normalise(images)).argmax(1)
        assert (predicted == labels).float().mean() > 0.8, name
    assert set(fields["best"]) == {"epoch", "holdout_top1"}


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"optimiser": "adamw", "learning_rate": 0.01, "mixup": 0.2, "cutmix": 1.0, "ema_decay": 0.9, "holdout": 24},
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(data: Path, recipe: dict) -> None:
    run = classify_run(data, "slim-resnet", **recipe)
    uninterrupted = Classification(run, CPU)
    expected = losses(uninterrupted, 0, 4)
    first, second = Classification(run, CPU), Classification(run, CPU)
    assert losses(first, 0, 2) == expected[:2]
    second.load_state_dict(first.state_dict())
    assert losses(second, 2, 4) == expected[2:]
    for (name, left), right in zip(
        uninterrupted.model.state_dict().items(), second.model.state_dict().values(), strict=True
    ):
        assert torch.equal(left, right), name


def test_other_seed_and_rollback_give_other_numbers(data: Path) -> None:
    run = classify_run(data)
    other = run.model_copy(update={"seed": 6})
    rolled = Classification(run, CPU)
    rolled.reseed(1)
    values = {losses(engine, 0, 1)[0] for engine in (Classification(run, CPU), Classification(other, CPU), rolled)}
    assert len(values) == 3


def test_micro_batches_give_the_same_gradient_without_batch_norm(data: Path) -> None:
    run = classify_run(data, batch_size=64, augment="none")
    whole, parts = Classification(run, CPU), Classification(run, CPU)
    assert "micro-batch 32" in parts.shrink(MemoryError())
    assert "micro-batch 16" in parts.shrink(MemoryError()) and parts.parts == 4
    assert parts.shrink(MemoryError()) is None
    for engine in (whole, parts):
        engine.net.eval()  # with running statistics no term couples the images
    images, labels = whole.batches.batch(0)
    for engine in (whole, parts):
        loss = engine._gradients(engine.normalise(images), labels, labels)["loss"]
        engine.total = loss
    torch.testing.assert_close(whole.total, parts.total)
    for left, right in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(left.grad, right.grad, rtol=1e-4, atol=1e-6)


def test_schedule_warms_up_and_ends_near_zero() -> None:
    recipe = ClassificationRecipe(epochs=10, batch_size=512, learning_rate=0.1, warmup_epochs=2)
    rates = [learning_rate(recipe, step, 5) for step in range(50)]
    assert rates[0] == pytest.approx(0.02) and rates[9] == pytest.approx(0.2)  # 0.1 * 512 / 256, ten warm-up steps
    assert rates[30] == pytest.approx(0.1) and rates[49] < 0.001 and rates == sorted(rates[:11]) + rates[11:]


def test_weight_average_is_exported(data: Path, tmp_path: Path) -> None:
    engine = Classification(classify_run(data, ema_decay=0.5), CPU)
    losses(engine, 0, 3)
    assert engine.export(tmp_path)["protocol"] == "ema"
    saved, live = load_file(tmp_path / "model.safetensors"), engine.model.state_dict()
    assert not torch.equal(saved["conv1.weight"], live["conv1.weight"])
    assert torch.equal(saved["bn1.running_mean"], live["bn1.running_mean"])


def test_bfloat16_is_close_to_float32(data: Path) -> None:
    exact = losses(Classification(classify_run(data), CPU), 0, 1)
    rough = losses(Classification(classify_run(data, compute={"precision": "bf16"}), CPU), 0, 1)
    assert rough[0] == pytest.approx(exact[0], rel=0.05) and rough != exact


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"batch_size": 100}, "recipe.batch_size 100 exceeds the 72 training images of stripes"),
        ({"holdout": 72}, "recipe.holdout 72 leaves none of the 72 training images"),
    ],
)
def test_inconsistent_recipes_are_refused_before_the_first_step(data: Path, recipe: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Classification(classify_run(data, **recipe), CPU)


def test_a_network_of_another_size_is_refused(data: Path) -> None:
    run = classify_run(data)
    model = run.model.model_copy(update={"args": {"num_classes": 10}})
    with pytest.raises(InputError, match=r"model.args.num_classes is 10, but stripes has 3"):
        Classification(run.model_copy(update={"model": model}), CPU)


def test_holdout_is_stratified_and_complete() -> None:
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
    kept, held = split_holdout(labels, 10, 3)
    assert labels[held].bincount().tolist() == [5, 3, 2]
    assert sorted(kept.tolist() + held.tolist()) == list(range(100))


def test_linear_control_fits_linear_data() -> None:
    images, labels = (torch.from_numpy(array) for array in labelled(90, 0))
    test_images, test_labels = (torch.from_numpy(array) for array in labelled(30, 1))
    images, test_images = images.permute(0, 3, 1, 2), test_images.permute(0, 3, 1, 2)
    model = fit_linear(images, labels, 3)
    assert (model(test_images).argmax(1) == test_labels).float().mean() > 0.9
    assert torch.equal(model.weight, fit_linear(images, labels, 3).weight)
    assert math.isfinite(model.bias.sum().item())


def test_held_out_files_and_shards_choose_the_best_epoch(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 4)):
        for index in range(count):
            path = tmp_path / "set" / split / f"n{index % 2}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(path)
    folders = {"a": {"path": str(tmp_path / "set"), "task": "classification"}}
    prepare("a", 16, tmp_path / "a-16", make_project(tmp_path / "project"), folders=folders)
    run = classify_run(tmp_path / "a-16", batch_size=8, holdout=6)
    run = run.model_copy(update={"data": DataSpec(path=str(tmp_path / "a-16"), image_size=16)})
    engine = Classification(run, CPU)
    assert engine.batches.steps_per_epoch == 2 and len(engine.holdout[1]) == 6
    losses(engine, 0, engine.total_steps)
    assert engine.best["epoch"] in (1, 2) and engine.export(tmp_path)["best"]["epoch"] == engine.best["epoch"]


def test_whole_shards_are_held_out() -> None:
    shards = [("0.tar", 4), ("1.tar", 4), ("2.tar", 3)]
    assert split_shards(shards, 0) == (shards, [])
    assert split_shards(shards, 3) == (shards[:2], shards[2:])
    assert split_shards(shards, 4) == (shards[:1], shards[1:])
    with pytest.raises(InputError, match=r"recipe.holdout 8 leaves none of the 3 training shards"):
        split_shards(shards, 8)


def test_prepared_labels_outside_the_classes_are_refused_before_training(tmp_path):
    manifest = SimpleNamespace(classes=("cat", "dog"))
    assert network_classes(tmp_path, manifest, torch.tensor([0, 1])) == 2
    for labels in ([0, 2], [-1, 0]):
        with pytest.raises(InputError, match=r"manifest\.json has 2 classes; delete the folder and prepare it again"):
            network_classes(tmp_path, manifest, torch.tensor(labels))
