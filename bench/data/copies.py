"""Copies a file and verifies it while copying, so that an incorrect file never gets the final name."""

import hashlib
from pathlib import Path

from bench.data.connection import UnavailableError
from bench.files import atomic_file, check_regular

CHUNK = 1 << 20


def copy_verified(source: Path, path: Path, sha256: str | None, md5: str | None, size: int | None) -> None:
    """Copy `source` to `path`. Raises UnavailableError if the size or a checksum does not match."""
    check_regular(source)
    digests = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    count = 0
    with source.open("rb") as content, atomic_file(path, source.stat().st_size) as copy:
        while chunk := content.read(CHUNK):
            copy.write(chunk)
            count += len(chunk)
            for digest in digests.values():
                digest.update(chunk)
        if size is not None and count != size:
            raise UnavailableError(f"{source}: has {count} bytes, but {size} are expected; replace this file")
        for kind, wanted in (("sha256", sha256), ("md5", md5)):
            found = digests[kind].hexdigest()
            if wanted and not found.startswith(wanted):
                raise UnavailableError(f"{source}: {kind} is {found}, but {wanted} is expected; replace this file")
