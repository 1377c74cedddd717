"""Workload of a run, which is everything that affects the time and memory of a step, and the number of the steps.

Runs with the same workload take the same time, so only one of them is measured. This module does not import torch.
"""

from pathlib import Path
from typing import Any, Literal

from bench.data.catalogue import Dataset
from bench.data.manifest import MANIFEST
from bench.files import read_mapping, sha256_json
from bench.run import ClassificationRecipe, FewShotRecipe, OneShotRecipe, Run
from bench.schema import Strict, Task

Part = Literal["prepare", "train", "score"]
STEP_KEYS: dict[str, tuple[str, ...]] = {
    "fewshot": ("batch_size", "augment", "flip", "perceptual", "decoder_scaled"),
    "oneshot": ("critic_steps", "generator_steps", "min_size", "max_size", "scale_factor"),
    "classification": ("batch_size", "optimiser", "mixup", "cutmix", "augment"),
}
"""Keys of a recipe that change the time or memory of one step."""
CLASS_CROP = 224
"""Side in pixels of the training crops of images in class folders, if preparation does not resize the images."""
FOLDERS = ("imagefolder", "imagenet")
"""Layouts whose images are decoded during training."""


class Images(Strict):
    """Number and shape of a dataset's images. A number is None if it is not known before the dataset is prepared.

    `files`: whether images are decoded from files in each step. Otherwise they are arrays on the device.
    """

    train: int | None
    test: int | None
    channels: int
    classes: int | None
    files: bool


class Workload(Strict):
    """Preparation, training or scoring with one network, image size and precision."""

    part: Part
    task: Task
    name: str
    """Name for display: experiment, dataset layout or number of metrics. It is not part of `key`."""
    image_size: int | None
    batch_size: int | None = None
    precision: str = "float32"
    compile: bool = False
    threads: int | None = None
    details: dict[str, Any]
    """All other values that change the cost."""

    @property
    def key(self) -> str:
        """Return 12 hexadecimal digits that identify the workload in benchmarks/throughput/DEVICE.csv."""
        return sha256_json(self.model_dump(mode="json", exclude={"name"}))[:12]

    @property
    def title(self) -> str:
        size = f"{self.image_size} px" if self.image_size else "original size"
        kind = f", {self.precision}{', compiled' if self.compile else ''}" if self.part == "train" else ""
        return f"{self.part} {self.task} {self.name}, {size}{kind}"


def images_of(run: Run, dataset: Dataset) -> Images:
    """Return number and shape of a run's images, from its prepared dataset if that exists, else from the catalogue."""
    manifest = read_mapping(Path(run.data.path) / MANIFEST)
    if manifest.get("arrays") or manifest.get("splits"):
        test = ((manifest.get("splits") or {}).get("test") or {}).get("n")
        classes = len(manifest.get("classes") or ()) or dataset.classes
        train, channels = manifest.get("n"), manifest.get("channels") or 3
    else:
        per_class, classes = dataset.preparation.per_class, dataset.classes
        limited = per_class * classes if per_class and classes else None
        train, test = limited or dataset.n, limited or dataset.n_test
        channels = 1 if dataset.layout == "idx" else 3
    return Images(train=train, test=test, channels=channels, classes=classes, files=dataset.layout in FOLDERS)


def training_workload(run: Run, images: Images) -> Workload:
    recipe = run.recipe.model_dump(mode="json")
    args = {key: value for key, value in run.model.args.items() if key != "image_size"}
    data = {"channels": images.channels, "classes": images.classes, "files": images.files}
    return Workload(
        part="train",
        task=run.task,
        name=run.experiment,
        image_size=image_size_of(run),
        batch_size=recipe.get("batch_size"),
        precision=run.compute.precision,
        compile=run.compute.compile,
        threads=run.compute.threads,
        details={
            "network": run.model.name,
            "args": args,
            "recipe": {key: recipe[key] for key in STEP_KEYS[run.task]},
            "device": run.compute.device,
            "cuda_graphs": run.compute.cuda_graphs,
            **(data if run.task == "classification" else {}),
        },
    )


def scoring_workload(run: Run, images: Images) -> Workload:
    """Return the workload of scoring. Scoring is measured with only one network per task and size.

    The scored network hardly affects the time, because feature extractors need most of it.
    """
    evaluation = run.evaluation.model_dump(mode="json")
    data = {"channels": images.channels, "classes": images.classes, "files": images.files}
    return Workload(
        part="score",
        task=run.task,
        name=f"{len(evaluation['metrics'])} metrics",
        image_size=image_size_of(run),
        batch_size=evaluation["batch_size"],
        threads=run.compute.threads,
        details={
            "metrics": evaluation["metrics"],
            "device": run.compute.device,
            **(data if run.task == "classification" else {}),
        },
    )


def preparation_workload(run: Run, dataset: Dataset) -> Workload:
    return Workload(
        part="prepare",
        task=run.task,
        name=dataset.layout,
        image_size=run.data.image_size,
        details={"layout": dataset.layout, "source_size": dataset.size, "fit": dataset.preparation.fit},
    )


def image_size_of(run: Run) -> int:
    """Return the side in pixels of the network's input images. A one-shot image is assumed to be square."""
    if isinstance(run.recipe, OneShotRecipe):
        return run.recipe.max_size
    return run.data.image_size or CLASS_CROP


def steps_of(run: Run, images: Images, scales: int = 1) -> int | None:
    """Return the number of training steps, or None if the number of images is not known.

    `scales`: number of pyramid scales of a one-shot network.
    """
    recipe = run.recipe
    if isinstance(recipe, FewShotRecipe):
        return recipe.steps
    if isinstance(recipe, OneShotRecipe):
        return recipe.epochs_per_scale * scales
    return None if images.train is None else recipe.epochs * ((images.train - recipe.holdout) // recipe.batch_size)


def scored_images(run: Run, images: Images) -> int | None:
    """Return the number of images that are generated or classified to score a run; None if it is not known."""
    recipe, n_fake = run.recipe, run.evaluation.n_fake
    if isinstance(recipe, FewShotRecipe):
        # images from the last and untrained weights; with snapshots also from each snapshot and the best weights
        return (n_fake or 0) * (2 + (recipe.snapshots + 1 if recipe.snapshots else 0))
    if isinstance(recipe, OneShotRecipe):
        return n_fake or recipe.n_samples
    return None if images.test is None else images.test * (2 if recipe.holdout else 1)


def selection_images(run: Run) -> int:
    """Return the number of held-out images that a classification run classifies during training."""
    recipe = run.recipe
    return recipe.epochs * recipe.holdout if isinstance(recipe, ClassificationRecipe) else 0
