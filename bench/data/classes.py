"""Prepares large classification datasets, which are class folders or WebDataset shards, as lists of files."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.data.class_folders import (
    Row,
    check_images,
    has_note,
    list_class_folders,
    pixel_settings,
    split_folders,
)
from bench.data.images import Header, collect_notes, print_notes
from bench.data.labels import count_classes
from bench.data.manifest import Manifest, Split
from bench.data.prepared import SPLITS, PreparationJob, check_expected
from bench.data.shard_files import list_shards
from bench.data.unpacking import source_folder
from bench.errors import InputError
from bench.files import sha256_bytes, sha256_file, write_bytes


@dataclass(frozen=True)
class SplitListing:
    """Files and number of images of each split, and class names.

    The hash of the prepared dataset also covers `hashed_settings`.
    """

    rows: dict[str, list[Row]]
    counts: dict[str, int]
    classes: tuple[str, ...]
    hashed_settings: bytes = b""


def prepare_files(job: PreparationJob, staging: Path) -> Manifest:
    """List the files of an ImageFolder or of WebDataset shards without copying them, and check an ImageFolder's images.

    The hash covers names, byte sizes and labels. For shards and a user's own images, the hash also covers the content.
    For an ImageFolder with transparent or rotated images, the hash also covers how these images are treated.
    """
    with source_folder(job) as root:
        return _prepare_folder(job, root, staging)


def _prepare_folder(job: PreparationJob, root: Path, staging: Path) -> Manifest:
    folders = {split: root / name for split, name in split_folders(root).items()}
    shards = any(folders["train"].glob("*.tar"))
    list_split = _list_shards if shards else _list_class_folders
    found = list_split(job, folders)
    rows, counts, listing = found.rows, found.counts, b""
    for split, wanted in zip(SPLITS, (job.dataset.n, job.dataset.n_test), strict=True):
        text = "".join(f"{path}\t{number}\n" for path, number, _ in rows[split]).encode()
        write_bytes(staging / f"{split}.tsv", text)
        listing += "".join(f"{split}\t{path}\t{number}\t{size}\n" for path, number, size in rows[split]).encode()
        check_expected(job, f"{split} images", counts[split], wanted)
    if shards or job.dataset.folder is not None:
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
        sha256=sha256_bytes(listing + found.hashed_settings),
        source_sha256=job.source_sha256,
        made_from=job.made_from,
        preparation=job.dataset.preparation.model_dump(mode="json"),
        licence=job.dataset.licence,
        classes=found.classes,
        splits={
            split: Split(n=counts[split], path=folder.name, files=f"{split}.tsv") for split, folder in folders.items()
        },
        format="webdataset" if shards else "imagefolder",
        root=str(root.resolve()),
    )


def _list_shards(job: PreparationJob, folders: dict[str, Path]) -> SplitListing:
    if not job.dataset.classes:
        raise InputError(f"{folders['train']}: shards contain no class names; unpack them into a folder per class")
    rows, labels = {}, {}
    for split, folder in folders.items():
        rows[split], labels[split] = list_shards(folder, split, job.max_unpacked_gb)
    count_classes(str(folders["train"].parent), labels, job.dataset.classes)
    counts = {split: len(labels[split]) for split in folders}
    return SplitListing(rows, counts, tuple(map(str, range(job.dataset.classes))))


def _list_class_folders(job: PreparationJob, folders: dict[str, Path]) -> SplitListing:
    """List the files of each split and check every image, so that training never fails on an invalid image.

    A user's own images are decoded completely. A published dataset may contain millions of images, so only their
    headers are read.
    """
    root = folders["train"].parent
    found = list_class_folders(root)
    if found.problems:
        raise found.problems[0]
    check_expected(job, "classes", len(found.classes), job.dataset.classes)
    noted: list[Header] = []
    inspect = (lambda image: None) if job.dataset.folder is not None else None
    for split in SPLITS:
        for checked in check_images(found.paths(split), job.image_size, job.dataset, inspect):
            if isinstance(checked, InputError):
                raise checked
            if has_note(checked[0]):
                noted.append(checked[0])
    counts = {split: len(rows) for split, rows in found.rows.items()}
    print_notes([*found.notes, *collect_notes(noted, root, sum(counts.values()))])
    return SplitListing(found.rows, counts, found.classes, pixel_settings(noted, job.dataset))
