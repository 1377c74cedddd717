"""Preparing ImageNet-like classification sets as lists of files: class folders, or WebDataset shards."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.data.catalogue import Folder
from bench.data.extract import Limits, damage_named, extract_archive, read_members
from bench.data.ilsvrc import unpack_imagenet
from bench.data.images import check_name, check_size, decode, is_litter, read_header
from bench.data.manifest import Manifest, Split
from bench.data.prepared import SPLITS, PreparationJob, check_expected
from bench.data.staging import only_maker
from bench.errors import InputError
from bench.files import atomic_file, sha256_bytes

SAMPLE_NAME = re.compile(r"((?:.*/)?[^.]+)\.[^/]*")
"""As webdataset groups the members of a shard; what has no dot is no part of a sample."""
IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
CHECKED_TOGETHER = 64  # images a task of the thread pool


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
