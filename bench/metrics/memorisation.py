"""Memorisation of training images, measured by the nearest training neighbours of samples in feature space.

A sample counts as memorised if it is closer to its nearest training image r than any other training image is to r. The
share of memorised samples needs no threshold. The median of the ratio of the two distances shows partial memorisation.
Copies of r in the training set (distance at most COPY_TOLERANCE times the norm of r's features) count as r. Otherwise
the distance to the nearest other image would be 0, and a copy of a duplicated training image would never count.
"""

from dataclasses import dataclass

import numpy as np

from bench.errors import InputError
from bench.metrics.checks import check_pair
from bench.metrics.prdc import BLOCK, COPY_TOLERANCE, distances

MAX_DISTANCES = 20_000**2
"""Largest number of distances that are computed together. A larger number is computed in blocks to limit memory."""


@dataclass(frozen=True)
class Memorisation:
    """Result for m samples.

    `nearest` [m]: index of the training image r that is nearest to each sample; `ratio` [m]: distance from the sample
    to r, divided by the distance from r to the nearest training image that is not a copy of r.
    """

    share: float
    median_ratio: float
    nearest: np.ndarray
    distance: np.ndarray
    ratio: np.ndarray


def memorisation(real: np.ndarray, fake: np.ndarray) -> Memorisation:
    real, fake = (x.astype(np.float64, copy=False) for x in check_pair(real, fake))
    nearest, distance = _nearest(fake, real)
    real_distance = nearest_distinct(real)[nearest]
    ratio = distance / real_distance
    return Memorisation(float((distance < real_distance).mean()), float(np.median(ratio)), nearest, distance, ratio)


def _nearest(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index and the distance [n] of the row of y [m, D] that is nearest to each row of x [n, D]."""
    rows = len(x) if len(x) * len(y) <= MAX_DISTANCES else BLOCK
    indices, lengths = [], []
    for start in range(0, len(x), rows):
        between = distances(x[start : start + rows], y)
        indices.append(between.argmin(axis=1))
        lengths.append(between[np.arange(len(between)), indices[-1]])
    return np.concatenate(indices), np.concatenate(lengths)


def nearest_distinct(x: np.ndarray) -> np.ndarray:
    """Return the distance [n] from each row to the nearest row that is not a copy of this row.

    Raises InputError if all rows are copies of one image.
    """
    limit = COPY_TOLERANCE * np.linalg.norm(x, axis=1)
    rows = []
    for start in range(0, len(x), BLOCK):
        distance = distances(x[start : start + BLOCK], x)
        copies = distance <= limit[start : start + BLOCK, None]  # each row counts as a copy of itself
        rows.append(np.where(copies, np.inf, distance).min(axis=1))
    nearest = np.concatenate(rows)
    if np.isinf(nearest).any():
        raise InputError(f"memorisation is undefined, because all {len(x)} training images are identical")
    return nearest
