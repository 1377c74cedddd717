"""Checks a downloaded file for wrong checksums, a web page in place of the file, unrequested compression and damage."""

import gzip
import hashlib
import zlib
from pathlib import Path

from bench.data.connection import UnavailableError
from bench.data.limits import gigabytes
from bench.errors import InputError, writing

CHUNK = 1 << 18
PAGES = (b"<!doctype html", b"<html", b"<head", b"<body")
BINARY = (".zip", ".tar", ".tgz", ".gz", ".parquet", ".png", ".jpg", ".jpeg", ".webp")
"""Suffixes of files that never consist of text."""


def content_problem(path: Path, sha256: str | None, md5: str | None, size: int | None) -> str | None:
    """Return the difference between a file and its expected size and checksums, or None."""
    if size is not None and path.stat().st_size != size:
        return f"{path.stat().st_size} bytes were received, but {size} are expected"
    for kind, wanted in (("sha256", sha256), ("md5", md5)):
        if wanted:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, kind).hexdigest()
            if not found.startswith(wanted):
                return f"{kind} is {found}, but {wanted} is expected"
    return None


def is_web_page(start: bytes) -> bool:
    """Return whether a file begins like an HTML page."""
    return start[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(PAGES)


def web_page_error(url: str) -> UnavailableError:
    return UnavailableError(
        f"{url}: the server sent a web page (HTML) instead of the file, such as a login page; open the address in a "
        "browser, and install the file manually"
    )


def decompress(path: Path, url: str, max_bytes: int) -> None:
    """Replace a file by its decompressed content if it is gzipped. Raises UnavailableError above `max_bytes` bytes."""
    unpacked, done = path.with_name(f"{path.name}.unpacked"), 0
    try:
        with gzip.open(path) as packed, writing(unpacked), unpacked.open("wb") as file:
            while chunk := packed.read(CHUNK):
                done += len(chunk)
                if done > max_bytes:
                    path.unlink()
                    raise UnavailableError(f"{url}: decompresses to more than {gigabytes(max_bytes)}; check the source")
                file.write(chunk)
        unpacked.replace(path)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return
    finally:
        unpacked.unlink(missing_ok=True)


def unreadable(path: Path, name: str) -> str | None:
    """Return the problem of a file without a checksum (empty, damaged or text), or None.

    `name`: final name of the file.
    """
    from bench.data.readable import check_readable

    with path.open("rb") as file:
        start = file.read(1024)
    if not start:
        return "the file is empty"
    if name.lower().endswith(BINARY) and is_text(start):
        return f"the server sent text, such as an error message, instead of a {Path(name).suffix} file"
    try:
        check_readable(path)
    except InputError as error:
        return str(error).replace(f"{path}: ", "")
    return None


def is_text(start: bytes) -> bool:
    """Return whether the first bytes of a file are printable text."""
    start = start.removeprefix(b"\xef\xbb\xbf")
    text = start.decode("utf-8", "ignore")
    return len(text.encode()) >= len(start) - 3 and all(part.isprintable() or part.isspace() for part in text)
