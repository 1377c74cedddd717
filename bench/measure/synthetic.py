"""Writes synthetic datasets in the form of a real dataset: prepared data, or files to prepare."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.data.manifest import Manifest, Split, write_manifest
from bench.data.prepared import content_hash
from bench.measure.probe import Probe
from bench.workload import image_size_of

PHOTOGRAPH = (500, 375)
"""Width and height of the images in class folders, the most frequent size in ImageNet."""
MAX_FEWSHOT = 32
MIN_PER_CLASS = 2


def write_prepared(folder: Path, probe: Probe, test_images: int) -> None:
    """Write the prepared dataset of a run: images of its size, or class folders if the run decodes files."""
    random, run, images = np.random.default_rng(0), probe.run, probe.images
    size, batch = image_size_of(run), getattr(run.recipe, "batch_size", 1)
    folder.mkdir(parents=True)
    if run.task != "classification":
        count = 1 if run.task == "oneshot" else max(batch, min(images.train or MAX_FEWSHOT, MAX_FEWSHOT))
        _write_arrays(folder, probe, {"images.npy": random.integers(0, 256, (count, size, size, 3), dtype=np.uint8)})
        return
    classes = images.classes or 10
    train = images.train or 2 * batch
    if images.files:
        _write_class_folders(folder, probe, classes, {"train": 2 * batch, "test": test_images})
        return
    arrays: dict[str, np.ndarray] = {}
    for split, count in (("train", train), ("test", test_images)):
        arrays[f"{split}_images.npy"] = random.integers(0, 256, (count, size, size, images.channels), dtype=np.uint8)
        arrays[f"{split}_labels.npy"] = np.arange(count) % classes
    _write_arrays(folder, probe, arrays)


def _write_arrays(folder: Path, probe: Probe, arrays: dict[str, np.ndarray]) -> None:
    for file, array in arrays.items():
        np.save(folder / file, array)
    labelled = probe.run.task == "classification"
    shape = next(iter(arrays.values())).shape
    counts = {split: len(arrays[f"{split}_labels.npy"]) for split in ("train", "test")} if labelled else {}
    _write_manifest(
        folder,
        probe,
        kind="classification" if labelled else "images",
        n=shape[0],
        image_size=shape[1],
        channels=shape[3],
        sha256=content_hash(arrays),
        splits={split: Split(n=count) for split, count in counts.items()} or None,
        arrays={file: array.shape for file, array in arrays.items()},
    )


def _write_class_folders(folder: Path, probe: Probe, classes: int, counts: dict[str, int]) -> None:
    """Write JPEG files. The files of a split are in one folder, and their labels are in a list of files."""
    splits = {}
    for split, count in counts.items():
        names = write_images(folder / split, count, PHOTOGRAPH, ".jpg")
        rows = [f"{name}\t{index % classes}" for index, name in enumerate(names)]
        (folder / f"{split}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        splits[split] = Split(n=count, path=split, files=f"{split}.tsv")
    _write_manifest(
        folder,
        probe,
        kind="folder",
        format="imagefolder",
        n=counts["train"],
        image_size=None,
        channels=3,
        sha256="0" * 64,
        classes=tuple(f"class{number}" for number in range(classes)),
        splits=splits,
        root=str(folder),
    )


def _write_manifest(folder: Path, probe: Probe, **fields: Any) -> None:
    manifest = Manifest(
        name="synthetic", title="synthetic", task=probe.run.task, preparation={}, licence="none", **fields
    )
    write_manifest(folder, manifest)


def write_images(folder: Path, count: int, size: Sequence[int], suffix: str) -> list[str]:
    """Write `count` different images of `size` (width, height) and return their names.

    The pixels are smooth, because random pixels would make the files larger than files of photographs.
    """
    folder.mkdir(parents=True)
    random, names = np.random.default_rng(1), [f"{index:05d}{suffix}" for index in range(count)]
    for name in names:
        coarse = Image.fromarray(random.integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3), dtype=np.uint8))
        coarse.resize((size[0], size[1]), Image.Resampling.BICUBIC).save(folder / name)
    return names


def write_source(folder: Path, probe: Probe, count: int) -> Path:
    """Write about `count` images to prepare, in the layout of the dataset. Returns the path of the source."""
    size = probe.source_size
    if probe.run.task != "classification":
        write_images(folder, count, (size, size), ".png")
        return folder
    if probe.images.files:
        for split in ("train", "val"):
            for label in range(2):
                write_images(folder / split / f"class{label}", max(MIN_PER_CLASS, count // 2), PHOTOGRAPH, ".jpg")
        return folder
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split in ("train", "test"):
        arrays[f"{split}_images"] = random.integers(0, 256, (count, size, size, probe.images.channels), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(count) % 10
    folder.mkdir(parents=True)
    np.savez(folder / "source.npz", **arrays)
    return folder / "source.npz"
