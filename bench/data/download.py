"""Downloads files, resumes interrupted downloads, and renames a file to its final name only after verification."""

import http.client
import os
import re
import shutil
import sys
import urllib.error
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from bench.data import connection
from bench.data.connection import (
    Attempts,
    UnavailableError,
    Watch,
    connection_problem,
    content_length,
    is_timeout,
    open_url,
    retry_after,
    status_text,
)
from bench.data.limits import gigabytes
from bench.data.received import content_problem, decompress, is_web_page, unreadable, web_page_error
from bench.errors import InputError, writing
from bench.runtime.environment import OFFLINE, is_enabled
from bench.runtime.locks import hold_lock

CHUNK = 1 << 18
MAX_UNKNOWN_BYTES = 2 * 10**9
"""Largest download in bytes if neither the catalogue nor the server states a size."""
PROGRESS_SECONDS = 5.0
"""Time between two lines of progress in a log."""
TEMPORARY_CODES = (408, 425, 429)
"""HTTP status codes below 500 after which another attempt may work."""
LOGIN_CODES = (401, 403, 407)
COMPRESSED = ("gzip", "x-gzip")
VERSION = re.compile(r'"[!#-~]*"|[A-Za-z0-9:, ]+')
"""Pattern of a strong ETag or a date."""


KEPT = "; the partial download is kept, and the next fetch resumes it"


@dataclass
class Transfer:
    """A download in progress: the partial file, the expected size, and the headers of the response."""

    url: str
    partial: Path
    size: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    verifiable: bool = True
    version: str | None = None
    """ETag or date of the partial file. If the source has changed since then, the server sends the complete file."""
    compressed: bool = False

    @property
    def received(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    @property
    def name(self) -> str:
        return self.partial.name.removeprefix(".").removesuffix(".partial")


def download(
    url: str,
    path: Path,
    *,
    sha256: str | None,
    md5: str | None = None,
    size: int | None = None,
    headers: Mapping[str, str] | None = None,
    check: Callable[[Path], str | None] | None = None,
) -> None:
    """Download `url` to a new or existing partial file next to `path`, verify the file, and rename it to `path`.

    `sha256` may be a prefix, if the publisher states only a prefix. Without sha256 and md5, the file must be readable,
    so archives, parquet files and images are read to their end. `check` returns a further problem of the file, or None.
    Raises UnavailableError if the server does not provide the file.
    """
    if is_enabled(OFFLINE):
        raise UnavailableError(
            f"{path}: missing, and {OFFLINE} disables downloads; download {url} on another machine and copy it here"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with hold_lock(path.with_name(f".{path.name}.lock"), f"{path}: waiting for another process to download it"):
        if path.exists():
            return  # another process has completed the download
        verifiable = bool(sha256 or md5)
        if not verifiable:
            partial.unlink(missing_ok=True)  # without a checksum, a mixture of two versions would not be detected
        transfer = Transfer(url, partial, size, headers or {}, verifiable)
        resumed = partial.exists()
        problem = _complete(transfer, sha256, md5)
        if problem and resumed:  # the partial file may be from another version of the source
            partial.unlink()
            problem = _complete(transfer, sha256, md5)
        problem = (
            problem or (check(partial) if check else None) or (None if verifiable else unreadable(partial, path.name))
        )
        if problem:
            partial.unlink()
            raise UnavailableError(f"{url}: {problem}; the download was deleted")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(path)


def _complete(transfer: Transfer, sha256: str | None, md5: str | None) -> str | None:
    """Download the rest of a file, decompress the body if necessary, and return the file's problem, or None."""
    _fetch(transfer, sha256, md5)
    problem = content_problem(transfer.partial, sha256, md5, transfer.size)
    # a server may declare "Content-Encoding: gzip" because the archive itself is compressed; it stays compressed
    is_packed = not transfer.verifiable and not transfer.name.endswith((".gz", ".tgz"))
    if transfer.compressed and (problem or is_packed):
        decompress(transfer.partial, transfer.url, transfer.size or MAX_UNKNOWN_BYTES)
        problem = content_problem(transfer.partial, sha256, md5, transfer.size)
    return problem


def _fetch(transfer: Transfer, sha256: str | None, md5: str | None) -> None:
    """Download the rest of the file, resuming after an interrupted connection."""
    attempts = Attempts(transfer.url)
    furthest = transfer.received
    while True:
        wait, is_silent = None, False
        try:
            _read_rest(transfer)
            return
        except urllib.error.HTTPError as error:
            wait = retry_after(error.headers)
            reason = _refused(transfer, error)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            if transfer.verifiable and transfer.received and _is_whole(transfer, sha256, md5):
                return  # complete, although the server announced more
            reason, is_silent = connection_problem(error), is_timeout(error)
        except OSError as error:
            raise InputError(f"{transfer.partial}: {error.strerror or error}") from None
        except ValueError as error:  # raised by urllib for a malformed address or header
            if isinstance(error, InputError):
                raise
            raise UnavailableError(f"{transfer.url}: redirects to an address that is not valid") from None
        progress = transfer.received > furthest
        furthest = max(furthest, transfer.received)
        attempts.kept = KEPT if transfer.received else "; fetch it again later"
        if is_silent and not progress:
            raise UnavailableError(f"{transfer.url}: {reason}{attempts.kept}")
        if transfer.received and (transfer.compressed or (not transfer.verifiable and transfer.version is None)):
            transfer.partial.unlink()  # the remaining bytes could belong to another version
        attempts.failed(reason, wait, progress)


def _is_whole(transfer: Transfer, sha256: str | None, md5: str | None) -> bool:
    return content_problem(transfer.partial, sha256, md5, transfer.size) is None


def _refused(transfer: Transfer, error: urllib.error.HTTPError) -> str:
    """Return the status as text if another attempt may work. Raises UnavailableError for any other status."""
    error.close()
    url, reason = transfer.url, status_text(error.code)
    if error.code == 416:  # the partial file is at least as long as the source
        transfer.partial.unlink(missing_ok=True)
    elif error.code in LOGIN_CODES:
        raise UnavailableError(f"{url}: {reason}; log in or set the token that the server needs, then fetch it again")
    elif 300 <= error.code < 400:
        raise UnavailableError(f"{url}: redirects in a loop, or too often; check the address in config/datasets.yaml")
    elif error.code < 500 and error.code not in TEMPORARY_CODES:
        raise UnavailableError(f"{url}: {reason}; check the address in config/datasets.yaml")
    return reason


def _read_rest(transfer: Transfer) -> None:
    received = transfer.received
    if transfer.size is not None and received == transfer.size:
        return
    headers = dict(transfer.headers)
    if received:
        headers["Range"] = f"bytes={received}-"
        if transfer.version:
            headers["If-Range"] = transfer.version
    with Watch(transfer.url) as watch:
        try:
            with open_url(transfer.url, headers, watch) as response:
                watch.beat()
                _save(transfer, response, received, watch)
        except OverflowError:
            raise UnavailableError(f"{transfer.url}: redirects to an address that is not valid") from None
        except (OSError, http.client.HTTPException) as error:
            if watch.stalled or is_timeout(error):
                raise _stalled(transfer, received) from None
            raise
        if watch.stalled:
            raise _stalled(transfer, received)


def _stalled(transfer: Transfer, before: int) -> Exception:
    """Return the error of a stalled transfer.

    The error permits another attempt only if the stalled attempt received data.
    """
    silence = f"no data for {connection.STALL_SECONDS:g} s"
    if transfer.received > before:
        return TimeoutError(silence)
    return UnavailableError(f"{transfer.url}: {silence}; check the network and the proxy settings, then fetch it again")


def _save(transfer: Transfer, response: http.client.HTTPResponse, received: int, watch: Watch) -> None:
    """Append the body of a response to the partial file, or replace the file if the server sends the complete file."""
    url, size = transfer.url, transfer.size
    if response.status not in (200, 206):
        raise UnavailableError(f"{url}: {status_text(response.status)} without a file; check the address")
    sent = re.fullmatch(r"bytes (\d{1,16})-\d{1,16}/(\d{1,16}|\*)", response.headers.get("Content-Range", ""), re.ASCII)
    if response.status == 206 and (sent is None or int(sent[1]) != received):
        transfer.partial.unlink(missing_ok=True)
        raise http.client.IncompleteRead(b"")  # not the requested part
    if response.status == 200:
        received = 0  # the server ignores the range, or has another version, and sends the complete file
    if not received:
        transfer.compressed = response.headers.get("Content-Encoding", "").strip().lower() in COMPRESSED
        given = (response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))
        transfer.version = next((text for text in given if VERSION.fullmatch(text)), None)
    if response.headers.get_content_type() == "text/html":
        raise web_page_error(url)
    length = content_length(response)
    expected = None if transfer.compressed else size
    total = expected if length is None else received + length
    if sent is not None and sent[2] != "*" and response.status == 206:
        total = int(sent[2])
    if expected is not None and total != expected:
        raise UnavailableError(f"{url}: the server reports {total} bytes, but {expected} are expected")
    left, free = None if total is None else total - received, shutil.disk_usage(transfer.partial.parent).free
    if left is not None and left > free:
        lack = f"the download needs {gigabytes(left)}, but {gigabytes(free)} are free in {transfer.partial.parent}"
        raise InputError(f"{url}: {lack}; free some space")
    max_bytes = MAX_UNKNOWN_BYTES if total is None else total
    with (
        writing(transfer.partial.with_name(transfer.name), left),
        transfer.partial.open("ab" if received else "wb") as file,
        _progress_bar(transfer.name, received, total) as bar,
    ):
        while chunk := response.read1(CHUNK):
            watch.beat()
            if not received and is_web_page(chunk):
                raise web_page_error(url)
            file.write(chunk)
            file.flush()  # a killed download resumes from here
            received += len(chunk)
            bar.update(len(chunk))
            if received > max_bytes:
                raise _too_long(transfer, total)
    if total is not None and received < total and not watch.stalled:
        raise http.client.IncompleteRead(b"", total - received)


def _too_long(transfer: Transfer, total: int | None) -> UnavailableError:
    transfer.partial.unlink()
    if total is not None:
        return UnavailableError(
            f"{transfer.url}: the server sends more than the expected {total} bytes; the download was deleted"
        )
    return UnavailableError(
        f"{transfer.url}: the server sends more than {gigabytes(MAX_UNKNOWN_BYTES)} without stating a size, so the "
        "download was deleted; if the file is really that large, set its `bytes` in config/datasets.yaml"
    )


def _progress_bar(name: str, received: int, total: int | None) -> tqdm:
    interval = 0.2 if sys.stderr.isatty() else PROGRESS_SECONDS
    shown = {"desc": name, "initial": received, "total": total, "mininterval": interval, "delay": 1}
    return tqdm(unit="B", unit_scale=True, **shown)
