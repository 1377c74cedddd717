"""Prepares small classification datasets (IDX, CIFAR, npz) as arrays of images and labels."""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from bench.data.array_files import read_idx, read_npz
from bench.data.array_pickle import read_array_pickle
from bench.data.extract import read_members
from bench.data.labels import as_labels, count_classes
from bench.data.limits import Budget, Limits, check_free_space
from bench.data.manifest import Manifest, Split
from bench.data.npy import write_array
from bench.data.prepared import SPLITS, PreparationJob, check_expected, describe_arrays
from bench.data.stored import StoredFile
from bench.data.walk import list_files
from bench.errors import InputError

Arrays = dict[str, np.ndarray]
KEYS = tuple(f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels"))


def prepare_arrays(job: PreparationJob, staging: Path) -> Manifest:
    """Prepare both splits. Images are uint8 [N, H, W, C], zero-padded to the image size; labels are int64 [N]."""
    readers: dict[str, Callable[[PreparationJob], tuple[Arrays, tuple[str, ...] | None]]] = {
        "idx": _read_idx_set,
        "cifar": _read_cifar_set,
        "npz": _read_npz_set,
    }
    arrays, names = readers[job.dataset.layout](job)
    count = _check_arrays(job, arrays, names or job.dataset.class_names)
    for split, wanted in zip(SPLITS, (job.dataset.n, job.dataset.n_test), strict=True):
        check_expected(job, f"{split} images", len(arrays[f"{split}_images"]), wanted)
        if per_class := job.dataset.preparation.per_class:  # keep the first images of each class, in file order
            labels = arrays[f"{split}_labels"]
            firsts = [np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)]
            keep = np.sort(np.concatenate(firsts))
            arrays |= {f"{split}_{kind}": arrays[f"{split}_{kind}"][keep] for kind in ("images", "labels")}
        arrays[f"{split}_images"] = pad(job, arrays[f"{split}_images"])
    names = names or job.dataset.class_names or tuple(str(i) for i in range(count))
    files = {f"{key}.npy": arrays[key] for key in KEYS}
    check_free_space(job.name, sum(array.nbytes for array in files.values()), staging)
    for file, array in files.items():
        write_array(staging / file, array)
    splits = {split: Split(n=len(arrays[f"{split}_labels"])) for split in SPLITS}
    return describe_arrays(job, kind="classification", arrays=files, classes=names, splits=splits)


def pad(job: PreparationJob, images: np.ndarray) -> np.ndarray:
    """Zero-pad images to the image size without resizing. An odd row or column of padding is added at the end."""
    height, width = images.shape[1:3]
    size = job.image_size or max(height, width)
    if size < max(height, width):
        raise InputError(
            f"{job.name}: images have {width}x{height} pixels, more than size {size}, and this dataset is padded, not "
            "resized; use a larger size"
        )
    padded = len(images) * size * size * images.shape[-1]
    limits = Limits.of(images.nbytes, job.max_unpacked_gb)
    Budget(f"{job.name}, padded to {size}x{size} pixels", limits).count_bytes(padded)
    if size == height == width:
        return images
    before = ((size - height) // 2, (size - width) // 2)
    after = (size - height - before[0], size - width - before[1])
    return np.pad(images, ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0)))


def _check_arrays(job: PreparationJob, arrays: Arrays, names: tuple[str, ...] | None) -> int:
    """Check the arrays of both splits, convert labels to int64, and return the number of classes."""
    where = str(job.sources[0])
    for split in SPLITS:
        images = arrays[f"{split}_images"]
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise InputError(f"{where}: {split} images are {images.dtype} {images.shape}, not uint8 [N, H, W, 1 or 3]")
        arrays[f"{split}_labels"] = as_labels(where, split, arrays[f"{split}_labels"], len(images))
        if 0 in images.shape:
            raise InputError(f"{where}: {split} images have no pixels (height x width: {images.shape[1:3]})")
    train, test = (arrays[f"{split}_images"].shape[1:] for split in SPLITS)
    if train != test:
        raise InputError(
            f"{where}: train images are {train} (H, W, channels), but test images are {test}; use one shape for both"
        )
    if names and job.dataset.classes not in (None, len(names)):
        raise InputError(f"{where}: contains {len(names)} class names, but {job.dataset.classes} classes are expected")
    labels = {split: arrays[f"{split}_labels"] for split in SPLITS}
    return count_classes(where, labels, len(names) if names else job.dataset.classes)


def _read_idx_set(job: PreparationJob) -> tuple[Arrays, None]:
    """Read the four files of MNIST's layout from a folder, from one archive, or from separate files."""
    parts = {"train": "train", "t10k": "test"}
    kinds = {"images-idx3-ubyte": "images", "labels-idx1-ubyte": "labels"}
    arrays: Arrays = {}
    names: list[str] = []
    for file in _stored_files(job):
        names.append(file.name)
        for part, split in parts.items():
            for pattern, kind in kinds.items():
                if f"{part}-{pattern}" in file.name:
                    if f"{split}_{kind}" in arrays:
                        raise InputError(
                            f"{job.sources[0]}: {part}-{pattern} occurs twice; keep one, compressed or not"
                        )
                    arrays[f"{split}_{kind}"] = read_idx(file, job.max_unpacked_gb)
    _check_complete(job, arrays, names)
    for split in SPLITS:
        images = arrays[f"{split}_images"]
        arrays[f"{split}_images"] = images[..., None] if images.ndim == 3 else images
    return arrays, None


def _read_cifar_set(job: PreparationJob) -> tuple[Arrays, tuple[str, ...] | None]:
    """Read the Python version of CIFAR-10 or CIFAR-100.

    Each image is a row of 3072 bytes, with one channel plane after another.
    """
    batches: dict[str, dict[bytes, Any]] = {}
    found: list[str] = []
    for file in _stored_files(job):
        found.append(file.name)
        stem = file.name.rsplit("/", 1)[-1]
        if stem in ("train", "test", "meta", "batches.meta", "test_batch") or stem.startswith("data_batch_"):
            if stem in batches:
                raise InputError(f"{job.sources[0]}: {stem} occurs twice; keep one")
            batches[stem] = read_array_pickle(b"".join(file.chunks()), str(file))
    meta = batches.pop("meta", None) or batches.pop("batches.meta", {})
    names = meta.get(b"fine_label_names") or meta.get(b"label_names")
    arrays: Arrays = {}
    for split in SPLITS:
        chosen = [batches[stem] for stem in sorted(batches) if stem.startswith("test") == (split == "test")]
        if chosen:
            arrays |= _cifar_split(job, split, chosen)
    _check_complete(job, arrays, found)
    return arrays, tuple(name.decode() for name in names) if names else None


def _cifar_split(job: PreparationJob, split: str, batches: list[dict[bytes, Any]]) -> Arrays:
    try:
        pixels = np.concatenate([np.asarray(batch[b"data"]) for batch in batches])
        labels = np.concatenate([np.asarray(batch.get(b"fine_labels", batch.get(b"labels"))) for batch in batches])
        images = np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{job.sources[0]}: {split} batches do not have CIFAR's format ({error})") from None
    return {f"{split}_images": images, f"{split}_labels": labels}


def _read_npz_set(job: PreparationJob) -> tuple[Arrays, None]:
    """Read the arrays named in KEYS. Grey images may lack the channel axis; labels may be a column, as in MedMNIST.

    Other arrays, such as val_images, are not used, because held-out training images are used to select the `best`
    weights.
    """
    arrays, found = read_npz(job.sources[0], KEYS, job.max_unpacked_gb)
    _check_complete(job, arrays, found)
    if unused := [key for key in found if key not in KEYS]:
        print(f"{job.sources[0]}: these arrays are not used: {', '.join(unused)}", file=sys.stderr)
    for split in SPLITS:
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        arrays[f"{split}_images"] = images[..., None] if images.ndim == 3 else images
        arrays[f"{split}_labels"] = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    return arrays, None


def _check_complete(job: PreparationJob, arrays: Arrays, names: Iterable[str]) -> None:
    """Raise InputError if the source lacks an array of KEYS. The message lists `names`, the files or arrays found."""
    missing = [key for key in KEYS if key not in arrays]
    if missing:
        has = shorten(", ".join(names) or "nothing", 200, placeholder=" ...")
        raise InputError(
            f"{job.sources[0]}: {', '.join(missing)} not found; it contains {has} (layout {job.dataset.layout})"
        )


def _stored_files(job: PreparationJob) -> Iterator[StoredFile]:
    """Yield every file of the source, which is a folder, an archive or a list of files."""
    for source in job.sources:
        if source.is_dir():
            yield from map(StoredFile.from_path, list_files(source))
        elif len(job.sources) > 1:
            yield StoredFile.from_path(source)
        else:
            yield from read_members(source, job.max_unpacked_gb)
