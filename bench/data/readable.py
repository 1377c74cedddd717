"""Finds damage in a file without a checksum by reading the file to its end.

Archives, parquet files and images are recognised by their first bytes. Other files are not read.
"""

import gzip
from pathlib import Path

from bench.data.extract import is_archive, read_members
from bench.data.images import decoded
from bench.data.parquet import MAGIC, read_rows
from bench.data.stored import CHUNK, convert_archive_errors
from bench.errors import InputError

IMAGES = (b"\x89PNG\r\n", b"\xff\xd8\xff")


def check_readable(path: Path) -> None:
    """Raise InputError if a file is damaged or truncated."""
    with path.open("rb") as file:
        start = file.read(512)
    packed = start.startswith((b"PK", b"BZh", b"\xfd7zXZ\0")) or start[257:262] == b"ustar"
    if packed or (start.startswith(b"\x1f\x8b") and is_archive(path)):
        count = 0
        for member in read_members(path):
            for _ in member.chunks():
                pass
            count += 1
        if not count:
            raise InputError(f"{path}: an archive without files")
    elif start.startswith(b"\x1f\x8b"):
        with convert_archive_errors(path), gzip.open(path) as file:
            while file.read(CHUNK):
                pass
    elif start.startswith(MAGIC):
        for _ in read_rows(path):
            pass
    elif start.startswith(IMAGES):
        with decoded(path):
            pass
