"""Bootstrap standard error of the Fréchet distance. Generated images are resampled, and reference images are fixed.

Each replicate draws m of the m generated images with replacement, and is represented by the number of times w that each
image was drawn. Let A be the centred reference features divided by sqrt(n - 1), or the triangular factor of this
matrix, and G = F A' the projection of the generated features F. The trace of the matrix square root then depends only
on w and G. It is the sum of the square roots of the eigenvalues of G' diag(w) G / (m - 1), where G is centred. This
matrix has at most min(n, D) rows.

The replicates are biased upwards, because repeated images lower the rank of the covariance. Therefore only the standard
deviation of the replicates is used.
"""

import numpy as np
from scipy import linalg

from bench.metrics.checks import check_pair
from bench.metrics.frechet import centre, r_factor

REPLICATES, REPLICATES_LARGE = 200, 30
MIN_LARGE_RANK = 1024
"""Limit of the smaller dimension of the reference factor. At this size, a replicate takes about a second."""


def replicates_for(factor: np.ndarray) -> int:
    """Return the number of bootstrap replicates for reference features [n, D], or a factor of their covariance."""
    return REPLICATES if min(factor.shape) < MIN_LARGE_RANK else REPLICATES_LARGE


def frechet_standard_error(real: np.ndarray, fake: np.ndarray, seed: int = 0) -> float:
    """Return the standard deviation of the distance over `replicates_for(real)` resamples of the rows of `fake`."""
    real, fake = check_pair(real, fake)
    return spread(Resampled(real, fake), replicates_for(real), seed)


def error_from_moments(mean: np.ndarray, factor: np.ndarray, fake: np.ndarray, seed: int = 0) -> float:
    """Return the standard error for a reference with mean [D] and covariance factor' factor, where factor is [n, D]."""
    return spread(ResampledFromMoments(mean, factor, fake), replicates_for(factor), seed)


def spread(distance: "ResampledFromMoments", replicates: int, seed: int) -> float:
    """Return the standard deviation of a distance over resamples of the generated images."""
    generator = np.random.default_rng(seed)
    m = len(distance.fake)
    values = [distance(np.bincount(generator.integers(m, size=m), minlength=m)) for _ in range(replicates)]
    return float(np.std(values, ddof=1))


class ResampledFromMoments:
    """Fréchet distance between a reference and a multiset of the rows of `fake` [m, D], given as counts [m].

    The reference has the mean [D] and the covariance factor' factor, where `factor` is [n, D].
    """

    def __init__(self, mean: np.ndarray, factor: np.ndarray, fake: np.ndarray):
        self.mean = mean
        self.trace = np.vdot(factor, factor)
        if len(factor) > factor.shape[1]:
            factor = r_factor(factor)
        self.fake = fake.astype(np.float64)
        self.norms = np.einsum("nd,nd->n", self.fake, self.fake)
        self.projected = self.fake @ factor.T

    def __call__(self, counts: np.ndarray) -> float:
        rows = np.flatnonzero(counts)
        weights, n = counts[rows].astype(np.float64), counts.sum()
        mean = counts @ self.fake / n
        centred = (self.projected[rows] - counts @ self.projected / n) * np.sqrt(weights / (n - 1))[:, None]
        gram = centred.T @ centred if len(centred) >= centred.shape[1] else centred @ centred.T
        squares = linalg.eigvalsh(gram, check_finite=False, overwrite_a=True)
        root = np.sqrt(np.clip(squares, 0, None)).sum()
        trace = (weights @ self.norms[rows] - n * (mean @ mean)) / (n - 1)
        difference = self.mean - mean
        return float(difference @ difference + self.trace + trace - 2 * root)


class Resampled(ResampledFromMoments):
    """Fréchet distance between a reference feature set [n, D] and a multiset of generated features."""

    def __init__(self, real: np.ndarray, fake: np.ndarray):
        mean, factor = centre(real)
        factor /= np.sqrt(len(real) - 1)
        super().__init__(mean, factor, fake)
