"""Is a generator copying? Nearest training neighbours of its samples in feature space.

A sample is near its training image r if it is nearer to r than r's nearest other training image is: the share of such
samples needs no threshold. Half-memorised sets show in the median of the same ratio.
"""

from dataclasses import dataclass

import numpy as np

from bench.metrics.checks import check_pair
from bench.metrics.prdc import distances, neighbour_distance


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
    own = neighbour_distance(real, 1)[nearest]
    ratio = distance / np.maximum(own, np.finfo(float).tiny)
    return Memorisation(float((distance < own).mean()), float(np.median(ratio)), nearest, distance, ratio)
