"""Streams the images of a folder as uint8 batches in sorted order. Errors name the file that cannot be read."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from bench.data.images import WHITE, Colour, Header, decoded, pixels_of, read_header, require_images

BATCH_PIXELS = 1 << 25
"""Maximum number of pixels in a batch, equal to eight images of 2048 x 2048. A larger image is the only image of its
batch."""


def list_images(folder: Path) -> list[Path]:
    """Return the images in `folder` and its subfolders, sorted by name. Raises InputError for fewer than two."""
    return [header.path for header in require_images(folder, at_least=2).headers]


def read_image(path: Path, background: Colour = WHITE) -> Tensor:
    """Return an upright image, uint8 [3, H, W]. Transparent pixels are composited onto `background`."""
    with decoded(path, background) as image:
        return torch.from_numpy(pixels_of(image)).permute(2, 0, 1)


def stream_images(files: list[Path], batch_size: int = 8, background: Colour = WHITE) -> Iterator[Tensor]:
    """Yield uint8 batches [<= batch_size, 3, H, W]. Consecutive images of equal size share a batch.

    Batches of large images are smaller. The sizes are read from file headers, so no image is decoded before its batch
    is requested.
    """
    for batch in batches_of(map(read_header, files), batch_size):
        yield read_batch([header.path for header in batch], background)


def batches_of(headers: Iterable[Header], batch_size: int = 8) -> Iterator[list[Header]]:
    """Yield the headers of the images in each batch of `stream_images`."""
    batch: list[Header] = []
    for header in headers:
        if batch and (
            (header.height, header.width) != (batch[0].height, batch[0].width)
            or len(batch) >= batch_limit(header.height, header.width, batch_size)
        ):
            yield batch
            batch = []
        batch.append(header)
    if batch:
        yield batch


def batch_limit(height: int, width: int, batch_size: int = 8) -> int:
    """Return the maximum number of images of size `height` x `width` in a batch."""
    return max(1, min(batch_size, BATCH_PIXELS // (height * width)))


def read_batch(paths: list[Path], background: Colour = WHITE) -> Tensor:
    """Return images of equal size, uint8 [B, 3, H, W]."""
    if len(paths) == 1:
        return read_image(paths[0], background)[None]  # torch.stack would copy the image
    return torch.stack([read_image(path, background) for path in paths])


def file_hashes(files: list[Path]) -> list[bytes]:
    """Return the sha256 of the content of each file."""
    hashes = []
    for path in files:
        with path.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").digest())
    return hashes


def hash_files(files: list[Path], root: Path, hashes: list[bytes] | None = None) -> str:
    """Return the sha256 of the names and contents of the files. `hashes` are the hashes of their contents, if known."""
    digest = hashlib.sha256()
    for path, content in zip(files, file_hashes(files) if hashes is None else hashes, strict=True):
        digest.update(os.fsencode(path.relative_to(root).as_posix()) + b"\0")
        digest.update(content)
    return digest.hexdigest()
