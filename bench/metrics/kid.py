"""Kernel distance (KID): the unbiased squared maximum mean discrepancy under the kernel k(x, y) = (x.y / D + 1)^3.

The value is the mean over random subsets, as usual; the subsets are at most half the smaller set, since a subset that
holds all of 100 images says nothing about chance. The standard error is the jackknife's over images of both sets: the
spread between overlapping subsets is only the error of drawing subsets. The generator is this module's own.
"""

from dataclasses import dataclass

import numpy as np

from bench.errors import InputError
from bench.metrics.checks import check_pair

BLOCK = 2048


@dataclass(frozen=True)
class Kid:
    """Kernel distance (can be negative: it is unbiased), its standard error, and the subsets it is a mean over."""

    value: float
    standard_error: float
    subsets: int
    subset_size: int


def kernel_distance(
    real: np.ndarray, fake: np.ndarray, *, subsets: int = 100, subset_size: int | None = None, seed: int = 0
) -> Kid:
    """KID of feature sets [n, D] and [m, D]; `subset_size` None: min(1000, half the smaller set)."""
    real, fake = (x.astype(np.float64, copy=False) for x in check_pair(real, fake))
    smaller = min(len(real), len(fake))
    size = subset_size or max(2, min(1000, smaller // 2))
    if not 2 <= size <= smaller:
        raise InputError(f"KID subsets of {size} images from sets of {len(real)} and {len(fake)}")
    generator = np.random.default_rng(seed)
    values = [
        squared_discrepancy(
            real[generator.choice(len(real), size, replace=False)],
            fake[generator.choice(len(fake), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return Kid(float(np.mean(values)), jackknife_error(real, fake), subsets, size)


def squared_discrepancy(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased estimate of MMD^2 from all pairs of x [n, D] and y [m, D]."""
    sums_x, sums_y, cross, _ = _sums(x, y)
    return float(_combine(sums_x.sum(), sums_y.sum(), cross.sum(), len(x), len(y)))


def jackknife_error(x: np.ndarray, y: np.ndarray) -> float:
    """Standard error of `squared_discrepancy`: leave each image of either set out in turn."""
    n, m = len(x), len(y)
    if min(n, m) < 3:
        return float("nan")
    sums_x, sums_y, cross_x, cross_y = _sums(x, y)
    total_x, total_y, total = sums_x.sum(), sums_y.sum(), cross_x.sum()
    without_x = _combine(total_x - 2 * sums_x, total_y, total - cross_x, n - 1, m)
    without_y = _combine(total_x, total_y - 2 * sums_y, total - cross_y, n, m - 1)
    return float(np.sqrt((n - 1) * without_x.var() + (m - 1) * without_y.var()))


def _combine(within_x, within_y, cross, n: int, m: int):
    """Sums of kernel values over pairs (without the diagonals) to the unbiased estimate."""
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * cross / (n * m)


def _sums(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Row sums of k(x, x) and k(y, y) without diagonals, row and column sums of k(x, y); block by block."""
    cross_x, cross_y = [], np.zeros(len(y))
    for rows in _blocks(x):
        kernel = _kernel(rows, y)
        cross_x.append(kernel.sum(axis=1))
        cross_y += kernel.sum(axis=0)
    return _within(x), _within(y), np.concatenate(cross_x), cross_y


def _within(x: np.ndarray) -> np.ndarray:
    diagonal = (np.einsum("nd,nd->n", x, x) / x.shape[1] + 1) ** 3
    return np.concatenate([_kernel(rows, x).sum(axis=1) for rows in _blocks(x)]) - diagonal


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _blocks(x: np.ndarray) -> list[np.ndarray]:
    return [x[start : start + BLOCK] for start in range(0, len(x), BLOCK)]
