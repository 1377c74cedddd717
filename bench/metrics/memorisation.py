"""Is a generator copying? Nearest training neighbours of its samples in feature space.

A sample is near its training image r if it is nearer to r than r's nearest other training image is: the share of such
samples needs no threshold. Half-memorised sets show in the median of the same ratio. Copies of r within the training
set (distance at most COPY times the length of r's features) are r itself: with them its nearest distance would be 0,
and an exact copy of an image that the set holds twice would never count.
"""

from dataclasses import dataclass

import numpy as np

from bench.errors import InputError
from bench.metrics.checks import check_pair
from bench.metrics.prdc import BLOCK, COPY, distances


@dataclass(frozen=True)
class Memorisation:
    """`nearest` [m] indexes the training set; `ratio` [m] is distance over that image's own nearest distance."""

    share: float
    median_ratio: float
    nearest: np.ndarray
    distance: np.ndarray
    ratio: np.ndarray


def memorisation(real: np.ndarray, fake: np.ndarray) -> Memorisation:
    real, fake = (x.astype(np.float64, copy=False) for x in check_pair(real, fake))
    between = distances(fake, real)
    nearest = between.argmin(axis=1)
    distance = between[np.arange(len(fake)), nearest]
    own = nearest_distinct(real)[nearest]
    ratio = distance / own
    return Memorisation(float((distance < own).mean()), float(np.median(ratio)), nearest, distance, ratio)


def nearest_distinct(x: np.ndarray) -> np.ndarray:
    """Distance of each row to the nearest one that is not a copy of it, [n]; refused where all rows are copies."""
    limit = COPY * np.linalg.norm(x, axis=1)
    rows = []
    for start in range(0, len(x), BLOCK):
        distance = distances(x[start : start + BLOCK], x)
        copies = distance <= limit[start : start + BLOCK, None]  # the row itself is one
        rows.append(np.where(copies, np.inf, distance).min(axis=1))
    nearest = np.concatenate(rows)
    if np.isinf(nearest).any():
        raise InputError(f"memorisation needs training images that differ: all {len(x)} are copies of one")
    return nearest
