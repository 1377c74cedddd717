"""Reads an ImageFolder, which has train/ and val/ (or test/) with one folder per class.

Class folders may have subfolders.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from PIL import Image

from bench.data.catalogue import Dataset
from bench.data.fit import check_size
from bench.data.images import NOTES, Header, decoded, read_header
from bench.data.prepared import SPLITS
from bench.data.walk import Listing, is_system_file, walk
from bench.errors import InputError

TEST_FOLDERS = ("val", "test", "validation")
IMAGES_PER_TASK = 64  # images per task of the thread pool
T = TypeVar("T")
Row = tuple[str, int, int]
"""Path relative to the folder of the split, label, and size in bytes."""


@dataclass
class ClassFolders:
    """The labelled images of both splits, and all problems found in the folders of the splits."""

    root: Path
    classes: tuple[str, ...] = ()
    folders: dict[str, str] = field(default_factory=dict)
    """Split -> name of its folder under `root`."""
    rows: dict[str, list[Row]] = field(default_factory=dict)
    problems: list[InputError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def paths(self, split: str) -> list[Path]:
        return [self.root / self.folders[split] / name for name, _, _ in self.rows[split]]


def split_folders(root: Path) -> dict[str, str]:
    """Return the names of the folders of both splits. Raises InputError if one is missing."""
    second = next((name for name in TEST_FOLDERS if (root / name).is_dir()), None)
    if not (root / "train").is_dir() or second is None:
        raise InputError(f"{root}: expected train/ and val/ (or test/), with class folders or shards in each")
    return dict(zip(SPLITS, ("train", second), strict=True))


def unpacked_root(folder: Path) -> Path:
    """Return the folder with train/ and val/ in an extracted archive, which is the only subfolder or the root."""
    inner = [path for path in folder.iterdir() if path.is_dir() and not is_system_file(path.name)]
    return inner[0] if len(inner) == 1 else folder


def list_class_folders(root: Path) -> ClassFolders:
    """List the image files of every class without opening them."""
    found = ClassFolders(root, folders=split_folders(root))
    found.notes += _note_unused(found)
    listings = {split: walk(root / folder) for split, folder in found.folders.items()}
    classes = {split: _classes(listing) for split, listing in listings.items()}
    found.classes = classes["train"]
    if not classes["train"] or classes["train"] != classes["test"]:
        differing = ", ".join(sorted(set(classes["train"]) ^ set(classes["test"]))[:3])
        problem = f"class folders differ from those of train: {differing}" if differing else "no class folders"
        found.problems.append(InputError(f"{root / found.folders['test']}: {problem}"))
    for split, listing in listings.items():
        found.problems += listing.problems
        found.notes += [f"{found.folders[split]}/{note}" for note in listing.notes]
        found.rows[split] = _rows(found, listing)
        _check_classes(found, split)
    _report_shared_images(found)
    return found


def _note_unused(found: ClassFolders) -> list[str]:
    """Return a list with one note on the unused files and folders next to the splits, or an empty list."""
    names = {entry.name for entry in os.scandir(found.root) if not is_system_file(entry.name)}
    others = sorted(names - set(found.folders.values()))
    shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
    used = " and ".join(found.folders.values())
    return [f"{shown} are not used: only {used} are read"] if others else []


def _report_shared_images(found: ClassFolders) -> None:
    """Report test images that are, through links to files or folders, the same files as training images."""
    tested = {_inode(found, "test", row): row[0] for row in found.rows["test"]}
    file_ids = (_inode(found, "train", row) for row in found.rows["train"])
    shared = [tested[file_id] for file_id in file_ids if file_id in tested]
    if shared:
        count = f"{len(shared)} of {len(tested)} test images are links to training images"
        path = found.root / found.folders["test"] / shared[0]
        found.problems.append(InputError(f"{path}: {count}; remove these links"))


def _inode(found: ClassFolders, split: str, row: Row) -> tuple[int, int]:
    """Return the device and inode of a file, which are equal for all links to the file."""
    status = os.stat(f"{found.root}/{found.folders[split]}/{row[0]}")
    return status.st_dev, status.st_ino


def _classes(listing: Listing) -> tuple[str, ...]:
    return tuple(sorted(name for name in listing.folders if "/" not in name))


def _rows(found: ClassFolders, listing: Listing) -> list[Row]:
    labels = {name: label for label, name in enumerate(found.classes)}
    rows = []
    for name in listing.names:
        folder, inside, _ = name.partition("/")
        path = f"{listing.folder}/{name}"
        if not inside:
            found.problems.append(InputError(f"{path}: is not in a class folder; move it into one, or remove it"))
        elif folder in labels:
            rows.append((name, labels[folder], os.stat(path).st_size))
    return sorted(rows, key=lambda row: row[1])  # by label, then by name


def _check_classes(found: ClassFolders, split: str) -> None:
    """Report a class without training images as a problem, and a class without test images as a note."""
    filled = {label for _, label, _ in found.rows[split]}
    empty = [name for label, name in enumerate(found.classes) if label not in filled]
    folder = found.root / found.folders[split]
    if found.problems:
        return
    if len(found.classes) == 1:
        found.problems.append(InputError(f"{folder}: only one class, {found.classes[0]}; at least two are needed"))
    if not empty:
        return
    if split == "train":
        advice = "add some, or remove these folders from all splits"
        found.problems.append(InputError(f"{folder}: no images in {', '.join(empty)}; {advice}"))
    elif len(empty) == len(found.classes):
        found.problems.append(InputError(f"{folder}: no images in any class; a test set is needed"))
    else:
        found.notes += [f"{folder.name}/{name}: no test images of this class" for name in empty]


def check_images(
    paths: list[Path], image_size: int | None, dataset: Dataset, inspect: Callable[[Image.Image], T] | None
) -> Iterator[tuple[Header, T | None] | InputError]:
    """Yield, for each image in order, its header and the result of `inspect` on the decoded image, or an error.

    If `inspect` is None, no image is decoded. The size of images in class folders of a published dataset is not
    checked, because the dataset's protocol may upscale them. All other images must have the required size.
    """
    sized = dataset.layout == "images" or dataset.folder is not None

    def check(path: Path) -> tuple[Header, T | None] | InputError:
        try:
            header = read_header(path)
            if sized:
                check_size(header, image_size, dataset.preparation)
            if inspect is None:
                return header, None
            with decoded(path, dataset.preparation.background) as image:
                return header, inspect(image)
        except InputError as problem:
            return problem

    parts = [paths[start : start + IMAGES_PER_TASK] for start in range(0, len(paths), IMAGES_PER_TASK)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            for found in pool.map(lambda part: list(map(check, part)), parts):
                yield from found
        finally:
            pool.shutdown(cancel_futures=True)


def has_note(header: Header) -> bool:
    return any(applies(header) for applies in NOTES.values())


def pixel_settings(headers: Iterable[Header], dataset: Dataset) -> bytes:
    """Return the settings that affect the pixels of at least one image, or b"" if there are none.

    The dataset's hash is computed from these settings and from the names and sizes of the files.
    """
    headers = list(headers)
    red, green, blue = dataset.preparation.background
    background = f"alpha on {red:02x}{green:02x}{blue:02x}\n" if any(header.transparent for header in headers) else ""
    return (background + ("upright\n" if any(header.rotated for header in headers) else "")).encode()
