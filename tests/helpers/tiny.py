"""Small prepared datasets and runs of the three tasks for tests of the engines."""

from pathlib import Path
from typing import Any

import numpy as np

from bench.run import ClassificationRecipe, Compute, DataSpec, Evaluation, FewShotRecipe, ModelSpec, OneShotRecipe, Run
from reference.prepared import write_prepared


def write_images(folder: Path, n: int, size: int, task: str) -> Path:
    """Write n smooth random RGB images of size x size."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (n, 4, 4, 3)).astype(np.uint8)
    write_prepared(folder, task, {"images.npy": coarse.repeat(size // 4, 1).repeat(size // 4, 2)}, "tiny")
    return folder


def write_classes(folder: Path, size: int = 32) -> Path:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 96), ("test", 32)):
        labels = np.arange(n) % 4
        shade = 60 * labels[:, None, None, None] + rng.integers(0, 60, (n, size, size, 1))
        arrays[f"{split}_images.npy"] = shade.astype(np.uint8)
        arrays[f"{split}_labels.npy"] = labels.astype(np.int64)
    write_prepared(folder, "classification", arrays, "tiny", classes=("a", "b", "c", "d"))
    return folder


RECIPES = {
    "fewshot": FewShotRecipe(steps=4, batch_size=2, ema_warmup=True, perceptual="efflite0", decoder_scaled=True),
    "oneshot": OneShotRecipe(epochs_per_scale=2, max_size=40, n_samples=2, critic_steps=1, generator_steps=1),
    "classification": ClassificationRecipe(epochs=2, batch_size=32, warmup_epochs=1, augment="small", mixup=0.2),
}
MODELS = {
    "fewshot": ModelSpec(name="fastgan-slim", args={"image_size": 64, "base_channels": 8, "pairs": [64]}),
    "oneshot": ModelSpec(name="singan-slim", args={"base_channels": 4}),
    "classification": ModelSpec(name="resnet", args={"blocks": [1, 1], "width": 4, "in_channels": 1, "num_classes": 4}),
}


def tiny_run(task: str, data: Path, **changes: Any) -> Run:
    """Return a small run. `changes` are fields of the recipe, or `compute` as a dict."""
    compute = {"device": "cpu", "threads": 1, "log_every": 1, "checkpoint_seconds": 1e-6, **changes.pop("compute", {})}
    return Run(
        scale="tiny",
        experiment=MODELS[task].name,
        dataset="tiny",
        seed=1,
        task=task,
        model=MODELS[task],
        data=DataSpec(path=str(data)),
        recipe=RECIPES[task].model_copy(update=changes),
        evaluation=Evaluation(metrics=("params",)),
        compute=Compute(**compute),
    )


def write_data(task: str, folder: Path) -> Path:
    if task == "classification":
        return write_classes(folder)
    return write_images(folder, 6, 64, task) if task == "fewshot" else write_images(folder, 1, 40, task)
