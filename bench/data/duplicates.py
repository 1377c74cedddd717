"""Finds exact and near duplicates among the images of a dataset.

Exact duplicates have the same pixels after decoding. Near duplicates are copies that were compressed again, resized,
made slightly darker or brighter, cropped by about one percent, or converted to grey. Each image is reduced to a grey
thumbnail of 32 x 32 pixels. A 64-bit perceptual hash of the thumbnail (C. Zauner, Implementation and benchmarking of
perceptual image hash functions, 2010) selects pairs, and the correlation of the thumbnails at 16 x 16 pixels confirms
the pairs. All sums are exact integers, so the result is the same on every CPU.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bench.data.images import bands
from bench.data.problems import LEAKED, NEAR, NEARLY_LEAKED, SAME

SIDE, FREQUENCIES = 32, 8
MAX_DISTANCE = 6
"""Largest number of differing bits, of 64, between the hashes of near duplicates."""
MIN_CORRELATION = 0.99
"""Smallest correlation between the thumbnails of near duplicates."""
MAX_COMPARED = 100_000
"""Maximum number of images that are searched for near duplicates.

In a larger dataset, the searched images are evenly spaced.
"""
MAX_CANDIDATES = 5_000_000
"""Maximum number of candidate pairs, after which the search stops. Only datasets of almost equal images reach it."""
BLOCK = (256, 8192)
"""Rows and columns of a block of the matrix of all pairs. The hashes of one block are compared at a time."""
BLOCKS_TOGETHER = 8  # blocks after which the number of candidates is checked
CONFIRM_CHUNK = 4096  # pairs


@dataclass(frozen=True)
class Fingerprint:
    """Hash of the pixels of an image, and its grey thumbnail, uint8 [SIDE, SIDE]."""

    digest: bytes
    thumbnail: np.ndarray


def fingerprint(image: Image.Image) -> Fingerprint:
    """Return the fingerprint of an RGB or greyscale image."""
    digest = hashlib.sha256(repr((image.size, image.mode)).encode())
    for _, band in bands(image):
        digest.update(band.tobytes())
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX).convert("L")
    return Fingerprint(digest.digest(), np.asarray(small))


class Fingerprints:
    """Fingerprints of the images of a dataset, training images first. At most MAX_COMPARED thumbnails are kept."""

    def __init__(self, total: int) -> None:
        self.step = max(1, -(-total // MAX_COMPARED))
        self.names: list[str] = []
        self.splits: list[str] = []
        self.complete = True
        """Whether the search for near duplicates was complete."""
        self._digests: list[bytes] = []
        self._thumbnails = np.empty((-(-total // self.step), SIDE, SIDE), np.uint8)

    @property
    def compared(self) -> int:
        """Number of images that are searched for near duplicates."""
        return -(-len(self.names) // self.step)

    def add(self, name: str, split: str, found: Fingerprint) -> None:
        if len(self.names) % self.step == 0:
            self._thumbnails[len(self.names) // self.step] = found.thumbnail
        self.names.append(name)
        self.splits.append(split)
        self._digests.append(found.digest)

    def duplicates(self) -> dict[str, list[str]]:
        """Return one message per exact or near duplicate of an earlier image, by kind (see bench.data.problems)."""
        seen: dict[bytes, int] = {}
        first = [seen.setdefault(digest, index) for index, digest in enumerate(self._digests)]
        found: dict[str, list[str]] = {SAME: [], LEAKED: [], NEAR: [], NEARLY_LEAKED: []}
        for index, partner in enumerate(first):
            if partner != index:
                kind = SAME if self.splits[index] == self.splits[partner] else LEAKED
                found[kind].append(f"{self.names[index]}: has the same pixels as {self.names[partner]}")
        unique = np.array([index for index in range(0, len(first), self.step) if first[index] == index], np.int64)
        pairs, self.complete = near_duplicates(self._thumbnails[unique // self.step])
        earliest: dict[int, int] = {}
        for index, partner in unique[pairs].tolist():
            earliest.setdefault(index, partner)
        for index, partner in earliest.items():
            kind = NEAR if self.splits[index] == self.splits[partner] else NEARLY_LEAKED
            found[kind].append(f"{self.names[index]}: looks the same as {self.names[partner]}")
        return {kind: texts for kind, texts in found.items() if texts}


def near_duplicates(thumbnails: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the near duplicates among thumbnails, uint8 [N, SIDE, SIDE], and whether the search was complete.

    The rows, int64 [P, 2], are sorted. Each row has the indices of an image and of a similar earlier image.
    """
    hashes, halves = perceptual_hashes(thumbnails), _halves(thumbnails)
    rows, columns = BLOCK
    blocks = [
        (top, left) for top in range(0, len(hashes), rows) for left in range(0, min(top + rows, len(hashes)), columns)
    ]
    found, candidates = [np.empty((0, 2), np.int64)], 0

    def compare(block: tuple[int, int]) -> tuple[np.ndarray, int]:
        top, left = block
        pairs = _similar(hashes, top, left)
        parts = [pairs[start : start + CONFIRM_CHUNK] for start in range(0, len(pairs), CONFIRM_CHUNK)]
        kept = [part[_correlated(halves, part)] for part in parts]
        return np.concatenate([np.empty((0, 2), np.int64), *kept]), len(pairs)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for start in range(0, len(blocks), BLOCKS_TOGETHER):
            for pairs, count in pool.map(compare, blocks[start : start + BLOCKS_TOGETHER]):
                found.append(pairs)
                candidates += count
            if candidates > MAX_CANDIDATES:
                break
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))], candidates <= MAX_CANDIDATES


def perceptual_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Return the hashes, uint64 [N], of thumbnails, uint8 [N, SIDE, SIDE].

    Each bit states whether a coefficient of the discrete cosine transform is above the median of the coefficients of
    the 8 x 8 lowest frequencies. The coefficient of the mean brightness is excluded.
    """
    frequency, position = np.arange(FREQUENCIES)[:, None], np.arange(SIDE)[None, :]
    waves = np.rint(1024 * np.cos(np.pi * (2 * position + 1) * frequency / (2 * SIDE)))
    hashes = np.empty(len(thumbnails), np.uint64)
    for start in range(0, len(thumbnails), 1024):
        part = thumbnails[start : start + 1024].astype(np.float64)
        found = (waves @ part @ waves.T).reshape(len(part), FREQUENCIES**2)[:, 1:]  # [N, 63]
        bits = found > np.median(found, axis=1, keepdims=True)
        hashes[start : start + 1024] = np.packbits(np.pad(bits, ((0, 0), (1, 0))), axis=1).view(np.uint64)[:, 0]
    return hashes


def _halves(thumbnails: np.ndarray) -> np.ndarray:
    """Return the sums of 2 x 2 pixels, uint16 [N, (SIDE / 2)^2]."""
    parts = thumbnails.reshape(len(thumbnails), SIDE // 2, 2, SIDE // 2, 2)
    return parts.sum((2, 4), dtype=np.uint16).reshape(len(thumbnails), (SIDE // 2) ** 2)


def _similar(hashes: np.ndarray, top: int, left: int) -> np.ndarray:
    """Return the pairs (row, earlier column) with similar hashes in one block, int64 [P, 2]."""
    rows, columns = hashes[top : top + BLOCK[0]], hashes[left : left + BLOCK[1]]
    distances = np.bitwise_count(rows[:, None] ^ columns[None, :])
    pairs = np.argwhere(distances <= MAX_DISTANCE) + (top, left)
    return pairs[pairs[:, 0] > pairs[:, 1]]


def _correlated(halves: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return whether each pair's correlation is at least MIN_CORRELATION; false if an image has only one colour."""
    first, second = halves[pairs[:, 0]].astype(np.float64), halves[pairs[:, 1]].astype(np.float64)
    n = halves.shape[1]

    def covariance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return n * (a * b).sum(1) - a.sum(1) * b.sum(1)

    shared, spread = covariance(first, second), covariance(first, first) * covariance(second, second)
    return (shared > 0) & (shared**2 >= MIN_CORRELATION**2 * spread)
