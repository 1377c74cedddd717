"""Kernel distance (KID), the unbiased squared maximum mean discrepancy with the kernel k(x, y) = (x.y / D + 1)^3.

The value is the mean over random subsets. Subsets have at most half the size of the smaller set, because subsets that
contain all 100 images of a small set do not vary. The standard error is estimated by a jackknife over the images of
both sets, because the spread between overlapping subsets reflects only how the subsets are drawn. Subsets are drawn
with a separate random generator.
"""

from dataclasses import dataclass

import numpy as np

from bench.errors import InputError
from bench.metrics.checks import check_pair

BLOCK = 2048


@dataclass(frozen=True)
class Kid:
    """Kernel distance with its standard error and its subsets. `value` is unbiased and can be negative."""

    value: float
    standard_error: float
    subsets: int
    subset_size: int


def kernel_distance(
    real: np.ndarray, fake: np.ndarray, *, subsets: int = 100, subset_size: int | None = None, seed: int = 0
) -> Kid:
    """Return the KID of feature sets [n, D] and [m, D]. subset_size=None means min(1000, half the smaller set)."""
    real, fake = (x.astype(np.float64, copy=False) for x in check_pair(real, fake))
    smaller = min(len(real), len(fake))
    size = subset_size or max(2, min(1000, smaller // 2))
    if not 2 <= size <= smaller:
        raise InputError(f"KID cannot draw subsets of {size} images from sets of {len(real)} and {len(fake)}")
    generator = np.random.default_rng(seed)
    values = [
        squared_mmd(
            real[generator.choice(len(real), size, replace=False)],
            fake[generator.choice(len(fake), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return Kid(float(np.mean(values)), jackknife_error(real, fake), subsets, size)


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Return the unbiased estimate of MMD^2 from all pairs of x [n, D] and y [m, D]."""
    sums_x, sums_y, cross, _ = _kernel_sums(x, y)
    return float(_unbiased_mmd2(sums_x.sum(), sums_y.sum(), cross.sum(), len(x), len(y)))


def jackknife_error(x: np.ndarray, y: np.ndarray) -> float:
    """Return the jackknife standard error of `squared_mmd`, for which each image of x and y is left out in turn."""
    n, m = len(x), len(y)
    if min(n, m) < 3:
        return float("nan")
    sums_x, sums_y, cross_x, cross_y = _kernel_sums(x, y)
    total_x, total_y, total = sums_x.sum(), sums_y.sum(), cross_x.sum()
    without_x = _unbiased_mmd2(total_x - 2 * sums_x, total_y, total - cross_x, n - 1, m)
    without_y = _unbiased_mmd2(total_x, total_y - 2 * sums_y, total - cross_y, n, m - 1)
    return float(np.sqrt((n - 1) * without_x.var() + (m - 1) * without_y.var()))


def _unbiased_mmd2(within_x, within_y, cross, n: int, m: int):
    """Combine sums of kernel values over pairs (without the diagonals) into the unbiased estimate."""
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * cross / (n * m)


def _kernel_sums(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return row sums of k(x, x) and k(y, y) without diagonals, and row and column sums of k(x, y).

    The kernel is computed in blocks of rows.
    """
    cross_x, cross_y = [], np.zeros(len(y))
    for rows in _blocks(x):
        kernel = _kernel(rows, y)
        cross_x.append(kernel.sum(axis=1))
        cross_y += kernel.sum(axis=0)
    return _off_diagonal_sums(x), _off_diagonal_sums(y), np.concatenate(cross_x), cross_y


def _off_diagonal_sums(x: np.ndarray) -> np.ndarray:
    diagonal = (np.einsum("nd,nd->n", x, x) / x.shape[1] + 1) ** 3
    return np.concatenate([_kernel(rows, x).sum(axis=1) for rows in _blocks(x)]) - diagonal


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _blocks(x: np.ndarray) -> list[np.ndarray]:
    return [x[start : start + BLOCK] for start in range(0, len(x), BLOCK)]
