"""Extractors turn images into feature vectors; everything about them that moves a score is in their name.

An extractor takes uint8 RGB batches of any one size and does its own resizing. `extract_features` streams: it keeps the
features of N images (float32), and of the images never more than a batch.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from bench.errors import InputError
from bench.metrics.checks import check_uint8


class Extractor(Protocol):
    """`name` is the part of the protocol id from extractor to layer; `input_range` is that of the images it takes."""

    name: str
    dim: int
    input_range: tuple[int, int]
    weights_sha256: str

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, H, W] -> float32 [B, dim]."""
        ...


@runtime_checkable
class HasLogits(Protocol):
    """An extractor whose features its own classifier can read, as the Inception score needs."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """float32 [N, dim] -> class logits [N, classes]."""
        ...


class FeatureRows:
    """Features of one batch after the other, in a single array that grows.

    A small array kept of each batch would lie in the heap above that batch's images, whose memory then could not be
    used again: a folder of images would grow resident memory by nearly their size.
    """

    def __init__(self, dim: int, capacity: int = 256):
        self._rows, self._n = np.empty((capacity, dim), np.float32), 0

    def add(self, features: np.ndarray) -> None:
        end = self._n + len(features)
        if end > len(self._rows):
            larger = np.empty((max(end, 2 * len(self._rows)), self._rows.shape[1]), np.float32)
            larger[: self._n] = self._rows[: self._n]
            self._rows = larger
        self._rows[self._n : end] = features
        self._n = end

    def all(self) -> np.ndarray:
        """[N, dim] of what was added."""
        if not self._n:
            raise InputError("no images to score")
        return self._rows[: self._n]


def extract_features(extractor: Extractor, batches: Iterable[Tensor]) -> np.ndarray:
    """Features [N, dim], float32, of a stream of uint8 batches."""
    rows = FeatureRows(extractor.dim)
    for batch in batches:
        rows.add(features_of(extractor, batch))
    return rows.all()


def features_of(extractor: Extractor, batch: Tensor) -> np.ndarray:
    """Features [B, dim] of one batch; NaN is refused here, where the batch is known."""
    with torch.inference_mode(), exact_float32():
        features = extractor(check_uint8(batch)).float().cpu().numpy()
    if features.shape != (len(batch), extractor.dim):
        raise InputError(f"{extractor.name}: features {features.shape}, expected {(len(batch), extractor.dim)}")
    bad = int(np.count_nonzero(~np.isfinite(features).all(axis=1)))
    if bad:
        raise InputError(f"{extractor.name}: {bad} of {len(batch)} images gave NaN or infinite features")
    return features


@contextmanager
def exact_float32() -> Iterator[None]:
    """No TF32, no autotuned kernels: scores must not depend on what else ran."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic)
    try:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = False, False, False, True
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before


def chunks(images: Tensor, size: int) -> Iterator[Tensor]:
    """Pieces of at most `size` images: small ones stay in the CPU's cache and its allocator's pool."""
    for start in range(0, len(images), size):
        yield images[start : start + size]
