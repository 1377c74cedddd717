"""Feature extractors, which map images to feature vectors. An extractor's name contains everything that affects scores.

An extractor accepts uint8 RGB images of any size and resizes them. `extract_features` streams images, so it keeps the
features of N images (float32) in memory, but only one batch of images.
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
    """Feature extractor. `name`: the extractor's part of protocol ids; `input_range`: range of the input images."""

    name: str
    dim: int
    input_range: tuple[int, int]
    weights_sha256: str

    def __call__(self, images: Tensor) -> Tensor:
        """Return features, float32 [B, dim], of images, uint8 [B, 3, H, W]."""
        ...


@runtime_checkable
class HasLogits(Protocol):
    """Feature extractor with a classifier on its features, as needed for the Inception score."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return class logits [N, classes] of features, float32 [N, dim]."""
        ...


class FeatureRows:
    """Growing array that collects the features of consecutive batches.

    A small array per batch would be allocated on the heap above the images of that batch and would prevent the memory
    of these images from being reused. Resident memory would grow by nearly the size of all images.
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
        """Return all added features [N, dim]. Raises InputError if no features were added."""
        if not self._n:
            raise InputError("no images to score")
        return self._rows[: self._n]


def extract_features(extractor: Extractor, batches: Iterable[Tensor]) -> np.ndarray:
    """Return the features of a stream of uint8 batches, float32 [N, dim]."""
    rows = FeatureRows(extractor.dim)
    for batch in batches:
        rows.add(features_of(extractor, batch))
    return rows.all()


def features_of(extractor: Extractor, batch: Tensor) -> np.ndarray:
    """Return the features [B, dim] of one batch. Raises InputError if a feature is NaN or infinite."""
    with torch.inference_mode(), exact_float32():
        features = extractor(check_uint8(batch)).float().cpu().numpy()
    if features.shape != (len(batch), extractor.dim):
        raise InputError(f"{extractor.name}: features must be {(len(batch), extractor.dim)}, got {features.shape}")
    bad = int(np.count_nonzero(~np.isfinite(features).all(axis=1)))
    if bad:
        raise InputError(f"{extractor.name}: features of {bad} of {len(batch)} images are NaN or infinite")
    return features


@contextmanager
def exact_float32() -> Iterator[None]:
    """Disable TF32 and kernel autotuning, so that scores do not depend on earlier computations."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic)
    try:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = False, False, False, True
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before


def chunks(images: Tensor, size: int) -> Iterator[Tensor]:
    """Yield chunks of at most `size` images. Small chunks fit in the CPU's cache and the allocator's pool."""
    for start in range(0, len(images), size):
        yield images[start : start + size]
