"""Features of image sets in blocks: progress, the cache, and a scoring that was killed."""

import os

import numpy as np
import pytest
import torch

from bench.errors import InputError
from bench.metrics import blocks
from bench.metrics.blocks import ImageBlock, blocked_features, feature_folder, in_blocks
from bench.metrics.cache import write_features


class Means:
    """Feature extractor with three features that counts its images, and fails at one of them."""

    name, dim, input_range, weights_sha256, device = "means/pool3", 3, (0, 255), "0" * 64, "cpu"

    def __init__(self, fails_at=None):
        self.images, self.fails_at = 0, fails_at

    def __call__(self, images):
        if self.images == self.fails_at:
            raise KeyboardInterrupt
        self.images += len(images)
        return images.float().mean(dim=(2, 3))


class Images:
    """Six images in blocks of two."""

    blocks = tuple(ImageBlock(2, str(index)) for index in range(3))
    pixels = torch.randint(0, 256, (6, 3, 4, 4), dtype=torch.uint8)

    def stream(self, wanted):
        for index in wanted:
            yield from ((index, self.pixels[row : row + 1]) for row in (2 * index, 2 * index + 1))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIM_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_killed_scoring_resumes_after_its_last_block(cache, capsys):
    expected = Images.pixels.float().mean(dim=(2, 3)).numpy()
    with pytest.raises(KeyboardInterrupt):
        blocked_features(Means(fails_at=5), Images(), "set")
    assert [path.suffix for path in cache.iterdir()] == [".npy"] * 2
    capsys.readouterr()
    resumed, again = Means(), Means()
    assert (blocked_features(resumed, Images(), "set") == expected).all() and resumed.images == 2
    assert "[set] 4 of 6 images are in the cache" in capsys.readouterr().err
    assert (blocked_features(again, Images(), "set") == expected).all() and again.images == 0


def test_progress_shows_speed_and_time_left_on_stderr(capsys):
    blocked_features(Means(), Images(), "set")
    captured = capsys.readouterr()
    first, *_, last = captured.err.splitlines()
    assert first.startswith("[set] image 1/6 (16 %), ") and first.endswith(" s left") and " images/s, " in first
    assert last.startswith("[set] image 6/6 (100 %), ") and not captured.out


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY garbage", "rows"])
def test_a_damaged_block_is_computed_again(cache, damage):
    expected = blocked_features(Means(), Images(), "set")
    path = min(cache.iterdir())
    if damage == "rows":
        write_features(path, np.zeros((1, 3), np.float32))
    else:
        path.write_bytes(damage)
    again = Means()
    assert (blocked_features(again, Images(), "set") == expected).all() and again.images == 2


def test_an_unwritable_cache_does_not_change_the_result(cache, capsys):
    cache.write_text("a file")
    extractor = Means()
    assert blocked_features(extractor, Images(), "set").shape == (6, 3) and extractor.images == 6
    assert capsys.readouterr().err.count("features not cached: ") == 1


def test_images_modified_while_they_are_read_are_refused(cache, monkeypatch):
    monkeypatch.setattr(Images, "blocks", (ImageBlock(3, "0"), *Images.blocks[1:]))
    with pytest.raises(InputError, match="set: the images were modified while they were read"):
        blocked_features(Means(), Images(), "set")
    assert not cache.exists()


def test_blocks_end_with_a_batch(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_IMAGES", 4)
    batches = [[0, 1, 2], [3, 4], [5], [6, 7, 8], [9]]
    assert in_blocks(batches) == [[[0, 1, 2], [3, 4]], [[5], [6, 7, 8]], [[9]]]


def test_the_cache_is_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("SLIM_BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert feature_folder() == tmp_path / "slim-bench/features"
    assert not os.path.lexists(feature_folder())
