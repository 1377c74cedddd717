"""Preparing classification sets: small ones as arrays (IDX, CIFAR, npz), ImageNet-like ones as lists of files."""

import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from bench.data.catalogue import Folder
from bench.data.extract import (
    Limits,
    damage_named,
    extract_archive,
    read_array_pickle,
    read_idx,
    read_members,
    read_npz,
)
from bench.data.ilsvrc import unpack_imagenet
from bench.data.images import check_name, check_size, decode, is_litter, list_files, read_header
from bench.data.manifest import Manifest, Split
from bench.data.prepared import PreparationJob, check_expected, describe_arrays
from bench.data.staging import only_maker
from bench.errors import InputError
from bench.files import atomic_file, sha256_bytes

Arrays = dict[str, np.ndarray]
SPLITS = ("train", "test")
KEYS = tuple(f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels"))
SAMPLE_NAME = re.compile(r"((?:.*/)?[^.]+)\.[^/]*")
"""As webdataset groups the members of a shard; what has no dot is no part of a sample."""
IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
MAX_MEMBER_BYTES = 1 << 30
CHECKED_TOGETHER = 64  # images a task of the thread pool


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


def prepare_files(job: PreparationJob, staging: Path) -> Manifest:
    """List an ImageFolder, its images checked, or WebDataset shards; nothing is copied.

    The hash covers names, byte sizes and labels.
    """
    root = _files_root(job)
    second = next((name for name in ("val", "test", "validation") if (root / name).is_dir()), None)
    if not (root / "train").is_dir() or second is None:
        raise InputError(f"{root}: an ImageFolder or shards with train/ and val/ (or test/) are needed")
    shards = any((root / "train").glob("*.tar"))
    if shards and not job.dataset.classes:
        raise InputError(f"{root / 'train'}: shards do not name their classes; unpack them into a folder per class")
    lister = _list_shards if shards else _list_classes
    classes = None if shards else _class_names(root / "train", root / second)
    splits, listing = {}, b""
    for split, folder in zip(SPLITS, ("train", second), strict=True):
        rows = lister(root / folder, classes)
        if not shards:
            _check_images(job, [root / folder / path for path, _, _ in rows])
        text = "".join(f"{path}\t{label}\n" for path, label, _ in rows).encode()
        with atomic_file(staging / f"{split}.tsv") as file:
            file.write(text)
        listing += "".join(f"{split}\t{path}\t{label}\t{size}\n" for path, label, size in rows).encode()
        n = sum(label for _, label, _ in rows) if shards else len(rows)
        check_expected(job, f"{split} images", n, job.dataset.n if split == "train" else job.dataset.n_test)
        splits[split] = Split(n=n, path=folder, files=f"{split}.tsv")
    return Manifest(
        name=job.name,
        title=job.dataset.title,
        task=job.dataset.task,
        kind="folder",
        n=splits["train"].n,
        image_size=job.image_size,
        channels=3,
        sha256=sha256_bytes(listing),
        source_sha256=job.source_sha256,
        made_from=job.made_from,
        preparation=job.dataset.preparation.model_dump(mode="json"),
        licence=job.dataset.licence,
        classes=classes or tuple(str(label) for label in range(job.dataset.classes)),
        splits=splits,
        format="webdataset" if shards else "imagefolder",
        root=str(root.resolve()),
    )


def _check_images(job: PreparationJob, paths: list[Path]) -> None:
    """Refuse the first file that is no image, so that none ends a training.

    A user's images are decoded and have to reach the size; of a published set, which may hold millions and is enlarged
    where its protocol says so, the headers are read.
    """
    own = isinstance(job.dataset.source, Folder)

    def look(part: list[Path]) -> None:
        for path in part:
            header = read_header(path)
            if own:
                check_size(header, job.image_size, job.dataset.preparation)
                decode(path, job.dataset.preparation.background)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        parts = [paths[start : start + CHECKED_TOGETHER] for start in range(0, len(paths), CHECKED_TOGETHER)]
        try:
            for _ in pool.map(look, parts):
                pass
        except InputError:
            pool.shutdown(cancel_futures=True)
            raise


def _files_root(job: PreparationJob) -> Path:
    """The folder with train/ and val/; archives are unpacked once, beside themselves, under the data set's name."""
    if job.sources[0].is_dir():
        return job.sources[0]
    target = job.sources[0].parent / job.name
    if not target.exists():  # it appears only when complete
        with only_maker(target):
            if not target.exists():
                _unpack(job, target)
    inner = [path for path in target.iterdir() if path.is_dir()]
    return inner[0] if len(inner) == 1 else target


def _unpack(job: PreparationJob, target: Path) -> None:
    if job.dataset.layout == "imagenet":
        unpack_imagenet(*job.sources, target)
    else:
        extract_archive(job.sources[0], target, Limits(members=2_000_000, bytes=256 << 30))


def _class_names(train: Path, test: Path) -> tuple[str, ...]:
    names = {folder: tuple(path.name for path in _shown(folder) if path.is_dir()) for folder in (train, test)}
    if not names[train] or names[train] != names[test]:
        differing = sorted(set(names[train]) ^ set(names[test]))[:3]
        raise InputError(f"{test}: classes (sub-folders) differ from {train.name}'s: {', '.join(differing) or 'none'}")
    return names[train]


def _shown(folder: Path) -> list[Path]:
    """What lies in a folder, by name; hidden files and system litter do not count."""
    return sorted(path for path in folder.iterdir() if not is_litter(Path(path.name)))


def _list_classes(folder: Path, classes: tuple[str, ...]) -> list[tuple[str, int, int]]:
    rows = []
    for label, name in enumerate(classes):
        for path in _shown(folder / name):
            if path.suffix.lower() not in IMAGES:
                raise InputError(f"{path}: not an image ({', '.join(sorted(IMAGES))})")
            check_name(path)
            rows.append((f"{name}/{path.name}", label, path.stat().st_size))
    return rows


def _list_shards(folder: Path, _: None) -> list[tuple[str, int, int]]:
    """(shard, number of samples, bytes): a sample is the members that share a name up to its first dot."""
    rows = []
    for path in sorted(folder.glob("*.tar")):
        with damage_named(path):
            matches = (SAMPLE_NAME.fullmatch(member.name) for member in read_members(path))
            samples = {match[1] for match in matches if match}
        rows.append((path.name, len(samples), path.stat().st_size))
    return rows
