"""The inputs of a preparation, and the manifest and hash of the prepared arrays."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from bench.data.catalogue import Dataset
from bench.data.manifest import MadeFrom, Manifest
from bench.errors import InputError

SPLITS = ("train", "test")
HASH_CHUNK_BYTES = 1 << 25  # bytes


@dataclass(frozen=True)
class PreparationJob:
    """The inputs of a preparation. `sources` are the downloaded files, or the installed folder.

    `max_unpacked_gb`: see bench.data.limits. `root`: project root, to which the path of an image list is relative.
    """

    name: str
    dataset: Dataset
    image_size: int | None
    sources: list[Path]
    source_sha256: str | None
    made_from: MadeFrom
    out: Path
    max_unpacked_gb: float | None = None
    root: Path = Path(".")


def check_expected(job: PreparationJob, what: str, found: int, wanted: int | None) -> None:
    if wanted is not None and found != wanted:
        raise InputError(f"{job.name}: {found} {what} in {job.sources[0]}, but {wanted} are expected")


def describe_arrays(job: PreparationJob, *, kind: str, arrays: Mapping[str, np.ndarray], **more: Any) -> Manifest:
    """Return the manifest of prepared arrays."""
    first = next(iter(arrays.values()))
    return Manifest(
        name=job.name,
        title=job.dataset.title,
        task=job.dataset.task,
        kind=kind,
        n=len(first),
        image_size=job.image_size,
        channels=first.shape[-1],
        sha256=content_hash(arrays),
        source_sha256=job.source_sha256,
        made_from=job.made_from,
        preparation=job.dataset.preparation.model_dump(mode="json") | {"pillow": PIL.__version__},
        licence=job.dataset.licence,
        arrays={file: array.shape for file, array in arrays.items()},
        **more,
    )


def content_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the sha256 of shape, type and bytes of each array, in the given order."""
    digest = hashlib.sha256()
    for array in arrays.values():
        digest.update(json.dumps([list(array.shape), array.dtype.str]).encode())
        for part in _parts(array):
            digest.update(np.ascontiguousarray(part))
    return digest.hexdigest()


def _parts(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield `array` in parts of up to HASH_CHUNK_BYTES bytes, or of one row if a row is larger.

    Parts of a memory map are mapped separately to limit resident pages.
    """
    row = max(1, array.nbytes // max(1, len(array)))
    count = max(1, HASH_CHUNK_BYTES // row)
    for start in range(0, len(array), count):
        part = array[start : start + count]
        if isinstance(array, np.memmap) and isinstance(array.base, mmap) and array.flags.c_contiguous:
            offset = array.offset + start * row
            part = np.memmap(array.filename, array.dtype, "r", offset, part.shape)
        yield part
