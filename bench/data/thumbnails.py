"""Creates small copies of evenly spaced images of a dataset. The report shows the copies as an image grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from bench.data.catalogue import Dataset
from bench.data.images import decoded

TILE, ONE_TILE = 80, 180
"""Largest height in pixels of an image in a row, and of a dataset's only image."""
PER_ROW = {"images": 12, "train": 12, "test": 12}
"""Split -> number of images in its row."""
LABELS = {"images": "images", "train": "training images", "test": "test images"}
T = TypeVar("T")
Tiles = dict[str, list[Image.Image]]
"""Split -> images of its row."""


def evenly_spaced(items: Sequence[T], count: int) -> list[T]:
    """Return up to `count` evenly spaced items in order, starting with the first item."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def file_tile(path: Path, dataset: Dataset) -> Image.Image:
    """Return a small copy of an image file's centre square, or of the whole image for one-shot synthesis."""
    with decoded(path, dataset.preparation.background) as image:
        if dataset.task == "oneshot":
            height = min(ONE_TILE, image.height)
            return image.resize((max(1, round(image.width * height / image.height)), height), Image.Resampling.LANCZOS)
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return image.resize((TILE, TILE), Image.Resampling.LANCZOS, (left, top, left + side, top + side))


def array_tiles(images: np.ndarray, labels: np.ndarray, split: str) -> list[Image.Image]:
    """Return images, uint8 [N, H, W, C], evenly spaced in the order of their labels."""
    order = np.argsort(labels, kind="stable")
    return [array_image(images[index]) for index in evenly_spaced(order, PER_ROW[split])]


def array_image(image: np.ndarray) -> Image.Image:
    """Return an array, uint8 [H, W, 1 or 3], as a greyscale or RGB image."""
    return Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image))


def thumbnail_grid(tiles: Tiles) -> Image.Image | None:
    """Return an image with one row per split, or None if there are no images. All rows have the same height."""
    rows = [row for row in tiles.values() if row]
    if not rows:
        return None
    height = max(tile.height for row in rows for tile in row)
    width = max(sum(tile.width for tile in row) for row in rows)
    canvas = Image.new("RGB", (width, height * len(rows)))
    for index, row in enumerate(rows):
        left = 0
        for tile in row:
            canvas.paste(tile, (left, index * height))
            left += tile.width
    return canvas
