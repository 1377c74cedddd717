"""Expected calibration error, the mean of |confidence - accuracy| over confidence bins of equal width.

Each bin is weighted by its number of images.
"""

import numpy as np
import torch
from torch import Tensor

from bench.metrics.accuracy import check_logits


def reliability(logits: Tensor, labels: Tensor, bins: int = 15) -> list[tuple[int, float, float]]:
    """Return count, mean confidence and accuracy (both 0..1) of each bin. Bin i covers (i/bins, (i+1)/bins]."""
    confidence, right, index = _binned(logits, labels, bins)
    count = torch.bincount(index, minlength=bins)
    divisor = count.clamp(min=1)
    mean_confidence = torch.bincount(index, weights=confidence, minlength=bins) / divisor
    accuracy = torch.bincount(index, weights=right, minlength=bins) / divisor
    return list(zip(count.tolist(), mean_confidence.tolist(), accuracy.tolist(), strict=True))


def calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Return the expected calibration error in percent."""
    table = reliability(logits, labels, bins)
    total = sum(count for count, _, _ in table)
    return 100.0 * sum(count * abs(confidence - accuracy) for count, confidence, accuracy in table) / total


def calibration_interval(
    logits: Tensor, labels: Tensor, bins: int = 15, *, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % bootstrap confidence interval of the expected calibration error, in percent.

    The bootstrap resamples the test images. The error of a finite test set is biased upwards, and resampling adds the
    same bias again. The interval therefore uses the quantiles of the resampled errors relative to their mean, added to
    the error of the test set.
    """
    confidence, right, index = (x.numpy() for x in _binned(logits, labels, bins))
    gap, n = confidence - right, len(index)
    generator = np.random.default_rng(seed)
    errors = np.empty(resamples)
    for resample in range(resamples):
        items = generator.integers(n, size=n)
        errors[resample] = np.abs(np.bincount(index[items], weights=gap[items], minlength=bins)).sum() / n
    low, high = np.quantile(errors, [0.025, 0.975]) - errors.mean()
    value = calibration_error(logits, labels, bins)
    return max(0.0, value + 100 * float(low)), min(100.0, value + 100 * float(high))


def _binned(logits: Tensor, labels: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the confidence, the correctness (0 or 1) and the bin of each test image."""
    check_logits(logits, labels)
    confidence, prediction = logits.double().softmax(dim=1).max(dim=1)
    index = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
    return confidence, prediction.eq(labels).double(), index
