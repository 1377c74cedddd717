"""Writes .npy files without memory maps. Writing to a memory map on a full disk kills the process with a bus error.

The files are identical to those of `numpy.save`, whose error message does not mention a full disk.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from bench.files import atomic_file

HEADER = 128  # size of the header in bytes, for every shape in use
UNSUPPORTED = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}
"""Error numbers of file systems that cannot reserve space."""


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array of any shape and numeric type. Raises InputError, naming the folder, if the disk is full."""
    with atomic_file(path, HEADER + array.nbytes) as file:
        np.lib.format.write_array(SimpleNamespace(write=file.write), array, allow_pickle=False)


@contextmanager
def array_by_row(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[Callable[[int, np.ndarray], None]]:
    """Yield a function that writes row `index` [*shape[1:]] from any thread. The file is kept if the block succeeds.

    The disk space is reserved first if the file system supports this, so that a full disk is detected at the start.
    """
    row_bytes = int(np.prod(shape[1:])) * dtype.itemsize
    with atomic_file(path, HEADER + shape[0] * row_bytes) as file:
        description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, description)
        file.flush()
        start, descriptor = file.tell(), file.fileno()
        _reserve(descriptor, start + shape[0] * row_bytes)

        def write(index: int, row: np.ndarray) -> None:
            if row.shape != shape[1:] or row.dtype != dtype:
                raise ValueError(f"row {index} is {row.dtype} {row.shape}, not {dtype} {shape[1:]}")
            _write_at(descriptor, np.ascontiguousarray(row), start + index * row_bytes)

        yield write


def _reserve(descriptor: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def _write_at(descriptor: int, row: np.ndarray, offset: int) -> None:
    left = memoryview(row).cast("B")
    while left:
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written
