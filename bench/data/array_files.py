"""Files of arrays that strangers made: IDX, npz, and the pickles of CIFAR, read without running code."""

import gzip
import io
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bench.data.extract import BROKEN, Limits
from bench.errors import InputError

NPZ_LIMITS = Limits(members=100, bytes=8 << 30)


def read_idx(source: Path | BinaryIO, max_bytes: int = 1 << 30) -> np.ndarray:
    """An IDX file of unsigned bytes (MNIST's format), gzipped or plain; length and header must agree."""
    name = str(getattr(source, "name", source))
    try:
        raw = Path(source).read_bytes() if isinstance(source, str | Path) else source.read()
        with _plain(raw) as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror or error})") from None
    except BROKEN as error:
        raise InputError(f"{name}: damaged gzip file ({error})") from None
    if len(data) > max_bytes:
        raise InputError(f"{name}: unpacks to more than {max_bytes} bytes")
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise InputError(f"{name}: not an IDX file of unsigned bytes")
    offset = 4 + 4 * data[3]
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, offset, 4))
    if len(data) - offset != int(np.prod(shape, dtype=object)):
        raise InputError(f"{name}: header says {shape}, but {len(data) - offset} bytes follow")
    return np.frombuffer(data, np.uint8, offset=offset).reshape(shape)


@contextmanager
def _plain(raw: bytes) -> Iterator[BinaryIO]:
    with io.BytesIO(raw) as file:
        if raw.startswith(b"\x1f\x8b"):
            with gzip.open(file) as unpacked:
                yield unpacked
        else:
            yield file


def read_npz(path: Path, limits: Limits = NPZ_LIMITS) -> dict[str, np.ndarray]:
    """Arrays of an .npz file; object arrays (pickles) and oversized members are refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
        if len(infos) > limits.members or sum(info.file_size for info in infos) > limits.bytes:
            raise InputError(f"{path}: larger than {limits.members} arrays or {limits.bytes} bytes")
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a plain array file ({error})") from None
    except (*BROKEN, OSError) as error:
        raise InputError(f"{path}: damaged npz file ({error})") from None


class _ArraysOnly(pickle.Unpickler):
    """Unpickles containers, strings, numbers and NumPy arrays; any other name is refused."""

    allowed = {("_reconstruct", "multiarray"), ("ndarray", "numpy"), ("dtype", "numpy"), ("encode", "_codecs")}

    def find_class(self, module: str, name: str) -> Any:
        if (name, module.split(".")[-1]) not in self.allowed or module.split(".")[0] not in ("numpy", "_codecs"):
            raise pickle.UnpicklingError(f"{module}.{name} is not an array")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_array_pickle(data: bytes, name: str) -> dict[bytes, Any]:
    """A batch of CIFAR's Python version: a pickled dictionary with byte-string keys, read without running code."""
    try:
        value = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a damaged pickle may end in anything, SystemError included
        raise InputError(f"{name}: not a plain array pickle ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{name}: a dictionary was expected, found {type(value).__name__}")
    return value
