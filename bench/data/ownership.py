"""Recognises files that an earlier `prepare` wrote, by manifest.json or by the journal of an interrupted `prepare`."""

from pathlib import Path
from typing import Any

import numpy as np

from bench.data.manifest import MANIFEST
from bench.data.prepared import content_hash
from bench.files import read_mapping, sha256_file
from bench.ownership import is_truncated, read_text_or_empty

JOURNAL = ".slim-bench-prepare.json"
"""Journal file, which exists while files are replaced: {"files": {name: [sha256 of each content written]}}."""
IMAGES = ("images.npy",)
SPLIT_ARRAYS = ("train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy")
LISTS = ("train.tsv", "test.tsv")
NAMES = {*IMAGES, *SPLIT_ARRAYS, *LISTS, MANIFEST}
MANIFEST_KEYS = {"name", "kind", "sha256", "preparation"}


def own_prepared_files(folder: Path, is_default: bool = False) -> set[str]:
    """Return the names of files in `folder` that `prepare` wrote and that have not been modified.

    `is_default`: the folder is data/prepared/NAME-SIZE, whose manifest Snakemake removes before a new preparation.
    If the manifest is missing or truncated there, files are recognised by their format alone.
    """
    manifest, journal = read_mapping(folder / MANIFEST), folder / JOURNAL
    own: set[str] = set()
    if is_journal(journal):
        files = read_mapping(journal)["files"].items()
        own = {name for name, hashes in files if _is_file(folder, name) and sha256_file(folder / name) in hashes}
    if manifest.keys() >= MANIFEST_KEYS:
        own |= {MANIFEST} | _arrays_of(folder, manifest) | {name for name in LISTS if _is_list(folder / name)}
    elif is_default and (not (folder / MANIFEST).exists() or is_truncated(folder / MANIFEST, '"name": "')):
        own |= {name for name in NAMES if _is_file(folder, name) and _has_expected_format(folder / name)}
        own |= {MANIFEST} if (folder / MANIFEST).exists() else set()
    return own


def is_journal(path: Path) -> bool:
    value = read_mapping(path)
    files = value.get("files")
    return (
        value.keys() == {"files"}
        and isinstance(files, dict)
        and all(isinstance(found, list) for found in files.values())
    )


def _is_file(folder: Path, name: str) -> bool:
    return name in NAMES and (folder / name).is_file()


def _arrays_of(folder: Path, manifest: dict[str, Any]) -> set[str]:
    """Return the names of the array files whose shapes match the manifest.

    Returns an empty set if all arrays are present, but the hash of their content differs from the manifest's.
    """
    shapes = manifest["arrays"] if isinstance(manifest.get("arrays"), dict) else {}
    arrays = {name: _array(folder / name) for name in shapes if _is_file(folder, name)}
    found = {name: array for name, array in arrays.items() if array is not None and [*array.shape] == shapes[name]}
    if len(found) == len(shapes) and found and content_hash(found) != manifest["sha256"]:
        return set()
    return set(found)


def _has_expected_format(path: Path) -> bool:
    if path.name in LISTS:
        return _is_list(path)
    array = _array(path)
    wanted = (np.int64, 1) if path.name.endswith("_labels.npy") else (np.uint8, 4)
    return array is not None and (array.dtype, array.ndim) == wanted


def _is_list(path: Path) -> bool:
    """Return whether a file is a list, in which every line has a path, a tab and a number."""
    lines = read_text_or_empty(path).splitlines()
    return bool(lines) and all(line.rpartition("\t")[2].isdecimal() for line in lines)


def _array(path: Path) -> np.ndarray | None:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
