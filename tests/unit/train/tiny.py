"""Small prepared data sets and runs of the three tasks for tests of the engines."""

from pathlib import Path
from typing import Any

import numpy as np

from bench.data.job import content_hash
from bench.data.manifest import Manifest, write_manifest
from bench.run import (
    ClassificationRecipe,
    Compute,
    DataSpec,
    Evaluation,
    FewShotRecipe,
    ModelSpec,
    OneShotRecipe,
    Run,
)


def write_images(folder: Path, n: int, size: int, task: str) -> Path:
    """n smooth random RGB images of size x size."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (n, 4, 4, 3)).astype(np.uint8)
    return _write(folder, {"images.npy": coarse.repeat(size // 4, 1).repeat(size // 4, 2)}, task, "images", size)


def write_classes(folder: Path, size: int = 32) -> Path:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 96), ("test", 32)):
        labels = np.arange(n) % 4
        shade = 60 * labels[:, None, None, None] + rng.integers(0, 60, (n, size, size, 1))
        arrays[f"{split}_images.npy"] = shade.astype(np.uint8)
        arrays[f"{split}_labels.npy"] = labels.astype(np.int64)
    return _write(folder, arrays, "classification", "classification", size)


def _write(folder: Path, arrays: dict[str, np.ndarray], task: str, kind: str, size: int) -> Path:
    folder.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(folder / name, array)
    images = next(iter(arrays.values()))
    splits = {s: {"n": len(arrays[f"{s}_labels.npy"])} for s in ("train", "test")} if task == "classification" else None
    manifest = {
        "name": "tiny",
        "title": "tiny",
        "task": task,
        "kind": kind,
        "n": len(images),
        "image_size": size,
        "channels": images.shape[-1],
        "sha256": content_hash(arrays),
        "preparation": {},
        "licence": "none",
        "classes": ("a", "b", "c", "d") if task == "classification" else None,
        "splits": splits,
        "arrays": {name: array.shape for name, array in arrays.items()},
    }
    write_manifest(folder, Manifest(**manifest))
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
    """`changes`: fields of the recipe, or `compute` as a dict."""
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
