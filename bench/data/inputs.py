"""Opens the training data of a classification run (batches, held-out images and statistics)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bench.data.augment import IMAGENET, BatchRows, Statistics, measure_statistics
from bench.data.batches import Batches, BatchPlan, File, MemoryBatches
from bench.data.datasets import load_file_list, load_split
from bench.data.images import WHITE, Colour
from bench.data.loaders import FolderBatches, evaluation_batches
from bench.data.manifest import Manifest, read_manifest
from bench.errors import InputError
from bench.run import Run
from bench.runtime.rng import generator


@dataclass(frozen=True)
class Inputs:
    """Training data of a classification run. `holdout`: images (uint8) and labels that are excluded from training."""

    batches: Batches
    holdout: tuple[Tensor, Tensor] | None
    statistics: Statistics
    channels: int
    classes: int


def open_inputs(run: Run, device: torch.device, rows: BatchRows) -> Inputs:
    folder = run.data_folder
    manifest = read_manifest(folder)
    plan = BatchPlan(rows, run.seed, device)
    if manifest.kind == "classification":
        return _arrays(run, manifest, plan)
    if manifest.kind == "folder" and manifest.format == "webdataset":
        return _shards(run, manifest, plan)
    if manifest.kind == "folder":
        return _files(run, manifest, plan)
    raise InputError(f"{folder}: contains unlabelled images, but a classifier needs labels")


def _arrays(run: Run, manifest: Manifest, plan: BatchPlan) -> Inputs:
    images, labels = load_split(run.data_folder, "train")
    classes = network_classes(run.data_folder, manifest, labels)
    training, held_out = split_holdout(labels, run.recipe.holdout, run.seed)
    holdout = (images[held_out].to(plan.device), labels[held_out].to(plan.device)) if len(held_out) else None
    batches = MemoryBatches(images[training], labels[training], plan, run.dataset)
    return Inputs(batches, holdout, measure_statistics(images[training]), images.shape[1], classes)


def network_classes(folder: Path, manifest: Manifest, labels: Tensor) -> int:
    """Return the number of classes. Raises InputError for labels out of range.

    Otherwise the loss would raise an error that does not name the dataset.
    """
    lowest, highest = int(labels.min()), int(labels.max())
    classes = len(manifest.classes) if manifest.classes else highest + 1
    if lowest < 0 or highest >= classes:
        raise InputError(
            f"{folder}: training labels range from {lowest} to {highest}, but manifest.json has {classes} classes; "
            "delete the folder and prepare it again"
        )
    return classes


def _files(run: Run, manifest: Manifest, plan: BatchPlan) -> Inputs:
    files = list_split(run.data_folder, manifest, "train")
    labels = torch.tensor([label for _, label in files])
    training, held_out = split_holdout(labels, run.recipe.holdout, run.seed)
    size, crop = run.data.image_size or 224, run.recipe.augment == "imagenet"
    training_files, background = [files[i] for i in training.tolist()], background_of(manifest)
    batches = FolderBatches(training_files, size, plan, crop=crop, source=run.dataset, background=background)
    classes = network_classes(run.data_folder, manifest, labels)
    return Inputs(batches, _decoded([files[i] for i in held_out.tolist()], size, manifest), IMAGENET, 3, classes)


def _shards(run: Run, manifest: Manifest, plan: BatchPlan) -> Inputs:
    from bench.data.shards import ShardBatches

    if not manifest.classes:
        raise InputError(f"{run.data_folder}/manifest.json: splits of shards must list their classes")
    training, held_out = split_shards(list_split(run.data_folder, manifest, "train"), run.recipe.holdout)
    size, crop = run.data.image_size or 224, run.recipe.augment == "imagenet"
    batches = ShardBatches(training, size, plan, crop=crop, source=run.dataset, background=background_of(manifest))
    return Inputs(batches, _decoded(held_out, size, manifest), IMAGENET, 3, len(manifest.classes))


def _decoded(files: list[File], size: int, manifest: Manifest) -> tuple[Tensor, Tensor] | None:
    """Return the centre-cropped held-out images, uint8 [N, 3, size, size], and their labels, both on the CPU."""
    if not files:
        return None
    parts = list(evaluation_batches(files, size, 64, background_of(manifest)))
    return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])


def background_of(manifest: Manifest) -> Colour:
    """Return the background colour of transparent pixels, which the preparation has recorded in the manifest."""
    red, green, blue = manifest.preparation.get("background", WHITE)
    return red, green, blue


def list_split(folder: Path, manifest: Manifest, split: str) -> list[File]:
    """Return the image files of a split with their labels, or its shards with their numbers of samples."""
    if split not in (manifest.splits or {}):
        raise InputError(f"{folder}/manifest.json: no split {split!r}")
    paths, numbers = load_file_list(folder, split)
    return list(zip(map(str, paths), numbers, strict=True))


def split_shards(shards: list[File], count: int) -> tuple[list[File], list[File]]:
    """Return (kept, held) shards. The fewest last shards with at least `count` samples are held out."""
    training, held_out = list(shards), []
    while sum(number for _, number in held_out) < count and training:
        held_out.append(training.pop())
    if not training:
        raise InputError(f"recipe.holdout {count} leaves none of the {len(shards)} training shards")
    return training, held_out[::-1]


def split_holdout(labels: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return indices (kept, held). The `count` held-out images are drawn with `seed` and stratified by class."""
    if count >= len(labels):
        raise InputError(f"recipe.holdout {count} leaves none of the {len(labels)} training images")
    shuffled = torch.randperm(len(labels), generator=generator("cpu", seed, "holdout"))
    shuffled = shuffled[labels[shuffled].argsort(stable=True)]  # sorted by class, in random order within a class
    positions = (torch.arange(count) * len(labels)) // max(1, count)  # evenly spaced over the sorted classes
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    held_out[shuffled[positions]] = True
    return (~held_out).nonzero()[:, 0], held_out.nonzero()[:, 0]
