"""Lists WebDataset shards, and checks before training that every sample has an image and a label.

A sample consists of consecutive members with the same name up to the first dot, as in the package webdataset.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.data.extract import read_members
from bench.data.images import read_header
from bench.data.labels import as_labels
from bench.data.stored import StoredFile, convert_archive_errors
from bench.errors import InputError

SAMPLE_NAME = re.compile(r"((?:.*/)?[^.]+)\.([^/]*)")
"""Pattern of a member's name, with groups for the sample name and the kind of file.

A member whose name has no dot belongs to no sample.
"""
KINDS = ("jpg", "jpeg", "png", "webp")
MAX_LABEL_BYTES = 100


def list_shards(
    folder: Path, split: str, max_unpacked_gb: float | None = None
) -> tuple[list[tuple[str, int, int]], np.ndarray]:
    """Return (shard, number of samples, bytes) of every shard, and the labels of all samples, int64."""
    rows, labels = [], []
    for path in sorted(folder.glob("*.tar")):
        found = [_label(path, key, files) for key, files in _samples(path, max_unpacked_gb)]
        if not found:
            raise InputError(f"{path}: contains no samples; remove the shard")
        rows.append((path.name, len(found), path.stat().st_size))
        labels += found
    return rows, as_labels(str(folder), split, np.array(labels, dtype=np.int64), len(labels))


def _samples(path: Path, max_unpacked_gb: float | None) -> Iterator[tuple[str, dict[str, int | None]]]:
    """Yield the name of each sample and a mapping from kind of file to the label (kind `cls`) or None (other kinds)."""
    current, files = None, {}
    for member in read_members(path, max_unpacked_gb):
        match = SAMPLE_NAME.fullmatch(member.name)
        if not match:
            continue
        if match[1] != current and files:
            yield current, files
            files = {}
        current, kind = match[1], match[2].lower()
        if kind in files:
            raise InputError(f"{path}: sample {current!r} has two files of kind {kind!r}")
        if kind in KINDS:
            _check_image(path, member)
        files[kind] = _read_label(path, member) if kind == "cls" else None
    if files:
        yield current, files


def _label(path: Path, key: str, files: dict[str, int | None]) -> int:
    if "cls" not in files or not any(kind in files for kind in KINDS):
        raise InputError(f"{path}: sample {key!r} needs an image ({', '.join(KINDS)}) and .cls in consecutive members")
    return files["cls"]


def _read_label(path: Path, member: StoredFile) -> int:
    text = b"".join(member.chunks()) if member.size <= MAX_LABEL_BYTES else b""
    try:
        label = int(text)
    except ValueError:
        raise InputError(f"{path}: {member.name!r} does not contain a class number") from None
    if not 0 <= label < 1 << 31:
        raise InputError(f"{path}: {member.name!r} contains class {label}; number the classes from 0")
    return label


def _check_image(path: Path, member: StoredFile) -> None:
    """Raise InputError for a file without an image header."""
    with convert_archive_errors(path), member.open() as file:
        read_header(file, f"{path}: {member.name!r}")
