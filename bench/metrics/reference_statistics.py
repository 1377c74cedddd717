"""Mean and covariance of the Inception features of a reference set, as `mu` and `sigma` in an .npz file.

pytorch-fid and clean-fid write and read this format. The file does not record which extractor and resizing method
produced the features, so the protocol id of a score that uses such a file contains `real-statistics`. This module also
writes the key `protocol`. Files with this key may be overwritten, and other readers ignore the key.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.data.array_files import NpyHeader, read_npz, read_npz_headers
from bench.errors import InputError
from bench.files import sha256_file, write_bytes
from bench.terminal import one_line

# bench.metrics.frechet and inception_network are imported in functions, because these modules import torch, and
# refusing an input does not need torch
MEAN, COVARIANCE, PROTOCOL = "mu", "sigma", "protocol"
ASYMMETRY, NEGATIVE = 1e-5, 1e-4
"""Largest accepted difference of sigma from its transpose, relative to the largest entry, and largest accepted
magnitude of a negative eigenvalue of sigma, relative to the largest eigenvalue."""


@dataclass(frozen=True)
class ReferenceStatistics:
    """Mean [2048] and a factor F [r, 2048] of the covariance F'F, float64."""

    path: Path
    sha256: str
    mean: np.ndarray
    factor: np.ndarray

    @property
    def name(self) -> str:
        return one_line(self.path.name)


def read_statistics(path: Path) -> ReferenceStatistics:
    """Read `mu` and `sigma`. Raises InputError if they are missing, damaged or not statistics of Inception features."""
    headers, names = read_npz_headers(path, (MEAN, COVARIANCE))
    for key in (MEAN, COVARIANCE):
        if key not in headers:
            raise InputError(f"{path}: has no {key}, only {', '.join(names[:5]) or 'other files'}; save mu and sigma")
    _check_shapes(path, headers)
    arrays, _ = read_npz(path, (MEAN, COVARIANCE))
    mean, covariance = (arrays[key].astype(np.float64) for key in (MEAN, COVARIANCE))
    bad = [int(np.count_nonzero(~np.isfinite(array))) for array in (mean, covariance)]
    if any(bad):
        raise InputError(f"{path}: {bad[0]} numbers of mu and {bad[1]} of sigma are NaN or infinite")
    largest = np.abs(covariance).max()
    difference = np.abs(covariance - covariance.T).max()
    if difference > ASYMMETRY * largest:
        raise InputError(f"{path}: sigma is not symmetric; it differs from its transpose by up to {difference:.3g}")
    squares, vectors = np.linalg.eigh(covariance)
    if squares[0] < -NEGATIVE * max(squares[-1], 0):
        extremes = f"its eigenvalues range from {squares[0]:.3g} to {squares[-1]:.3g}"
        raise InputError(f"{path}: sigma is not a covariance; {extremes}")
    rounding = 10 * np.finfo(headers[COVARIANCE].dtype).eps * squares[-1]  # smaller eigenvalues are rounding errors
    significant = squares > rounding
    factor = np.sqrt(squares[significant])[:, None] * vectors.T[significant]
    with np.errstate(over="ignore"):
        size = mean @ mean + squares.sum()
    if not np.isfinite(size):
        largest_values = f"mu has values up to {np.abs(mean).max():.3g} and sigma up to {largest:.3g}"
        raise InputError(f"{path}: {largest_values}, so the distance would overflow")
    return ReferenceStatistics(path, sha256_file(path), mean, factor)


def save_statistics(path: Path, features: np.ndarray, protocol: str) -> None:
    """Write the mean and the unbiased covariance, float64, of features [N, 2048]."""
    from bench.metrics.frechet import centre

    mean, centred = centre(features)
    content = io.BytesIO()
    covariance = centred.T @ centred / (len(centred) - 1)
    np.savez(content, **{MEAN: mean, COVARIANCE: covariance, PROTOCOL: np.array(protocol)})
    write_bytes(path, content.getvalue())


def is_own_statistics(path: Path) -> bool:
    """Return whether `save_statistics` wrote the file."""
    try:
        return set(read_npz_headers(path, ())[1]) == {MEAN, COVARIANCE, PROTOCOL}
    except InputError:
        return False


def _check_shapes(path: Path, headers: dict[str, NpyHeader]) -> None:
    from bench.metrics.inception_network import FEATURES

    mean, covariance = headers[MEAN], headers[COVARIANCE]
    if mean.shape != (FEATURES,) or covariance.shape != (FEATURES, FEATURES):
        raise InputError(
            f"{path}: mu has shape {mean.shape} and sigma {covariance.shape}; "
            f"statistics of Inception's {FEATURES} features are needed"
        )
    for key, header in headers.items():
        if header.dtype.kind != "f":
            raise InputError(f"{path}: {key} is {header.dtype}; float64 or float32 is needed")
