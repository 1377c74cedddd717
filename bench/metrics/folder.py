"""Streams the images of a folder as uint8 batches in sorted order. Errors name the file that cannot be read."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from bench.data.images import WHITE, Colour, decoded, pixels_of, read_header, usable_images

BATCH_PIXELS = 1 << 25
"""Maximum size of a batch, equal to eight images of 2048 x 2048. A single larger image is a batch of one."""


def list_images(folder: Path) -> list[Path]:
    """Return the images in `folder` and its subfolders, sorted by name. InputError for fewer than two."""
    return [header.path for header in usable_images(folder, at_least=2).headers]


def read_image(path: Path, background: Colour = WHITE) -> Tensor:
    """Return an image, uint8 [3, H, W], upright, with transparent pixels composited onto `background`."""
    with decoded(path, background) as image:
        return torch.from_numpy(pixels_of(image)).permute(2, 0, 1)


def stream_images(files: list[Path], batch_size: int = 8, background: Colour = WHITE) -> Iterator[Tensor]:
    """Yield uint8 batches [<= batch_size, 3, H, W]. Consecutive images of equal size share a batch.

    Batches of large images are smaller. Sizes come from headers, so that no image is decoded before its batch is due.
    """
    batch: list[Path] = []
    size, most = (0, 0), 0
    for path in files:
        header = read_header(path)
        if batch and ((header.height, header.width) != size or len(batch) >= most):
            yield _read_batch(batch, background)
            batch = []
        size = header.height, header.width
        most = max(1, min(batch_size, BATCH_PIXELS // (header.height * header.width)))
        batch.append(path)
    if batch:
        yield _read_batch(batch, background)


def _read_batch(paths: list[Path], background: Colour) -> Tensor:
    if len(paths) == 1:
        return read_image(paths[0], background)[None]  # stacked, it would be held twice
    return torch.stack([read_image(path, background) for path in paths])


def hash_files(files: list[Path], root: Path) -> str:
    """Return the sha256 of names and contents."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(os.fsencode(path.relative_to(root).as_posix()) + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
