"""Safe readers of untrusted array files (IDX and npz).

The readers validate headers first. The shape in a header must match the number of bytes that follow and must not exceed
the limits of bench.data.limits.
"""

import gzip
import io
import math
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bench.data.extract import read_members
from bench.data.limits import Budget, Limits
from bench.data.manifest import NPY_ERRORS
from bench.data.stored import CHUNK, StoredFile, convert_archive_errors
from bench.errors import InputError

MAX_NPY_HEADER_BYTES = 1 << 16


def read_idx(file: StoredFile, max_unpacked_gb: float | None = None) -> np.ndarray:
    """Read an IDX file of unsigned bytes (MNIST's format), gzipped or uncompressed.

    Raises InputError if the header does not match the size of the data.
    """
    with convert_archive_errors(str(file)), _decompressed(file) as (stream, size):
        start = stream.read(4)
        if len(start) < 4 or start[:3] != b"\0\0\x08":
            raise InputError(f"{file}: not an IDX file of unsigned bytes")
        sizes = stream.read(4 * start[3])
        shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
        count = math.prod(shape)
        fits = len(sizes) == 4 * start[3] and size in (None, 4 + len(sizes) + count)
        if fits:
            Budget(str(file), Limits.of(file.data, max_unpacked_gb)).count_bytes(count)
        data = _read_exactly(stream, count) if fits else None
        if data is None:
            raise InputError(f"{file}: the header declares shape {shape}, which does not match the file size")
    return data.reshape(shape)


@contextmanager
def _decompressed(file: StoredFile) -> Iterator[tuple[BinaryIO, int | None]]:
    """Yield the content as a stream, decompressed if gzipped, and the size of the stream, or None if it is unknown."""
    with file.open() as opened:
        packed = opened.read(2) == b"\x1f\x8b"
        opened.seek(0)
        if packed:
            with gzip.open(opened) as unpacked:
                yield unpacked, None
        else:
            yield opened, file.size


def _read_exactly(stream: BinaryIO, count: int) -> np.ndarray | None:
    """Read exactly `count` bytes. Return None if the stream has more or fewer."""
    data, done = np.empty(count, np.uint8), 0
    while chunk := stream.read(min(CHUNK, count - done + 1)):
        if done + len(chunk) > count:
            return None
        data[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    return data if done == count else None


def read_npz(
    path: Path, keys: Collection[str], max_unpacked_gb: float | None = None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the arrays named in `keys` that an .npz file contains, and the names of all members.

    Raises InputError for arrays of Python objects (pickles) and for a shape that does not match the size of the archive
    member. All headers are checked before any data are read.
    """
    headers, names = read_npz_headers(path, keys, max_unpacked_gb)
    arrays = {}
    for member in read_members(path, max_unpacked_gb):
        key = member.name.removesuffix(".npy")
        if key in headers:
            arrays[key] = headers[key].fill(member)
    return arrays, names


def read_npz_headers(
    path: Path, keys: Collection[str], max_unpacked_gb: float | None = None
) -> tuple[dict[str, "NpyHeader"], list[str]]:
    """Return the headers of the arrays named in `keys` that an .npz file contains, and the names of all members."""
    headers: dict[str, NpyHeader] = {}
    names: list[str] = []
    for member in read_members(path, max_unpacked_gb):
        key = member.name.removesuffix(".npy")
        if key in names:
            raise InputError(f"{path}: contains two arrays with the name {key}")
        names.append(key)
        if key in keys:
            headers[key] = _read_npy_header(path, member)
    return headers, names


@contextmanager
def npz_stream(path: Path, key: str, length: int, max_unpacked_gb: float | None = None) -> Iterator["ArrayStream"]:
    """Yield the data of array `key` of an .npz file as a stream that starts after the header of `length` bytes."""
    with closing(read_members(path, max_unpacked_gb)) as members:
        member = next((found for found in members if found.name.removesuffix(".npy") == key), None)
        if member is None:
            raise InputError(f"{path}: array {key} is missing; the file was modified while it was being read")
        with convert_archive_errors(path):
            file = member.open()
        with file:
            stream = ArrayStream(path, file)
            stream.skip(length)
            yield stream


@dataclass(frozen=True)
class ArrayStream:
    """Sequential reader of the data of an array, in chunks."""

    path: Path
    file: BinaryIO

    def read(self, shape: tuple[int, ...]) -> np.ndarray:
        """Read the next bytes as uint8 [*shape]. Raises InputError if fewer bytes remain."""
        data = np.empty(math.prod(shape), np.uint8)
        done = 0
        for chunk in self._chunks(len(data)):
            data[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
            done += len(chunk)
        return data.reshape(shape)

    def skip(self, count: int) -> None:
        for _ in self._chunks(count):
            pass

    def finish(self) -> None:
        """Read to the end of the stream, which verifies the checksum of a zip member."""
        with convert_archive_errors(self.path):
            self.file.read(1)

    def _chunks(self, left: int) -> Iterator[bytes]:
        while left:
            with convert_archive_errors(self.path):
                chunk = self.file.read(min(CHUNK, left))
            if not chunk:
                raise InputError(f"{self.path}: damaged archive (an array ends {left} bytes early)")
            left -= len(chunk)
            yield chunk


@dataclass(frozen=True)
class NpyHeader:
    """The header of an .npy file, parsed from its first `length` bytes."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    length: int

    def fill(self, member: StoredFile) -> np.ndarray:
        """Return the array of `member`, an .npy file that begins with this header."""
        data, done = np.empty(member.size, np.uint8), 0
        for chunk in member.chunks():
            data[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
            done += len(chunk)
        flat = np.frombuffer(data, self.dtype, offset=self.length)
        return flat.reshape(self.shape, order="F" if self.fortran_order else "C")


def _read_npy_header(path: Path, member: StoredFile) -> NpyHeader:
    name = member.name.removesuffix(".npy")
    with convert_archive_errors(path), member.open() as file:
        start = io.BytesIO(file.read(MAX_NPY_HEADER_BYTES))
    try:
        version = np.lib.format.read_magic(start)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran_order, dtype = readers[version](start)
        header = NpyHeader(shape, fortran_order, dtype, start.tell())
        size = header.length + math.prod(shape) * dtype.itemsize
    except (*NPY_ERRORS, KeyError) as error:
        problem = " ".join(str(error).split())[:100]
        raise InputError(f"{path}: {name} is not a readable .npy file ({problem})") from None
    if dtype.hasobject:
        raise InputError(f"{path}: {name} is an array of Python objects, which is unsafe to load; save a numeric array")
    if min(shape, default=0) < 0 or size != member.size:
        raise InputError(
            f"{path}: {name} is damaged: its header declares {dtype} {shape}, but it has {member.size} bytes"
        )
    return header
