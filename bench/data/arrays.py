"""Preparing small classification sets (IDX, CIFAR, npz) as arrays of images and labels."""

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from bench.data.array_files import read_array_pickle, read_idx, read_npz
from bench.data.extract import damage_named, read_members
from bench.data.images import list_files
from bench.data.manifest import Manifest, Split
from bench.data.prepared import SPLITS, PreparationJob, check_expected, describe_arrays
from bench.errors import InputError

Arrays = dict[str, np.ndarray]
KEYS = tuple(f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels"))
MAX_MEMBER_BYTES = 1 << 30


def prepare_arrays(job: PreparationJob, staging: Path) -> Manifest:
    """uint8 images [N, H, W, C] and int64 labels [N] of both splits, padded with zeros to the image size."""
    readers: dict[str, Callable[[PreparationJob], tuple[Arrays, tuple[str, ...] | None]]] = {
        "idx": _read_idx_set,
        "cifar": _read_cifar_set,
        "npz": _read_npz_set,
    }
    arrays, names = readers[job.dataset.layout](job)
    for split, wanted in zip(SPLITS, (job.dataset.n, job.dataset.n_test), strict=True):
        _check_split(job, arrays, split)
        check_expected(job, f"{split} images", len(arrays[f"{split}_images"]), wanted)
        if per_class := job.dataset.preparation.per_class:  # the first of each class, in the order of the set
            labels = arrays[f"{split}_labels"]
            firsts = [np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)]
            keep = np.sort(np.concatenate(firsts))
            arrays |= {f"{split}_{kind}": arrays[f"{split}_{kind}"][keep] for kind in ("images", "labels")}
        arrays[f"{split}_images"] = pad(job, arrays[f"{split}_images"])
    count = int(max(arrays[f"{split}_labels"].max() for split in SPLITS)) + 1
    count = max(count, job.dataset.classes or 0)
    names = names or job.dataset.class_names or tuple(str(i) for i in range(count))
    if len(names) != count:
        raise InputError(f"{job.name}: labels up to {count - 1}, but {len(names)} class names")
    files = {f"{key}.npy": arrays[key] for key in KEYS}
    for file, array in files.items():
        np.save(staging / file, array)
    splits = {split: Split(n=len(arrays[f"{split}_labels"])) for split in SPLITS}
    return describe_arrays(job, kind="classification", arrays=files, classes=names, splits=splits)


def pad(job: PreparationJob, images: np.ndarray) -> np.ndarray:
    """Zeros around the images up to the image size, the odd one at the end; no resizing."""
    height, width = images.shape[1:3]
    size = job.image_size or max(height, width)
    if size < max(height, width):
        raise InputError(f"{job.name}: images of {width}x{height} are padded, never shrunk, to {size} pixels")
    before = ((size - height) // 2, (size - width) // 2)
    after = (size - height - before[0], size - width - before[1])
    return np.pad(images, ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0)))


def _check_split(job: PreparationJob, arrays: Arrays, split: str) -> None:
    images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise InputError(f"{job.name}: {split} images are {images.dtype} {images.shape}, not uint8 [N, H, W, 1 or 3]")
    if labels.ndim != 1 or len(labels) != len(images) or not np.issubdtype(labels.dtype, np.integer):
        found = f"labels are {labels.dtype} {labels.shape}, not a class number each"
        raise InputError(f"{job.name}: {len(images)} {split} images, but {found}")
    if len(labels) == 0 or labels.min() < 0 or (job.dataset.classes and labels.max() >= job.dataset.classes):
        raise InputError(f"{job.name}: {split} labels are empty or outside 0..{(job.dataset.classes or 0) - 1}")
    arrays[f"{split}_labels"] = labels.astype(np.int64)


def _read_idx_set(job: PreparationJob) -> tuple[Arrays, None]:
    """The four files of MNIST's layout, in a folder, in one archive, or each by itself."""
    parts = {"train": "train", "t10k": "test"}
    kinds = {"images-idx3-ubyte": "images", "labels-idx1-ubyte": "labels"}
    arrays: Arrays = {}
    names: list[str] = []
    for name, content in _contents(job):
        names.append(name)
        for part, split in parts.items():
            for mark, kind in kinds.items():
                if f"{part}-{mark}" in name:
                    arrays[f"{split}_{kind}"] = read_idx(content, MAX_MEMBER_BYTES)
    _check_complete(job, arrays, names)
    for split in SPLITS:
        images = arrays[f"{split}_images"]
        arrays[f"{split}_images"] = images[..., None] if images.ndim == 3 else images
    return arrays, None


def _read_cifar_set(job: PreparationJob) -> tuple[Arrays, tuple[str, ...] | None]:
    """The Python version of CIFAR-10 and CIFAR-100: rows of 3072 bytes, channel planes one after another."""
    batches: dict[str, dict[bytes, Any]] = {}
    found: list[str] = []
    for name, content in _contents(job):
        found.append(name)
        stem = name.rsplit("/", 1)[-1]
        if stem in ("train", "test", "meta", "batches.meta", "test_batch") or stem.startswith("data_batch_"):
            batches[stem] = read_array_pickle(content.read(), name)
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
    except (KeyError, ValueError) as error:
        raise InputError(f"{job.sources[0]}: {split} batches are not CIFAR's ({error})") from None
    return {f"{split}_images": images, f"{split}_labels": labels}


def _read_npz_set(job: PreparationJob) -> tuple[Arrays, None]:
    """The four arrays of KEYS; grey images may lack the channel axis, labels may be a column, as in MedMNIST.

    Other arrays, such as val_images, are left out: `best` weights are selected on a part of the training images.
    """
    arrays = read_npz(job.sources[0])
    _check_complete(job, arrays, arrays)
    if unused := [key for key in arrays if key not in KEYS]:
        print(f"{job.sources[0]}: not used: {', '.join(unused)}", file=sys.stderr)
    for split in SPLITS:
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        arrays[f"{split}_images"] = images[..., None] if images.ndim == 3 else images
        arrays[f"{split}_labels"] = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    return arrays, None


def _check_complete(job: PreparationJob, arrays: Arrays, names: Iterable[str]) -> None:
    """Refuse a source that lacks one of KEYS; `names` are what it has, as its reader calls them."""
    missing = [key for key in KEYS if key not in arrays]
    if missing:
        has = shorten(", ".join(names) or "nothing", 200, placeholder=" ...")
        raise InputError(
            f"{job.sources[0]}: {', '.join(missing)} not found; it has {has} (layout {job.dataset.layout})"
        )


def _contents(job: PreparationJob) -> Iterator[tuple[str, Any]]:
    """(name, open file) of every file of the source: folder, archive, or single files."""
    for source in job.sources:
        if source.is_dir():
            for path in list_files(source):
                yield path.name, path
        elif len(job.sources) > 1:
            yield source.name, source
        else:
            with damage_named(source):
                yield from _members(source)


def _members(source: Path) -> Iterator[tuple[str, Any]]:
    for member in read_members(source):
        with member.open() as file:
            data = file.read(MAX_MEMBER_BYTES + 1)
        if len(data) > MAX_MEMBER_BYTES:
            raise InputError(f"{source}: member {member.name} is larger than {MAX_MEMBER_BYTES} bytes")
        content = io.BytesIO(data)
        content.name = f"{source}:{member.name}"
        yield member.name, content
