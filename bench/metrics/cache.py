"""Disk cache of reference features, with one file per (extractor, weights, data, software), written atomically.

The key includes threads and versions because they change the last digits of float32 features. The same export must have
the same score with and without a cached file.
"""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.data.npy import write_array
from bench.errors import InputError
from bench.files import sha256_json
from bench.metrics.features import Extractor, extract_features
from bench.metrics.weights import project
from bench.provenance import processor_name
from bench.runtime.device import device_name

CACHE = "SLIM_BENCH_CACHE"
"""Environment variable with the folder of all caches of features."""


def cache_folder() -> Path:
    """Return SLIM_BENCH_CACHE, else results/cache of the project."""
    return Path(os.environ.get(CACHE) or project() / "results/cache").expanduser()


def cache_key(extractor: Extractor, data_sha256: str) -> str:
    device = torch.device(getattr(extractor, "device", "cpu"))
    machine = processor_name() if device.type == "cpu" else device_name(device)
    return sha256_json(
        {
            "extractor": extractor.name,
            "weights": extractor.weights_sha256,
            "data": data_sha256,
            "torch": torch.__version__,
            "device": machine,
            "capability": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
        }
    )


def cached_features(
    extractor: Extractor, data_sha256: str, batches: Callable[[], Iterable[Tensor]], folder: Path | None = None
) -> np.ndarray:
    """Return the features [N, dim] of a dataset by its hash, computed from `batches()` without a valid cache file."""
    path = cache_path(extractor, data_sha256, cache_folder() if folder is None else Path(folder))
    features = read_features(path, extractor.dim)
    if features is None:
        features = extract_features(extractor, batches())
        write_features(path, features)
    return features


def cache_path(extractor: Extractor, data_sha256: str, folder: Path) -> Path:
    """Return the file in `folder` for the features of a dataset by its hash."""
    return folder / f"{extractor.name.replace('/', '-')}-{cache_key(extractor, data_sha256)[:16]}.npy"


def read_features(path: Path, dim: int) -> np.ndarray | None:
    """Return the cached features, float32 [N, dim]; None for a missing or damaged file."""
    try:
        features = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = features.ndim == 2 and features.shape[1] == dim and features.dtype == np.float32
    return features if whole and np.isfinite(features).all() else None


def write_features(path: Path, features: np.ndarray) -> bool:
    """Cache features atomically. If that is refused, print the reason and return False: they are computed again."""
    try:
        write_array(path, features)
    except InputError as error:  # for example in a read-only project
        reason, _, _remedy = str(error).partition("; ")
        print(f"features not cached: {reason}", file=sys.stderr)
        return False
    return True
