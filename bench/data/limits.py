"""Limits on the extracted size of an archive or array file. docs/how-to/data.md also states these limits.

The limit grows with the size of the file, so it admits large datasets but not a small file that expands to gigabytes of
zeros. Holes of a sparse file do not count as part of its size. Extracted sizes are added up from headers before the
extraction, and checked again while reading.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InputError, existing_parent

GB = 10**9
MIN_BYTE_LIMIT = GB // 2
"""Extracted size in bytes that is allowed regardless of the size of the file."""
MAX_EXTRACTION_RATIO = 20
"""Maximum ratio of extracted size to file size; archives of images and pixel arrays stay below 10."""
MIN_MEMBER_LIMIT = 200_000
MEMBERS_PER_GB = 100_000
"""Number of archive members that a limit set by the user allows per GB."""
LIMIT_OPTION = "--max-unpacked-gb (or max_unpacked_gb in config/config.yaml)"


@dataclass(frozen=True)
class Limits:
    """Maximum extracted size in bytes and maximum number of members of an archive."""

    bytes: int = MIN_BYTE_LIMIT
    members: int = MIN_MEMBER_LIMIT

    @classmethod
    def of(cls, size: int, max_unpacked_gb: float | None = None) -> "Limits":
        """Return the limits for an archive of `size` bytes; `max_unpacked_gb` is the limit set by the user, if any."""
        if max_unpacked_gb is None:
            return cls(max(MIN_BYTE_LIMIT, MAX_EXTRACTION_RATIO * size))
        return cls(int(max_unpacked_gb * GB), max(MIN_MEMBER_LIMIT, int(max_unpacked_gb * MEMBERS_PER_GB)))


class Budget:
    """Running totals of members and bytes from the headers of `archive`.

    Raises InputError if a total exceeds `limits` or the free space of `target`.
    """

    def __init__(self, archive: str, limits: Limits, target: Path | None = None) -> None:
        self.archive, self.limits, self.target = archive, limits, target
        self.free = None if target is None else shutil.disk_usage(target).free
        self.members = self.bytes = 0

    def count_members(self, count: int) -> None:
        self.members += count
        if self.members > self.limits.members:
            raise InputError(
                f"{self.archive}: contains {self.members} members or more, but the limit is {self.limits.members}; "
                f"raise it with {LIMIT_OPTION}, {MEMBERS_PER_GB} members per GB, or pass an extracted folder"
            )

    def count_bytes(self, count: int) -> None:
        self.bytes += count
        if self.bytes > self.limits.bytes:
            raise InputError(
                f"{self.archive}: unpacks to {gigabytes(self.bytes)} or more, but the limit is "
                f"{gigabytes(self.limits.bytes)}; if you trust it, raise the limit with {LIMIT_OPTION}"
            )
        if self.free is not None:
            check_free_space(self.archive, self.bytes, self.target, self.free)


def check_free_space(archive: str, needed: int, target: Path, free: int | None = None) -> None:
    """Raise InputError if the disk of folder `target` has less than `needed` free bytes for an extraction."""
    free = shutil.disk_usage(target).free if free is None else free
    if needed > free:
        raise InputError(
            f"{archive}: unpacks to {gigabytes(needed)} or more, but {gigabytes(free)} are free in "
            f"{existing_parent(target / 'member')}; free some space"
        )


def gigabytes(count: int) -> str:
    return f"{count / GB:.3g} GB" if count >= GB // 1000 else f"{count} bytes"


def data_bytes(path: Path) -> int:
    """Return the size of a file in bytes, excluding holes."""
    with path.open("rb") as file:
        size, end, found = os.fstat(file.fileno()).st_size, 0, 0
        while end < size:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:  # no data after `end`
                break
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found += end - start
    return found


def refuse_sparse_file(path: Path, size: int) -> None:
    """Raise InputError for a large sparse file, which takes minutes to hash and contains no dataset."""
    if size > MIN_BYTE_LIMIT and (data := data_bytes(path)) * MAX_EXTRACTION_RATIO < size:
        raise InputError(
            f"{path}: is a sparse file of {gigabytes(size)} with {gigabytes(data)} of data; replace it with a file "
            "without holes (cp --sparse=never)"
        )
