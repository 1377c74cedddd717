"""Exact and near duplicates are found among photograph-like images, and only there."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from bench.data import duplicates
from bench.data.duplicates import Fingerprints, fingerprint, near_duplicates, perceptual_hashes
from bench.data.problems import LEAKED, NEAR, NEARLY_LEAKED, SAME


def scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Return a smooth random image with shapes at several scales, like a photograph."""
    rng = np.random.default_rng(seed)
    layers = [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (3, 6, 12)]
    parts = [np.asarray(Image.fromarray(layer).resize(size, Image.Resampling.BICUBIC), float) for layer in layers]
    return Image.fromarray(np.average(parts, axis=0, weights=(4, 3, 2)).clip(0, 255).astype(np.uint8))


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


COPIES = {
    "compressed": lambda image: as_jpeg(image, 60),
    "half": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.08),
    "grey": lambda image: image.convert("L").convert("RGB"),
}


def found(*images: Image.Image, splits: str = "") -> dict[str, list[str]]:
    fingerprints = Fingerprints(len(images))
    for index, image in enumerate(images):
        fingerprints.add(str(index), {"t": "test"}.get(splits[index : index + 1], "train"), fingerprint(image))
    return fingerprints.duplicates()


@pytest.mark.parametrize("change", COPIES)
def test_a_changed_copy_is_a_near_duplicate(change):
    images = [scene(seed) for seed in range(6)]
    assert found(*images, COPIES[change](images[2])) == {NEAR: ["6: looks the same as 2"]}


def test_different_images_are_not_duplicates():
    assert found(*(scene(seed) for seed in range(40)), *(Image.new("RGB", (9, 9), (k, 0, 0)) for k in range(5))) == {}


def test_a_dataset_without_valid_images_has_no_duplicates():
    assert found() == {}


def test_duplicates_between_the_splits_are_counted_separately():
    a, b = scene(1), scene(2)
    assert found(a, b, a, a, as_jpeg(b, 60), splits="...tt") == {
        SAME: ["2: has the same pixels as 0"],
        LEAKED: ["3: has the same pixels as 0"],
        NEARLY_LEAKED: ["4: looks the same as 1"],
    }


def test_blocks_and_threads_do_not_change_the_pairs(monkeypatch):
    images = [COPIES["compressed"](scene(seed % 30)) if seed >= 30 else scene(seed) for seed in range(60)]
    thumbnails = np.stack([fingerprint(image).thumbnail for image in images])
    whole, complete = near_duplicates(thumbnails)
    assert complete and [tuple(pair) for pair in whole] == [(seed + 30, seed) for seed in range(30)]
    monkeypatch.setattr(duplicates, "BLOCK", (7, 16))
    np.testing.assert_array_equal(near_duplicates(thumbnails)[0], whole)


def test_the_duplicate_search_is_limited(monkeypatch):
    monkeypatch.setattr(duplicates, "MAX_CANDIDATES", 100)
    monkeypatch.setattr(duplicates, "BLOCK", (8, 8))
    thumbnails = np.repeat(fingerprint(scene(0)).thumbnail[None], 400, axis=0)
    pairs, complete = near_duplicates(thumbnails)
    assert not complete and len(pairs) < 400 * 399 / 2


def test_thumbnails_of_a_large_dataset_are_limited(monkeypatch):
    monkeypatch.setattr(duplicates, "MAX_COMPARED", 4)
    images = [scene(seed) for seed in range(7)]
    fingerprints = Fingerprints(9)
    for index, image in enumerate([*images, as_jpeg(images[0], 60), images[1]]):
        fingerprints.add(str(index), "train", fingerprint(image))
    assert fingerprints.compared == 3
    assert fingerprints.duplicates() == {SAME: ["8: has the same pixels as 1"]}


def test_hashes_ignore_brightness_of_the_whole_image():
    thumbnail = fingerprint(scene(3)).thumbnail // 2
    assert perceptual_hashes(thumbnail[None])[0] == perceptual_hashes(thumbnail[None] + np.uint8(40))[0]
