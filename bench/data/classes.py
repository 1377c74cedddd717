"""Preparing ImageNet-like classification sets as lists of files: class folders, or WebDataset shards."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.data.catalogue import Folder
from bench.data.images import check_name, check_size, decode, is_litter, read_header
from bench.data.labels import count_classes
from bench.data.manifest import Manifest, Split
from bench.data.prepared import SPLITS, PreparationJob, check_expected
from bench.data.shard_files import list_shards
from bench.data.unpacking import source_folder
from bench.errors import InputError
from bench.files import sha256_bytes, sha256_file, write_bytes

IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
CHECKED_TOGETHER = 64  # images a task of the thread pool

Rows = list[tuple[str, int, int]]
"""Of each image: path below its split, label, bytes; of each shard: path, number of samples, bytes."""
Listed = tuple[dict[str, Rows], dict[str, int], tuple[str, ...]]
"""Rows and number of images of each split, and the names of the classes."""


def prepare_files(job: PreparationJob, staging: Path) -> Manifest:
    """List an ImageFolder, its images checked, or WebDataset shards; nothing is copied.

    The hash covers names, byte sizes and labels; of shards and of a user's own images also the content.
    """
    root = source_folder(job)
    second = next((name for name in ("val", "test", "validation") if (root / name).is_dir()), None)
    if not (root / "train").is_dir() or second is None:
        raise InputError(f"{job.sources[0]}: an ImageFolder or shards with train/ and val/ (or test/) are needed")
    folders = {"train": root / "train", "test": root / second}
    shards = any(folders["train"].glob("*.tar"))
    list_split = _list_shards if shards else _list_class_folders
    rows, counts, classes = list_split(job, folders)
    listing = b""
    for split, wanted in zip(SPLITS, (job.dataset.n, job.dataset.n_test), strict=True):
        text = "".join(f"{path}\t{number}\n" for path, number, _ in rows[split]).encode()
        write_bytes(staging / f"{split}.tsv", text)
        listing += "".join(f"{split}\t{path}\t{number}\t{size}\n" for path, number, size in rows[split]).encode()
        check_expected(job, f"{split} images", counts[split], wanted)
    if shards or isinstance(job.dataset.source, Folder):
        paths = [folders[split] / path for split in SPLITS for path, _, _ in rows[split]]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            listing += "\n".join(pool.map(sha256_file, paths)).encode()
    return Manifest(
        name=job.name,
        title=job.dataset.title,
        task=job.dataset.task,
        kind="folder",
        n=counts["train"],
        image_size=job.image_size,
        channels=3,
        sha256=sha256_bytes(listing),
        source_sha256=job.source_sha256,
        made_from=job.made_from,
        preparation=job.dataset.preparation.model_dump(mode="json"),
        licence=job.dataset.licence,
        classes=classes,
        splits={
            split: Split(n=counts[split], path=folder.name, files=f"{split}.tsv") for split, folder in folders.items()
        },
        format="webdataset" if shards else "imagefolder",
        root=str(root.resolve()),
    )


def _list_shards(job: PreparationJob, folders: dict[str, Path]) -> Listed:
    if not job.dataset.classes:
        raise InputError(f"{folders['train']}: shards do not name their classes; unpack them into a folder per class")
    rows, labels = {}, {}
    for split, folder in folders.items():
        rows[split], labels[split] = list_shards(folder, split, job.max_unpacked_gb)
    count_classes(str(folders["train"].parent), labels, job.dataset.classes)
    counts = {split: len(labels[split]) for split in folders}
    return rows, counts, tuple(map(str, range(job.dataset.classes)))


def _list_class_folders(job: PreparationJob, folders: dict[str, Path]) -> Listed:
    classes = _class_names(*folders.values())
    check_expected(job, "classes", len(classes), job.dataset.classes)
    rows = {split: _list_classes(folder, classes) for split, folder in folders.items()}
    filled = {label for _, label, _ in rows["train"]}
    if len(filled) < len(classes):
        empty = ", ".join(name for label, name in enumerate(classes) if label not in filled)
        raise InputError(f"{folders['train']}: no images in {empty}; add some, or remove these folders from all splits")
    if not rows["test"]:
        raise InputError(f"{folders['test']}: no images in any class; a test set is needed")
    for split, folder in folders.items():
        _check_images(job, [folder / path for path, _, _ in rows[split]])
    return rows, {split: len(rows[split]) for split in rows}, classes


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


def _class_names(train: Path, test: Path) -> tuple[str, ...]:
    names = {folder: tuple(path.name for path in _shown(folder) if path.is_dir()) for folder in (train, test)}
    if not names[train] or names[train] != names[test]:
        differing = sorted(set(names[train]) ^ set(names[test]))[:3]
        raise InputError(f"{test}: classes (sub-folders) differ from {train.name}'s: {', '.join(differing) or 'none'}")
    return names[train]


def _shown(folder: Path) -> list[Path]:
    """What lies in a folder, by name; hidden files and system litter do not count."""
    return sorted(path for path in folder.iterdir() if not is_litter(Path(path.name)))


def _list_classes(folder: Path, classes: tuple[str, ...]) -> Rows:
    rows = []
    for label, name in enumerate(classes):
        for path in _shown(folder / name):
            if path.suffix.lower() not in IMAGES:
                raise InputError(f"{path}: not an image ({', '.join(sorted(IMAGES))})")
            check_name(path)
            rows.append((f"{name}/{path.name}", label, path.stat().st_size))
    return rows
