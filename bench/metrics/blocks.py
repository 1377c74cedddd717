"""Caches features of image sets in blocks, so that an interrupted evaluation resumes after its last complete block.

The cache is in the user's cache folder, because the current folder may belong to another user or project. Each block
has one file, which is written atomically. The file name is a hash of the images, the extractor, its weights, the
machine and the software. The cache can be deleted at any time. If it is not writable, an interrupted evaluation
computes all features again.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import PIL
from torch import Tensor

from bench.code_digest import code_digest
from bench.errors import InputError
from bench.files import sha256_json
from bench.metrics.cache import CACHE, cache_path, read_features, write_features
from bench.metrics.features import Extractor, features_of
from bench.runtime.environment import user_cache
from bench.runtime.progress import ProgressLine

T = TypeVar("T")
BLOCK_IMAGES = 1000
"""Minimum number of images in every block except the last. A block ends with the batch that reaches this number."""


@dataclass(frozen=True)
class ImageBlock:
    """Consecutive images of a set. `sha256` depends on the content of the images and on how they are read."""

    n: int
    sha256: str


class BlockedImages(Protocol):
    """Image set that is divided into blocks."""

    @property
    def blocks(self) -> Sequence[ImageBlock]: ...

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Yield (block index, batch uint8 [B, 3, H, W]) for the blocks `wanted`, in increasing order."""
        ...


def in_blocks(batches: Iterable[list[T]]) -> list[list[list[T]]]:
    """Return batches grouped into blocks.

    A block never splits a batch, because the last digits of an image's features depend on its batch.
    """
    blocks: list[list[list[T]]] = []
    size = BLOCK_IMAGES
    for batch in batches:
        if size >= BLOCK_IMAGES:
            blocks.append([])
            size = 0
        blocks[-1].append(batch)
        size += len(batch)
    return blocks


def feature_folder() -> Path:
    """Return $SLIM_BENCH_CACHE or, if it is not set, slim-bench/features in the user's cache folder."""
    given = os.environ.get(CACHE)
    return Path(given).expanduser() if given else user_cache() / "slim-bench/features"


def blocked_features(extractor: Extractor, images: BlockedImages, name: str) -> np.ndarray:
    """Return the features of an image set, float32 [N, dim]. Only blocks that are not cached are computed.

    `name`: name of the set in progress lines. Raises InputError if the files change while they are read.
    """
    ends = np.cumsum([block.n for block in images.blocks]).tolist()
    parts = [slice(end - block.n, end) for block, end in zip(images.blocks, ends, strict=True)]
    paths = [_path(extractor, block) for block in images.blocks]
    features = np.empty((ends[-1], extractor.dim), np.float32)
    missing = []
    for index, (part, path) in enumerate(zip(parts, paths, strict=True)):
        cached = read_features(path, extractor.dim)
        if cached is not None and len(cached) == images.blocks[index].n:
            features[part] = cached
        else:
            missing.append(index)
    if not missing:
        return features
    cached_images = ends[-1] - sum(images.blocks[index].n for index in missing)
    progress = ProgressLine(name, ends[-1], "image", cached_images, speed=True)
    if cached_images:
        progress.print_line(f"{cached_images} of {ends[-1]} images are in the cache")
    writable = True
    for index, batches in groupby(images.stream(missing), key=itemgetter(0)):
        _fill(features[parts[index]], extractor, map(itemgetter(1), batches), progress)
        writable = writable and write_features(paths[index], features[parts[index]])
    progress.close()
    return features


def _fill(rows: np.ndarray, extractor: Extractor, batches: Iterator[Tensor], progress: ProgressLine) -> None:
    done = 0
    for batch in batches:
        found = features_of(extractor, batch)
        if done + len(found) > len(rows):
            break
        rows[done : done + len(found)] = found
        done += len(found)
        progress.add(len(found))
    if done != len(rows):
        raise InputError(f"{progress.name}: the images were modified while they were read; score them again")


def _path(extractor: Extractor, block: ImageBlock) -> Path:
    code = code_digest("bench.metrics.folder", "bench.metrics.features", type(extractor).__module__)
    content = sha256_json({"block": block.sha256, "pillow": PIL.__version__, "numpy": np.__version__, "code": code})
    return cache_path(extractor, content, feature_folder())
