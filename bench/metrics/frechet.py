"""Fréchet distance between two feature sets, each modelled as a Gaussian.

    d^2 = |mu1 - mu2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

Let A and B be the centred features divided by sqrt(n - 1), S1 = A'A and S2 = B'B. The eigenvalues of S1 S2 are the
squared singular values of A B', so the last trace is the sum of these singular values. The number of images determines
the algorithm:

- With fewer images than dimensions, A B' is small, or has a small triangular factor if one set is large, and no
  covariance is formed.
- With more images, the eigenvalues of S1 S2 are computed with one Cholesky factor, which is several times cheaper than
singular values. The
  square root of a small eigenvalue has only half the correct digits of a singular value. If the error bound exceeds
  TOLERANCE (rank-deficient sets), the trace is computed from the singular values of the product of the triangular
  factors (A = Q R, R'R = S1).

Covariances are unbiased (n - 1), as in published scores.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scipy import linalg

from bench.metrics.checks import check_features, check_pair

TOLERANCE = 2e-9
"""Largest accepted error bound of the eigenvalue algorithm, relative to the trace of the matrix square root."""
ROUNDING = 4 * np.finfo(np.float64).eps
"""Rounding error of an eigenvalue, relative to the largest eigenvalue."""
SINGLE_THREAD_COLUMNS = 512
"""Matrices with at most this many columns use one thread, because additional threads mostly wait on a loaded
machine."""


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Return the squared Fréchet distance of feature sets [n, D] and [m, D], computed in float64."""
    real, fake = check_pair(real, fake)
    mean_a, a = centre(real)
    mean_b, b = centre(fake)
    n, m = len(a) - 1, len(b) - 1
    difference = mean_a - mean_b
    traces = np.vdot(a, a) / n + np.vdot(b, b) / m
    return float(difference @ difference + traces - 2 * _trace_of_square_root(a, b) / np.sqrt(n * m))


def frechet_from_moments(mean: np.ndarray, factor: np.ndarray, fake: np.ndarray) -> float:
    """Return the squared distance of a feature set [m, D] to a Gaussian with `mean` [D] and covariance factor' factor.

    `factor` is [r, D] with r <= D.
    """
    mean_b, b = centre(check_features(fake, "sample set"))
    b /= np.sqrt(len(b) - 1)
    difference = mean - mean_b
    traces = np.vdot(factor, factor) + np.vdot(b, b)
    return float(difference @ difference + traces - 2 * _trace_of_square_root(factor, b))


def frechet_curve(real: np.ndarray, fake: np.ndarray, counts: list[int]) -> list[tuple[int, float]]:
    """Return (n, distance of the first n rows of `fake`) for each n in `counts` from 2 to len(fake)."""
    return [(n, frechet_distance(real, fake[:n])) for n in counts if 2 <= n <= len(fake)]


def centre(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean [D] and the centred features [n, D] in float64."""
    centred = np.array(features, dtype=np.float64)
    mean = centred.mean(axis=0)
    centred -= mean
    return mean, centred


def _trace_of_square_root(a: np.ndarray, b: np.ndarray) -> float:
    """Return tr (A'A B'B)^(1/2) for A [n, D] and B [m, D]."""
    if min(len(a), len(b)) > a.shape[1]:
        trace = _from_eigenvalues(a.T @ a, b.T @ b)
        return _singular_values(r_factor(a) @ r_factor(b).T) if trace is None else trace
    product = a @ b.T if len(a) >= len(b) else b @ a.T  # tall, as `r_factor` requires
    return _singular_values(r_factor(product))


def _from_eigenvalues(s1: np.ndarray, s2: np.ndarray) -> float | None:
    """Return the sum of the square roots of the eigenvalues of S1 S2, or None if the error bound exceeds TOLERANCE.

    With S2 = L L', the eigenvalues of S1 S2 equal those of L' S1 L.
    """
    try:
        lower = linalg.cholesky(s2, lower=True, check_finite=False)
    except linalg.LinAlgError:  # S2 is not positive definite
        return None
    product, _ = linalg.lapack.dsygst(s1.T, lower, itype=2, lower=1, overwrite_a=1)  # lower triangle of L' S1 L
    squares = linalg.eigvalsh(product, lower=True, overwrite_a=True, check_finite=False)
    if squares[0] <= 0:
        return None
    roots = np.sqrt(squares)
    error = ROUNDING * squares[-1] * (0.5 / roots).sum()
    trace = roots.sum()
    return float(trace) if error <= TOLERANCE * trace else None


def r_factor(tall: np.ndarray) -> np.ndarray:
    """Return R of the QR factorisation of a tall matrix. On CPUs, torch is four times as fast as SciPy."""
    with _threads_for(tall.shape[1]):
        return torch.linalg.qr(torch.from_numpy(tall), mode="r").R.numpy()


def _singular_values(matrix: np.ndarray) -> float:
    """Return the sum of the singular values."""
    with _threads_for(matrix.shape[1]):
        return float(torch.linalg.svdvals(torch.from_numpy(matrix)).sum())


@contextmanager
def _threads_for(columns: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1 if columns <= SINGLE_THREAD_COLUMNS else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
