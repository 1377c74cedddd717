"""Frechet distance between two sets of features, taken as Gaussians.

    d^2 = |mu1 - mu2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

With A, B the centred features over sqrt(n - 1), S1 = A'A and S2 = B'B, the eigenvalues of S1 S2 are the squared
singular values of A B', so the last trace is their sum. No covariance matrix of few images is ever rooted: with fewer
images than dimensions A B' itself is small, else the triangular factors of A and B stand for them (A = Q R keeps
R'R = S). Singular values, not roots of a Gram matrix's eigenvalues: those lose half the digits on rank-deficient sets.
Covariances are the unbiased ones (n - 1), as in the published scores.
"""

import numpy as np
from scipy import linalg

from bench.metrics.checks import check_pair


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Squared Frechet distance of two feature sets [n, D] and [m, D], in float64."""
    real, fake = check_pair(real, fake)
    difference = real.mean(axis=0) - fake.mean(axis=0)
    a, b = _scaled(real), _scaled(fake)
    traces = np.vdot(a, a) + np.vdot(b, b)
    return float(difference @ difference + traces - 2 * _trace_of_root(a, b))


def frechet_curve(real: np.ndarray, fake: np.ndarray, counts: list[int]) -> list[tuple[int, float]]:
    """The distance against the number of fakes: the first n of `fake` for each n of `counts` that it has."""
    return [(n, frechet_distance(real, fake[:n])) for n in counts if 2 <= n <= len(fake)]


def _scaled(features: np.ndarray) -> np.ndarray:
    return (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)


def _trace_of_root(a: np.ndarray, b: np.ndarray) -> float:
    """tr (A'A B'B)^(1/2) for A [n, D] and B [m, D]."""
    if min(len(a), len(b)) >= a.shape[1]:
        return _nuclear_norm(_triangle(a) @ _triangle(b).T)
    product = a @ b.T if len(a) >= len(b) else b @ a.T  # long side first
    return _nuclear_norm(_triangle(product))


def _triangle(tall: np.ndarray) -> np.ndarray:
    """R of the QR factorisation of a tall matrix; a square one is its own stand-in."""
    if len(tall) == tall.shape[1]:
        return tall
    return linalg.qr(tall, mode="r", overwrite_a=False, check_finite=False)[0][: tall.shape[1]]


def _nuclear_norm(matrix: np.ndarray) -> float:
    return float(linalg.svdvals(matrix, check_finite=False).sum())
