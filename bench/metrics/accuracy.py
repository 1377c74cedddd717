"""Top-k accuracy, accuracy per class and confusion matrix from logits [N, classes] and labels [N]."""

import math

import torch
from torch import Tensor

from bench.errors import InputError


def check_logits(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise InputError(
            f"expected logits [N, classes] and labels [N], got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    if not len(labels):
        raise InputError("no test images")
    if not torch.isfinite(logits).all():
        bad = int((~torch.isfinite(logits)).any(dim=1).sum())
        raise InputError(f"{bad} of {len(logits)} rows of logits contain NaN or infinity")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[1]:
        raise InputError(f"labels range from {low} to {high}, but the network has {logits.shape[1]} classes")


def top_k(logits: Tensor, labels: Tensor, k: int) -> float:
    """Return the percentage of images whose label is among the k largest logits."""
    check_logits(logits, labels)
    if not 1 <= k <= logits.shape[1]:
        raise InputError(f"top-{k} is not defined for {logits.shape[1]} classes")
    hits = logits.topk(k, dim=1).indices.eq(labels[:, None]).any(dim=1)
    return 100.0 * hits.double().mean().item()


def confusion_matrix(logits: Tensor, labels: Tensor) -> Tensor:
    """Return counts [classes, classes], whose rows are true classes and whose columns are predicted classes."""
    check_logits(logits, labels)
    classes = logits.shape[1]
    return torch.bincount(labels * classes + logits.argmax(dim=1), minlength=classes**2).reshape(classes, classes)


def per_class(confusion: Tensor) -> list[float | None]:
    """Return the accuracy of each class in percent, or None for a class without test images."""
    totals = confusion.sum(dim=1)
    right = 100.0 * confusion.diagonal().double() / totals
    return [value if total else None for value, total in zip(right.tolist(), totals.tolist(), strict=True)]


def wilson_interval(percent: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % Wilson confidence interval, in percent, of a percentage observed on n test items.

    scipy.stats gives the same interval to six digits (its z is not rounded), but its import takes 1.2 s of CPU time.
    """
    p = percent / 100
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, 100 * (centre - half)), min(100.0, 100 * (centre + half))
