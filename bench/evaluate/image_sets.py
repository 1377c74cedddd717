"""Sets of images to score, and the reader of .npz files in the format of ADM (guided-diffusion) samplers."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bench.data.array_files import ArrayStream, NpyHeader, npz_stream, read_npz_headers
from bench.data.images import max_pixels, pixel_limit_text
from bench.errors import InputError
from bench.evaluate.extractors import MetricExtractor
from bench.files import sha256_json
from bench.metrics.blocks import BLOCK_IMAGES, ImageBlock, blocked_features
from bench.metrics.folder import batch_limit
from bench.ownership import read_head
from bench.provenance import provenance
from bench.runtime.device import device_name
from bench.runtime.memory import peak_memory_bytes
from bench.terminal import one_line

IMAGES = "arr_0"
"""Name of the array of images, as `numpy.savez` names the first array. ADM writes class labels to `arr_1`."""


class Reference(Protocol):
    """Reference of a comparison: a set of images, or a file of statistics."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...


class ScoredImages:
    """Set of images in blocks. `sizes`: every (height, width); `sha256`: hash of the images' names and contents."""

    path: Path
    blocks: list[ImageBlock]
    sizes: set[tuple[int, int]]
    sha256: str
    background: tuple[int, int, int]
    has_alpha = False
    kind = "folder"
    notes: Sequence[str] = ()

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Yield the batches of the blocks with indices `wanted`, as described in `bench.metrics.blocks`."""
        raise NotImplementedError

    def features(self, extractor: MetricExtractor) -> np.ndarray:
        """Return the features of all images, float32 [N, dim]."""
        network = extractor.network
        return blocked_features(network, self, f"{self.name}, {network.name.partition('/')[0]}")

    @property
    def n(self) -> int:
        return sum(block.n for block in self.blocks)

    @property
    def size(self) -> str:
        """Return the protocol part of the image size. This part is `mixed` for several sizes."""
        if len(self.sizes) > 1:
            return "mixed"
        height, width = next(iter(self.sizes))
        return f"{height}" if height == width else f"{height}x{width}"

    @property
    def name(self) -> str:
        return one_line(self.path.name or self.path.resolve().name)


class ScoredArray(ScoredImages):
    """Images of an .npz file, `arr_0` uint8 [N, H, W, 3], streamed without loading the whole array."""

    kind = "file"

    def __init__(self, path: Path, max_unpacked_gb: float | None = None):
        self.path, self._limit = path, max_unpacked_gb
        headers, names = read_npz_headers(path, [IMAGES], max_unpacked_gb)
        if IMAGES not in headers:
            raise InputError(
                f"{path}: contains no array of images {IMAGES}; it contains {', '.join(names[:5]) or 'nothing'}"
            )
        self._header = _checked(path, headers[IMAGES])
        count, height, width, _ = self._header.shape
        self._image = height, width, 3
        self.sizes = {(height, width)}
        self._batch = batch_limit(height, width)
        per_block = -(-BLOCK_IMAGES // self._batch) * self._batch
        counts = [min(per_block, count - start) for start in range(0, count, per_block)]
        with self._open() as stream:
            self.blocks = [self._hashed(stream, n) for n in counts]
            stream.finish()
        self.sha256 = sha256_json([block.sha256 for block in self.blocks])

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        with self._open() as stream:
            for index in range(max(wanted) + 1):
                for rows in self._batches(self.blocks[index].n):
                    if index in wanted:
                        images = stream.read((rows, *self._image))
                        # stacked like images of a folder, because the memory format changes the last digits of features
                        yield index, torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in images])
                    else:
                        stream.skip(rows * math.prod(self._image))

    def _open(self) -> AbstractContextManager[ArrayStream]:
        return npz_stream(self.path, IMAGES, self._header.length, self._limit)

    def _batches(self, count: int) -> list[int]:
        return [min(self._batch, count - start) for start in range(0, count, self._batch)]

    def _hashed(self, stream: ArrayStream, count: int) -> ImageBlock:
        digest = hashlib.sha256(f"{count} {self._image} {self._batch}\0".encode())
        for rows in self._batches(count):
            digest.update(stream.read((rows, *self._image)).data)
        return ImageBlock(count, digest.hexdigest())


def _checked(path: Path, header: NpyHeader) -> NpyHeader:
    """Return the header of the image array if its type, shape and order are valid, else raise InputError.

    At least two images are needed.
    """
    shape = header.shape
    if header.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
        raise InputError(f"{path}: {IMAGES} is {header.dtype} {shape}, but images must be uint8 [N, H, W, 3]")
    if header.fortran_order:
        raise InputError(f"{path}: {IMAGES} is in Fortran order; save numpy.ascontiguousarray(images)")
    if shape[0] < 2:
        raise InputError(f"{path}: contains {shape[0]} images, but at least 2 are needed")
    pixels = shape[1] * shape[2]
    if not 0 < pixels <= max_pixels():
        problem = f"exceed {pixel_limit_text()}" if pixels else "have no pixels"
        raise InputError(f"{path}: images of {shape[2]}x{shape[1]} {problem}")
    return header


def alpha_part(*sets: ScoredImages) -> tuple[str, ...]:
    """Return the protocol part of the background, or an empty tuple if no image has an alpha channel."""
    with_alpha = [images for images in sets if images.has_alpha]
    return tuple(f"alpha-on-{bytes(images.background).hex()}" for images in with_alpha[:1])


def source_of(fake: ScoredImages, real: Reference, device: torch.device) -> dict[str, Any]:
    """Return the fields of a score that describe the compared sets and the machine."""
    return {
        "weights": "folder",
        "seed": 0,
        "run": f"{real.name} against itself" if fake is real else f"{fake.name} against {real.name}",
        "run_sha256": sha256_json({"samples": fake.sha256, "reference": real.sha256}),
        "data_sha256": real.sha256,
        "device": device_name(device),
        "peak_memory_bytes": peak_memory_bytes(device),
        "precision": "float32",
        "compile": False,
        **provenance("bench.evaluate"),
    }


def is_array_file(path: Path) -> bool:
    """Return whether a path has the content or the name of an .npz file."""
    return path.is_file() and (read_head(path, 2) == b"PK" or path.suffix.lower() == ".npz")
