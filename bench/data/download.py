"""Verified downloads, which resume after an interruption and get their final name only after verification."""

import hashlib
import http.client
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from bench.data.limits import gigabytes
from bench.errors import InputError, writing
from bench.runtime.environment import OFFLINE, switched_on
from bench.runtime.locks import only_one

CHUNK = 1 << 18
ATTEMPTS = 4
TIMEOUT_SECONDS = 30


def download(url: str, path: Path, *, sha256: str | None, md5: str | None = None, size: int | None = None) -> None:
    """Download `url` to a partial file next to `path` (resuming an existing one), verify it, and rename it to `path`.

    `sha256` may be a prefix, if the publisher states only a prefix.
    """
    if switched_on(OFFLINE):
        raise InputError(
            f"{path}: missing, and {OFFLINE} disables downloads; download {url} on another machine and copy it here"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with only_one(path.with_name(f".{path.name}.lock"), f"{path}: waiting for another process to download it"):
        if path.exists():
            return  # another process has completed the download
        if not (sha256 or md5):
            partial.unlink(missing_ok=True)  # without a checksum, a mixture of two versions would not be detected
        resumed = partial.exists()
        _fetch(url, partial, size)
        problem = _problem(partial, sha256, md5, size)
        if problem and resumed:  # the partial file may be from another version of the source
            partial.unlink()
            _fetch(url, partial, size)
            problem = _problem(partial, sha256, md5, size)
        if problem:
            partial.unlink()
            raise InputError(f"{url}: {problem}; the download was deleted")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(path)


def _problem(path: Path, sha256: str | None, md5: str | None, size: int | None) -> str | None:
    if size is not None and path.stat().st_size != size:
        return f"{path.stat().st_size} bytes were received, but {size} are expected"
    for kind, wanted in (("sha256", sha256), ("md5", md5)):
        if wanted:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, kind).hexdigest()
            if not found.startswith(wanted):
                return f"{kind} is {found}, but {wanted} is expected"
    return None


def _fetch(url: str, partial: Path, size: int | None) -> None:
    """Download the rest of the file, resuming after an interrupted connection."""
    for attempt in range(ATTEMPTS):
        try:
            _read_rest(url, partial, size)
            return
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the partial file is at least as long as the source
                partial.unlink(missing_ok=True)
            elif error.code < 500:
                raise InputError(f"{url}: {error.code} {error.reason}") from None
            reason = f"{error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        except OSError as error:
            raise InputError(f"{partial}: {error.strerror or error}") from None
        if attempt + 1 < ATTEMPTS:
            time.sleep(0.5 * 2**attempt)
    raise InputError(
        f"{url}: {reason} ({ATTEMPTS} attempts; the partial download is kept, and the next fetch resumes it)"
    )


def _read_rest(url: str, partial: Path, size: int | None) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    if size is not None and have == size:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        if have and not (answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")):
            have = 0  # the server ignores the range and sends the complete file
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else size
        if size is not None and total != size:
            raise InputError(f"{url}: the server reports {total} bytes, but {size} are expected")
        left, free = None if total is None else total - have, shutil.disk_usage(partial.parent).free
        if left is not None and left > free:
            lack = f"the download needs {gigabytes(left)}, but {gigabytes(free)} are free in {partial.parent}"
            raise InputError(f"{url}: {lack}; free some space")
        with (
            writing(partial.with_name(_name(partial)), left),
            partial.open("ab" if have else "wb") as file,
            _bar(partial, have, total) as bar,
        ):
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
                if size is not None and have > size:
                    raise InputError(f"{url}: the server sends more than the expected {size} bytes")
    if total is not None and have < total:
        raise http.client.IncompleteRead(b"", total - have)


def _name(partial: Path) -> str:
    return partial.name.removeprefix(".").removesuffix(".partial")


def _bar(partial: Path, have: int, total: int | None) -> tqdm:
    interval = 0.2 if sys.stderr.isatty() else 15.0
    shown = {"desc": _name(partial), "initial": have, "total": total, "mininterval": interval, "delay": 1}
    return tqdm(unit="B", unit_scale=True, **shown)
