"""Input checks shared by all metrics: shapes, number of items, NaN. Error messages state the values that were found."""

import numpy as np
import torch
from torch import Tensor

from bench.errors import InputError


def check_features(features: np.ndarray, name: str) -> np.ndarray:
    """Return features [N, D] as an array. Raises InputError for fewer than two rows or non-finite values."""
    features = np.asarray(features)
    if features.ndim != 2:
        raise InputError(f"{name}: features must be [N, D], got shape {features.shape}")
    if features.shape[0] < 2:
        raise InputError(f"{name}: at least 2 images are needed, got {features.shape[0]}")
    if not np.isfinite(features.sum(dtype=np.float64)):  # one pass; the rows are searched only after a failure
        bad = int(np.count_nonzero(~np.isfinite(features).all(axis=1)))
        raise InputError(f"{name}: {bad} of {features.shape[0]} feature rows contain NaN or infinity")
    return features


def check_pair(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both feature sets after checking them. Raises InputError if the feature dimensions differ."""
    real, fake = check_features(real, "reference set"), check_features(fake, "sample set")
    if real.shape[1] != fake.shape[1]:
        raise InputError(f"features of different extractors have {real.shape[1]} and {fake.shape[1]} dimensions")
    return real, fake


def check_uint8(images: Tensor, name: str = "images") -> Tensor:
    """Return `images` unchanged.

    Raises InputError unless they are uint8 [B, 3, H, W]. Greyscale and float images are not converted.
    """
    if images.dtype != torch.uint8:
        raise InputError(f"{name}: expected uint8 images (0..255), got {str(images.dtype).removeprefix('torch.')}")
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(f"{name}: expected RGB images [B, 3, H, W], got shape {tuple(images.shape)}")
    return images


def check_count(n: int, expected: int | None, name: str) -> None:
    """Raise InputError if a set does not have the number of images that its protocol states."""
    if expected is not None and n != expected:
        raise InputError(f"{name}: the protocol requires {expected} images, but there are {n}")
