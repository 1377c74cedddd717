"""Reads the members of a plain or compressed tar, limits the size of headers, and checks the end of the archive."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from bench.data.limits import Budget
from bench.data.stored import CHUNK, StoredFile, check_member_name, convert_archive_errors
from bench.errors import InputError

COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
MAX_HEADER_BYTES = CHUNK
"""Maximum header bytes of one member. Long names and pax records are read into memory."""


class HeaderTooLongError(tarfile.TarError):
    """Error for oversized headers. It is not a ReadError, because `open_tar` returns None for a ReadError."""


class _Stream:
    """File object with the decompressed bytes of a tar; `allowance`: remaining header bytes, or None for no limit."""

    def __init__(self, file: BinaryIO) -> None:
        start = file.read(6)
        file.seek(0)
        opener = next((opener for magic, opener in COMPRESSED.items() if start.startswith(magic)), None)
        self.compressed = opener is not None
        self.file = opener(file) if opener else file
        self.allowance: int | None = MAX_HEADER_BYTES
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if self.allowance is not None:
            self.allowance -= size
            if size < 0 or self.allowance < 0:
                raise HeaderTooLongError(f"a header of more than {MAX_HEADER_BYTES} bytes")
        self.last = self.file.read(size)
        return self.last

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        return self.file.seek(position, whence)

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.file.tell()


def open_tar(file: BinaryIO) -> tuple[tarfile.TarFile, _Stream] | None:
    """Open the tar in an open file. Return None if it is not a tar."""
    file.seek(0)
    stream = _Stream(file)
    try:
        return tarfile.open(fileobj=stream, mode="r:"), stream
    except tarfile.ReadError:
        return None


def tar_members(archive: StoredFile, budget: Budget) -> Iterator[StoredFile]:
    """Yield the members of a tar, as described in `bench.data.extract.read_members`.

    A plain tar is checked completely before the first member is yielded.
    """
    with convert_archive_errors(str(archive)), archive.open() as file:
        opened = open_tar(file)
        if opened is None:
            raise InputError(f"{archive}: neither a tar nor a zip archive")
        tar, stream = opened
        if not stream.compressed:
            for _ in _files(archive, tar, stream, budget):
                pass
            tar, stream = open_tar(file)
            budget = None
        for info in _files(archive, tar, stream, budget):
            name = check_member_name(str(archive), info.name)
            yield StoredFile(name, info.size, partial(tar.extractfile, info), str(archive), info.size)
        if budget is not None:  # read to the end, because compressed streams store their checksum there
            while rest := len(stream.read(CHUNK)):
                budget.count_bytes(rest)


def _files(
    archive: StoredFile, tar: tarfile.TarFile, stream: _Stream, budget: Budget | None
) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of the regular files. Members and bytes count against `budget`."""
    position = -1
    for info in _headers(tar, stream):
        if info.offset <= position or info.size < 0:
            raise tarfile.ReadError(f"member {info.name!r} has a wrong size")
        position = info.offset
        if budget is not None:
            budget.count_members(1)
        if info.isdir():
            continue
        if not info.isreg():
            kind = "link" if info.issym() or info.islnk() else "device or pipe"
            raise InputError(f"{archive}: member {info.name!r} is a {kind}, not a regular file")
        if budget is not None:
            budget.count_bytes(info.size)
        yield info
    if len(stream.last) != tarfile.BLOCKSIZE or any(stream.last):  # tarfile treats a damaged header as the end
        raise tarfile.ReadError("a header is damaged, or the archive is truncated")


def _headers(tar: tarfile.TarFile, stream: _Stream) -> Iterator[tarfile.TarInfo]:
    """Yield the headers, or none if the first header is damaged, because tarfile would continue after that header."""
    info = tar.firstmember
    while info is not None:
        stream.allowance = MAX_HEADER_BYTES
        info = tar.next()
        tar.members.clear()  # tarfile would keep all headers in memory
        stream.allowance = None
        if info is not None:
            yield info
