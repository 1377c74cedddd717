"""Creates runs for the benchmarks, which train the real networks with the real recipes on random pixels."""

from pathlib import Path
from typing import Any

import numpy as np

from bench.run import ClassificationRecipe, Compute, DataSpec, Evaluation, FewShotRecipe, ModelSpec, Run
from reference.prepared import write_prepared

CLASSES = 10
EVALUATION = Evaluation(metrics=("params",))


def fewshot_run(folder: Path, size: int, base_channels: int, batch_size: int, **compute: Any) -> Run:
    """Return a run of fastgan-slim. At 256 px it is the network of the paper, at 64 px the network of the demo."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, size, size, 3), dtype=np.uint8)
    write_prepared(folder, "fewshot", {"images.npy": pixels}, "random")
    pairs = {"pairs": (64,)} if size == 64 else {}
    return Run(
        scale="bench",
        experiment="fastgan-slim",
        dataset="random",
        seed=0,
        task="fewshot",
        model=ModelSpec(name="fastgan-slim", args={"image_size": size, "base_channels": base_channels, **pairs}),
        data=DataSpec(path=str(folder), image_size=size),
        recipe=FewShotRecipe(steps=1000, batch_size=batch_size, perceptual="efflite0", decoder_scaled=size == 64),
        evaluation=EVALUATION,
        compute=Compute(**compute),
    )


def classification_run(folder: Path, count: int, batch_size: int, **compute: Any) -> Run:
    """Return a run of a small SLIM-ResNet on `count` greyscale images of 32 px with flips, shifts and mixup."""
    random = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "test"):
        arrays[f"{split}_images.npy"] = random.integers(0, 256, (count, 32, 32, 1), dtype=np.uint8)
        arrays[f"{split}_labels.npy"] = random.integers(0, CLASSES, count)
    write_prepared(folder, "classification", arrays, "random", classes=tuple("abcdefghij"))
    return Run(
        scale="bench",
        experiment="slim-resnet",
        dataset="random",
        seed=0,
        task="classification",
        model=ModelSpec(name="slim-resnet", args={"width": 16}),
        data=DataSpec(path=str(folder), image_size=32),
        recipe=ClassificationRecipe(epochs=1000, batch_size=batch_size, augment="small", mixup=0.2),
        evaluation=EVALUATION,
        compute=Compute(**compute),
    )
