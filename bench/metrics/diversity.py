"""Diversity of samples: in feature space for few-shot synthesis, and per pixel for one-shot synthesis."""

import numpy as np
import torch
from torch import Tensor

from bench.errors import InputError
from bench.metrics.checks import check_features, check_pair, check_uint8
from bench.metrics.prdc import COPY_TOLERANCE, distances

LUMA = (0.299, 0.587, 0.114)


def feature_diversity(features: np.ndarray, *, limit: int = 1000) -> float:
    """Return the mean Euclidean distance over all pairs of the first `limit` rows of features [N, D]."""
    x = check_features(features, "sample set")[:limit].astype(np.float64, copy=False)
    return float(distances(x, x)[np.triu_indices(len(x), 1)].mean())


def relative_diversity(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """Return the feature diversity of generated images relative to real images, and the diversity of real images.

    Raises InputError if all real images are copies of one image, because the divisor would be 0.
    """
    real, fake = check_pair(real, fake)
    real_diversity = feature_diversity(real)
    if real_diversity <= COPY_TOLERANCE * float(np.linalg.norm(real, axis=1).mean()):
        raise InputError(f"diversity is undefined, because all {len(real)} reference images are identical")
    return feature_diversity(fake) / real_diversity, real_diversity


def pixel_diversity(samples: Tensor, source: Tensor) -> float:
    """Return SinGAN's diversity of samples, uint8 [N, 3, H, W], of a network trained on `source`, uint8 [1, 3, H, W].

    The diversity is the standard deviation of each pixel over the samples, averaged over pixels and divided by the
    standard deviation of the pixels of `source`. Pixel values are Rec. 601 luma. Standard deviations are population
    standard deviations.
    """
    check_uint8(samples, "samples")
    check_uint8(source, "source")
    if len(samples) < 2:
        raise InputError(f"diversity needs at least 2 samples, got {len(samples)}")
    source_deviation = _luma(source).std(correction=0).item()
    if source_deviation == 0:
        raise InputError("diversity: the source image is constant, so its standard deviation is 0")
    return _luma(samples).std(dim=0, correction=0).mean().item() / source_deviation


def _luma(images: Tensor) -> Tensor:
    weights = torch.tensor(LUMA, dtype=torch.float64, device=images.device)
    return torch.einsum("bchw,c->bhw", images.double(), weights)
