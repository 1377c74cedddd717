"""What every metric refuses, with the numbers named: bad shapes, too few items, NaN."""

import numpy as np
import torch
from torch import Tensor

from bench.errors import InputError


def check_features(features: np.ndarray, name: str) -> np.ndarray:
    """[N, D] of at least two finite rows."""
    features = np.asarray(features)
    if features.ndim != 2:
        raise InputError(f"{name}: features must be [N, D], got shape {features.shape}")
    if features.shape[0] < 2:
        raise InputError(f"{name}: at least 2 images are needed, got {features.shape[0]}")
    if not np.isfinite(features.sum(dtype=np.float64)):  # one pass; which rows is asked only then
        bad = int(np.count_nonzero(~np.isfinite(features).all(axis=1)))
        raise InputError(f"{name}: {bad} of {features.shape[0]} feature rows hold NaN or infinity")
    return features


def check_pair(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two feature sets of one extractor."""
    real, fake = check_features(real, "reference set"), check_features(fake, "sample set")
    if real.shape[1] != fake.shape[1]:
        raise InputError(f"features of {real.shape[1]} dimensions against {fake.shape[1]}: not one extractor")
    return real, fake


def check_uint8(images: Tensor, name: str = "images") -> Tensor:
    """uint8 [B, 3, H, W]; greyscale and float are refused rather than guessed at."""
    if images.dtype != torch.uint8:
        raise InputError(f"{name}: uint8 images (0..255) are needed, got {str(images.dtype).removeprefix('torch.')}")
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(f"{name}: RGB images [B, 3, H, W] are needed, got shape {tuple(images.shape)}")
    return images


def check_count(n: int, expected: int | None, name: str) -> None:
    """The protocol names how many images a set has; another number is another protocol."""
    if expected is not None and n != expected:
        raise InputError(f"{name}: the protocol says {expected} images, the set has {n}")
