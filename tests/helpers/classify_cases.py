"""A small labelled dataset on disk, and runs on it."""

from pathlib import Path
from typing import Any

import numpy as np

from bench.run import ClassificationRecipe, Compute, DataSpec, Evaluation, ModelSpec, Run
from reference import prepared

CLASSES, SIZE = 3, 16


def labelled(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy images with bright rows, columns or planes, uint8 [N, H, W, 1], and their labels, int64 [N]."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % CLASSES
    images = random.integers(0, 100, (count, SIZE, SIZE, 1), np.uint8)
    images[labels == 0, ::2] += 100
    images[labels == 1, :, ::2] += 100
    images[labels == 2] += 50
    return images, labels


def write_prepared(folder: Path, train: int = 72, test: int = 30) -> Path:
    arrays = {}
    for split, count, seed in (("train", train, 0), ("test", test, 1)):
        arrays[f"{split}_images.npy"], arrays[f"{split}_labels.npy"] = labelled(count, seed)
    prepared.write_prepared(folder, "classification", arrays, "stripes", classes=("rows", "columns", "plane"))
    return folder


def classify_run(data: Path, model: str = "resnet", *, compute: dict[str, Any] | None = None, **recipe: Any) -> Run:
    values = {"epochs": 2, "batch_size": 24, "warmup_epochs": 1, "augment": "small", **recipe}
    return Run(
        scale="tiny",
        experiment=model,
        dataset="stripes",
        seed=5,
        task="classification",
        model=ModelSpec(name=model, args={"blocks": (1, 1), "width": 8}),
        data=DataSpec(path=str(data)),
        recipe=ClassificationRecipe(**values),
        evaluation=Evaluation(metrics=("top1",)),
        compute=Compute(device="cpu", threads=1, log_every=1, **(compute or {})),
    )
