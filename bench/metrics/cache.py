"""Disk cache of reference features, with one file per (extractor, weights, data, software), written atomically.

Each file is an .npy file followed by the sha256 of its bytes. The features of a damaged file are computed again. The
key includes the number of threads and the version of torch, because both change the last digits of float32 features. An
export must have the same score with and without a cached file.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from bench.data.manifest import NPY_ERRORS
from bench.data.npy import HEADER
from bench.errors import InputError
from bench.files import atomic_file, check_regular, sha256_json
from bench.metrics.features import Extractor, extract_features
from bench.paths import project
from bench.provenance import processor_name
from bench.runtime.device import device_name

READ_CHUNK_BYTES = 1 << 20
CACHE = "SLIM_BENCH_CACHE"
"""Environment variable with the folder of the feature cache."""


def cache_folder() -> Path:
    """Return the folder in SLIM_BENCH_CACHE or, if it is not set, results/cache of the project."""
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
    """Return the features [N, dim] of the dataset with the hash `data_sha256`.

    If no valid file is cached, the features are computed from `batches()` and cached.
    """
    path = cache_path(extractor, data_sha256, cache_folder() if folder is None else Path(folder))
    features = read_features(path, extractor.dim)
    if features is None:
        features = extract_features(extractor, batches())
        write_features(path, features)
    return features


def cache_path(extractor: Extractor, data_sha256: str, folder: Path) -> Path:
    """Return the path in `folder` of the cached features of the dataset with the hash `data_sha256`."""
    return folder / f"{extractor.name.replace('/', '-')}-{cache_key(extractor, data_sha256)[:16]}.npy"


def read_features(path: Path, dim: int) -> np.ndarray | None:
    """Return the cached features, float32 [N, dim], or None if the file is missing or damaged.

    The checksum is verified before the array is loaded.
    """
    digest = hashlib.sha256()
    try:
        check_regular(path)
        with path.open("rb") as file:
            left = os.fstat(file.fileno()).st_size - digest.digest_size
            if left <= 0 or not file.peek(6).startswith(np.lib.format.MAGIC_PREFIX):
                return None
            while left and (part := file.read(min(left, READ_CHUNK_BYTES))):
                digest.update(part)
                left -= len(part)
            if file.read() != digest.digest():
                return None
            file.seek(0)
            features = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, EOFError, *NPY_ERRORS):  # NPY_ERRORS contains ValueError, and InputError is a ValueError
        return None
    return features if features.ndim == 2 and features.shape[1] == dim and features.dtype == np.float32 else None


def write_features(path: Path, features: np.ndarray) -> bool:
    """Cache features atomically. If they cannot be written, print the reason and return False."""
    digest = hashlib.sha256()

    def write(part: bytes) -> None:
        digest.update(part)
        file.write(part)

    try:
        with atomic_file(path, HEADER + features.nbytes + digest.digest_size) as file:
            np.lib.format.write_array(SimpleNamespace(write=write), features, allow_pickle=False)
            file.write(digest.digest())
    except InputError as error:  # for example in a read-only project
        reason, _, _remedy = str(error).partition("; ")
        print(f"features not cached: {reason}", file=sys.stderr)
        return False
    return True
