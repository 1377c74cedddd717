"""Images of a dataset are chosen evenly, and each split has a row."""

import numpy as np
from PIL import Image

from bench.data.thumbnails import array_tiles, evenly_spaced, thumbnail_grid


def test_items_are_evenly_spaced_and_begin_with_the_first():
    assert evenly_spaced(range(10), 4) == [0, 2, 5, 7]
    assert evenly_spaced(range(3), 8) == [0, 1, 2]
    assert evenly_spaced([], 8) == []


def test_tiles_of_arrays_cover_the_classes():
    labels = np.arange(120) % 12
    images = np.broadcast_to(labels[:, None, None, None].astype(np.uint8), (120, 4, 4, 1))
    assert [tile.getpixel((0, 0)) for tile in array_tiles(images, labels, "train")] == list(range(12))


def test_splits_are_rows_of_one_image():
    tiles = {"train": [Image.new("RGB", (8, 8), "red")] * 3, "test": [Image.new("L", (8, 8), 255)]}
    image = thumbnail_grid(tiles)
    assert image.size == (24, 16)
    assert [image.getpixel(place) for place in ((20, 4), (4, 12), (12, 12))] == [(255, 0, 0), (255,) * 3, (0, 0, 0)]
    assert thumbnail_grid({"images": []}) is None
