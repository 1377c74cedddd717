"""Expected calibration error: |confidence - accuracy| over equal-width bins of confidence, weighted by their counts."""

import torch
from torch import Tensor

from bench.metrics.accuracy import check_logits


def reliability(logits: Tensor, labels: Tensor, bins: int = 15) -> list[tuple[int, float, float]]:
    """Count, mean confidence and accuracy (both 0..1) of each bin; bin i holds (i/bins, (i+1)/bins]."""
    check_logits(logits, labels)
    confidence, prediction = logits.double().softmax(dim=1).max(dim=1)
    right = prediction.eq(labels).double()
    index = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
    count = torch.bincount(index, minlength=bins)
    divisor = count.clamp(min=1)
    mean_confidence = torch.bincount(index, weights=confidence, minlength=bins) / divisor
    accuracy = torch.bincount(index, weights=right, minlength=bins) / divisor
    return list(zip(count.tolist(), mean_confidence.tolist(), accuracy.tolist(), strict=True))


def calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Expected calibration error in percent."""
    table = reliability(logits, labels, bins)
    total = sum(count for count, _, _ in table)
    return 100.0 * sum(count * abs(confidence - accuracy) for count, confidence, accuracy in table) / total
