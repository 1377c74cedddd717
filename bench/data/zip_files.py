"""Reads the members of a zip archive, after checking that its central directory is consistent with the archive."""

import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from bench.data.limits import Budget
from bench.data.stored import StoredFile, check_member_name, convert_archive_errors
from bench.errors import InputError

END_RECORD, ZIP64_LOCATOR, ZIP64_END = b"PK\5\6", b"PK\6\7", b"PK\6\6"
MAX_COMMENT_BYTES = 1 << 16
LOCAL_HEADER = 30
"""Size in bytes of a local header without the member's name."""
TYPICAL_ENTRY = 256
"""Assumed maximum of the average size of a directory entry in bytes. It reveals a wrong number of entries."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def zip_members(archive: StoredFile, budget: Budget) -> Iterator[StoredFile]:
    """Yield the members of a zip, as described in `bench.data.extract.read_members`."""
    with convert_archive_errors(str(archive)), archive.open() as file:
        budget.count_members(_count_entries(file))
        file.seek(0)
        with zipfile.ZipFile(file) as opened:
            infos = [(_checked_name(str(archive), info), info) for info in opened.infolist() if not _is_folder(info)]
            if len(opened.infolist()) > budget.members:
                raise zipfile.BadZipFile(
                    f"its central directory has more entries than the {budget.members} it declares"
                )
            for _, info in infos:
                budget.count_bytes(info.file_size)
            _refuse_overlap([info for _, info in infos], file.seek(0, os.SEEK_END))
            for name, info in infos:
                yield StoredFile(name, info.file_size, partial(opened.open, info), str(archive), info.file_size)


def _is_folder(info: zipfile.ZipInfo) -> bool:
    return info.filename.endswith("/") and not info.file_size


def _checked_name(archive: str, info: zipfile.ZipInfo) -> str:
    name = check_member_name(archive, info.filename)
    if info.filename.endswith("/"):
        raise InputError(f"{archive}: member {info.filename!r} is marked as a folder, but has content")
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        raise InputError(f"{archive}: member {name!r} is a link or device, but only regular files are extracted")
    if info.flag_bits & 1:
        raise InputError(f"{archive}: member {name!r} is encrypted; create the archive without a password")
    if info.compress_type not in METHODS:
        raise InputError(
            f"{archive}: member {name!r} uses compression method {info.compress_type}, which is not supported"
        )
    return name


def _refuse_overlap(infos: list[zipfile.ZipInfo], size: int) -> None:
    """Raise BadZipFile if members overlap. Such members could extract to far more bytes than the archive contains."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end or info.header_offset + LOCAL_HEADER + info.compress_size > size:
            raise zipfile.BadZipFile(f"member {info.filename!r} overlaps with another, or ends beyond the archive")
        end = info.header_offset + LOCAL_HEADER + info.compress_size


def _count_entries(file: BinaryIO) -> int:
    """Return the number of entries that the end record declares, but at least the directory's size / TYPICAL_ENTRY.

    zipfile reads all entries regardless of the declared number. Reading 100,000 entries takes a second and 100 MB.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - MAX_COMMENT_BYTES - 22 - 20 - 56))
    tail = file.read()
    end = tail.rfind(END_RECORD)
    if end < 0 or len(tail) < end + 22:
        raise zipfile.BadZipFile("its directory is missing, so it is truncated or not a zip")
    count, length = struct.unpack_from("<HL", tail, end + 10)
    if end >= 20 and tail[end - 20 : end - 16] == ZIP64_LOCATOR:
        (offset,) = struct.unpack_from("<Q", tail, end - 12)
        file.seek(offset)
        record = file.read(56)
        if len(record) == 56 and record.startswith(ZIP64_END):
            count, length = struct.unpack_from("<QQ", record, 32)
    return max(count, length // TYPICAL_ENTRY)
