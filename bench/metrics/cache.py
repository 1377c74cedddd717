"""Features of reference sets, kept on disk: one file per (extractor, weights, data, software), written atomically.

Threads and versions are in the key because they move the last digits of float32 features, and the same export must give
the same score whether the cache was warm or not.
"""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.files import atomic_file, sha256_json
from bench.metrics.features import Extractor, extract_features
from bench.metrics.weights import project
from bench.provenance import processor_name
from bench.runtime.device import device_name


def cache_folder() -> Path:
    """SLIM_BENCH_CACHE, else results/cache of the project."""
    return Path(os.environ.get("SLIM_BENCH_CACHE") or project() / "results/cache").expanduser()


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
    """Features [N, dim] of the data set of that hash; computed from `batches()` if the file is absent or damaged."""
    folder = cache_folder() if folder is None else Path(folder)
    path = folder / f"{extractor.name.replace('/', '-')}-{cache_key(extractor, data_sha256)[:16]}.npy"
    features = _read(path, extractor.dim)
    if features is None:
        features = extract_features(extractor, batches())
        try:
            with atomic_file(path) as file:
                np.save(file, features)
        except OSError as error:  # somebody else's project, say: the next scoring computes them again
            print(f"features are not kept: {path}: {error.strerror}", file=sys.stderr)
    return features


def _read(path: Path, dim: int) -> np.ndarray | None:
    try:
        features = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = features.ndim == 2 and features.shape[1] == dim and features.dtype == np.float32
    return features if whole and np.isfinite(features).all() else None
