"""Frechet distance between two sets of features, taken as Gaussians.

    d^2 = |mu1 - mu2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

With A, B the centred features over sqrt(n - 1), S1 = A'A and S2 = B'B, the eigenvalues of S1 S2 are the squared
singular values of A B', so the last trace is their sum. Two forms, chosen by size:

- fewer images than dimensions: A B' itself is small (its triangular factor, where one side is long), and no covariance
  is ever formed;
- more images: the eigenvalues of S1 S2 through one Cholesky factor, several times cheaper. It squares what it then
  roots, so a small singular value loses half its digits: where the bound on that exceeds TOLERANCE (rank-deficient
  sets), the singular values of the triangular factors' product are taken instead (A = Q R keeps R'R = S1).

Covariances are the unbiased ones (n - 1), as in the published scores.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scipy import linalg

from bench.metrics.checks import check_pair

TOLERANCE = 2e-9
"""Largest bound on the error, relative to the trace of the root, that the eigenvalue form may carry."""
ROUNDING = 4 * np.finfo(np.float64).eps
"""Error of an eigenvalue, relative to the largest."""
SMALL = 512
"""Up to so many columns are factorised on one thread: on a busy machine more of them mostly wait for each other."""


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Squared Frechet distance of two feature sets [n, D] and [m, D], in float64."""
    real, fake = check_pair(real, fake)
    mean_a, a = _centred(real)
    mean_b, b = _centred(fake)
    n, m = len(a) - 1, len(b) - 1
    difference = mean_a - mean_b
    traces = np.vdot(a, a) / n + np.vdot(b, b) / m
    return float(difference @ difference + traces - 2 * _trace_of_root(a, b) / np.sqrt(n * m))


def frechet_curve(real: np.ndarray, fake: np.ndarray, counts: list[int]) -> list[tuple[int, float]]:
    """The distance against the number of fakes: the first n of `fake` for each n of `counts` that it has."""
    return [(n, frechet_distance(real, fake[:n])) for n in counts if 2 <= n <= len(fake)]


def _centred(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centred = np.array(features, dtype=np.float64)
    mean = centred.mean(axis=0)
    centred -= mean
    return mean, centred


def _trace_of_root(a: np.ndarray, b: np.ndarray) -> float:
    """tr (A'A B'B)^(1/2) for A [n, D] and B [m, D]."""
    if min(len(a), len(b)) > a.shape[1]:
        trace = _from_eigenvalues(a.T @ a, b.T @ b)
        return _singular_values(_triangle(a) @ _triangle(b).T) if trace is None else trace
    product = a @ b.T if len(a) >= len(b) else b @ a.T  # long side first
    return _singular_values(_triangle(product))


def _from_eigenvalues(s1: np.ndarray, s2: np.ndarray) -> float | None:
    """Sum of the roots of the eigenvalues of S1 S2, those of L' S1 L with S2 = L L'; None where rounding could show."""
    try:
        lower = linalg.cholesky(s2, lower=True, check_finite=False)
    except linalg.LinAlgError:  # S2 is not positive definite
        return None
    product, _ = linalg.lapack.dsygst(s1.T, lower, itype=2, lower=1, overwrite_a=1)  # L' S1 L, its lower triangle
    squares = linalg.eigvalsh(product, lower=True, overwrite_a=True, check_finite=False)
    if squares[0] <= 0:
        return None
    roots = np.sqrt(squares)
    error = ROUNDING * squares[-1] * (0.5 / roots).sum()
    trace = roots.sum()
    return float(trace) if error <= TOLERANCE * trace else None


def _triangle(tall: np.ndarray) -> np.ndarray:
    """R of the QR factorisation of a tall matrix, by torch's LAPACK: four times as fast as SciPy's on CPUs."""
    with _threads_for(tall.shape[1]):
        return torch.linalg.qr(torch.from_numpy(tall), mode="r").R.numpy()


def _singular_values(matrix: np.ndarray) -> float:
    """Their sum."""
    with _threads_for(matrix.shape[1]):
        return float(torch.linalg.svdvals(torch.from_numpy(matrix)).sum())


@contextmanager
def _threads_for(columns: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1 if columns <= SMALL else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
