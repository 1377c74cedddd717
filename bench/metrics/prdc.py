"""Precision, recall, density and coverage from k-nearest neighbours in feature space.

The ball around a real image reaches to its k-th nearest other real image. Precision is the share of generated images in
at least one ball, and recall is the share of real images in at least one ball around a generated image (Kynkaanniemi et
al. 2019). Density is the mean number of balls that contain a generated image, divided by k. Coverage is the share of
real images whose ball contains a generated image (Naeem et al. 2020). All four depend on n and k, so the protocol id
contains both.
"""

from dataclasses import dataclass

import numpy as np

from bench.errors import InputError
from bench.metrics.checks import check_pair

BLOCK = 2048
COPY_TOLERANCE = 1e-4
"""Rows closer than this fraction of their norm count as copies. The features of equal images differ by about 1e-6."""


@dataclass(frozen=True)
class Prdc:
    """The four metrics. All are shares in 0..1 except the density, which may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(real: np.ndarray, fake: np.ndarray, *, k: int = 5) -> Prdc:
    """Return all four metrics for feature sets [n, D] and [m, D].

    Raises InputError unless both sets have more than k rows.
    """
    real, fake = (x.astype(np.float64, copy=False) for x in check_pair(real, fake))
    if min(len(real), len(fake)) <= k:
        raise InputError(f"precision and recall with k={k} need more than {k} images, got {len(real)} and {len(fake)}")
    radius_real, radius_fake = neighbour_distance(real, k), neighbour_distance(fake, k)
    inside_real = np.zeros(len(fake), dtype=int)
    recalled, covered = [], []
    for start in range(0, len(real), BLOCK):
        distance = distances(real[start : start + BLOCK], fake)
        inside = distance <= radius_real[start : start + BLOCK, None]
        inside_real += inside.sum(axis=0)
        covered.append(inside.any(axis=1))
        recalled.append((distance <= radius_fake[None, :]).any(axis=1))
    return Prdc(
        precision=float((inside_real > 0).mean()),
        recall=float(np.concatenate(recalled).mean()),
        density=float(inside_real.mean() / k),
        coverage=float(np.concatenate(covered).mean()),
    )


def neighbour_distance(x: np.ndarray, k: int) -> np.ndarray:
    """Return the distance [n] of each row to its k-th nearest other row."""
    rows = []
    for start in range(0, len(x), BLOCK):
        distance = distances(x[start : start + BLOCK], x)
        rows_of_block = np.arange(len(distance))
        distance[rows_of_block, rows_of_block + start] = np.inf
        rows.append(np.partition(distance, k - 1, axis=1)[:, k - 1])
    return np.concatenate(rows)


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances [n, m] of rows of x and y, from |x|^2 + |y|^2 - 2 x.y in float64."""
    squared = np.einsum("nd,nd->n", x, x)[:, None] + np.einsum("nd,nd->n", y, y)[None, :] - 2 * (x @ y.T)
    return np.sqrt(np.maximum(squared, 0))
