"""Downloads files of the Hugging Face Hub at a full commit.

huggingface_hub finds the endpoint (HF_ENDPOINT), the token (HF_TOKEN or a login) and files in its cache (HF_HOME,
HF_HUB_CACHE). bench.data.download transfers the content, because huggingface_hub accepts a wrong body of the right
length and does not resume. A file must match the sha256 that the Hub states for the commit, and the sha256 in the
catalogue.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.data import connection
from bench.data.connection import Attempts, UnavailableError, Watch, retry_after, status_text
from bench.data.copies import copy_verified
from bench.data.download import LOGIN_CODES, TEMPORARY_CODES, download
from bench.data.sources import Hub, SourceFile
from bench.errors import InputError
from bench.files import link_or_copy
from bench.runtime.environment import OFFLINE, is_enabled

LOGIN = "log in with `hf auth login` or set HF_TOKEN, and accept the terms of the repository on its page"


def download_from_hub(
    source: Hub, file: SourceFile, path: Path, *, sha256: str | None, md5: str | None, size: int | None
) -> None:
    """Download one file of `source` to `path`. Raises UnavailableError if the Hub does not provide the file."""
    hub = _quiet_hub()
    if _from_cache(hub, source, file, path, sha256, md5, size):
        return
    url = hub.hf_hub_url(
        source.repo, str(file.path), repo_type=source.repo_type, revision=source.revision, endpoint=_endpoint(hub)
    )
    if is_enabled(OFFLINE) or hub.constants.is_offline_mode():
        name = OFFLINE if is_enabled(OFFLINE) else "HF_HUB_OFFLINE"
        raise UnavailableError(
            f"{path}: missing, and {name} disables downloads; download {url} on another machine and copy it here"
        )
    info = _file_info(hub, source, file, url)
    stated = info.lfs.sha256 if info.lfs else None
    for kind, expected, found in (("sha256", sha256, stated), ("size", size, info.size)):
        if expected is not None and found is not None and expected != found:
            raise UnavailableError(
                f"{url}: the Hub states {kind} {found} at this commit, but {expected} is expected; correct the entry "
                "in config/datasets.yaml if you trust the Hub"
            )
    token = hub.get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    def check(found: Path) -> str | None:
        same = stated is not None or git_blob_sha1(found) == info.blob_id
        return None if same else "the content differs from the Hub's git hash"

    pins = {"sha256": sha256 or stated, "md5": md5, "size": size or info.size}
    download(url, path, **pins, headers=headers, check=check)
    if stated is not None:
        _add_to_cache(hub, source, file, path, stated)


def _quiet_hub() -> Any:
    """Import huggingface_hub without telemetry, xet and progress bars."""
    for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(name, "1")
    import huggingface_hub
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = constants.HF_HUB_DISABLE_XET = True  # if it was imported before
    return huggingface_hub


def _endpoint(hub: Any) -> str:
    return (os.environ.get("HF_ENDPOINT") or hub.constants.ENDPOINT).rstrip("/")


def _from_cache(
    hub: Any, source: Hub, file: SourceFile, path: Path, sha256: str | None, md5: str | None, size: int | None
) -> bool:
    """Copy a verified file from the cache of huggingface_hub to `path`, and return whether this was possible."""
    found = hub.try_to_load_from_cache(
        source.repo, str(file.path), repo_type=source.repo_type, revision=source.revision
    )
    if not isinstance(found, str):
        return False
    blob = Path(os.path.realpath(found))
    named = blob.name if len(blob.name) == 64 else None  # the cache names large files by their sha256
    if not (sha256 or md5 or named):
        return False
    try:
        copy_verified(blob, path, sha256 or named, md5, size)
    except UnavailableError:
        return False  # damaged
    return True


def _add_to_cache(hub: Any, source: Hub, file: SourceFile, path: Path, sha256: str) -> None:
    """Link a verified file into the cache, in the layout of huggingface_hub.

    A cache without write access is not changed.
    """
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(hub.constants.HF_HUB_CACHE) / repo_folder_name(repo_id=source.repo, repo_type=source.repo_type)
    blob, pointer = folder / "blobs" / sha256, folder / "snapshots" / source.revision / str(file.path)
    with suppress(OSError, InputError):
        link_or_copy(path, blob)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(pointer):
            pointer.symlink_to(os.path.relpath(blob, pointer.parent))


def _file_info(hub: Any, source: Hub, file: SourceFile, url: str) -> Any:
    """Return the size, git hash and LFS sha256 that the Hub states for a file.

    Raises UnavailableError if the Hub does not have the file, or does not respond.
    """

    def call() -> Any:
        api = hub.HfApi(endpoint=_endpoint(hub))
        return api.get_paths_info(source.repo, [str(file.path)], repo_type=source.repo_type, revision=source.revision)

    found = [info for info in _call_api(call, url) if getattr(info, "blob_id", None) and info.path == file.path]
    if not found:
        raise UnavailableError(
            f"{url}: the repository has no such file at this commit; correct its path in config/datasets.yaml"
        )
    return found[0]


def _call_api(call: Callable[[], Any], url: str) -> Any:
    """Return the response of the Hub API. Retries after temporary problems, and raises UnavailableError otherwise."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import get_session

    attempts = Attempts(url)
    while True:
        get_session().timeout = connection.STALL_SECONDS
        wait = None
        try:
            with Watch(url):
                return call()
        except HfHubHTTPError as error:
            check = "check `repo` and `revision` in config/datasets.yaml"
            code = error.response.status_code
            reason, wait = status_text(code), retry_after(error.response.headers)
            if code in LOGIN_CODES:
                raise UnavailableError(f"{url}: {reason}; {LOGIN}") from None
            if code < 500 and code not in TEMPORARY_CODES:
                raise UnavailableError(f"{url}: {reason}; {check}") from None
        except httpx2.TimeoutException:
            raise UnavailableError(f"{url}: no data for {connection.STALL_SECONDS:g} s; check the network") from None
        except (httpx2.TooManyRedirects, httpx2.UnsupportedProtocol):
            raise UnavailableError(f"{url}: redirects in a loop or to another scheme; check HF_ENDPOINT") from None
        except httpx2.TransportError as error:
            reason = f"cannot reach the Hub ({type(error).__name__})"
        except InputError:
            raise
        except Exception:
            raise UnavailableError(
                f"{url}: the response is not that of a Hugging Face Hub; check HF_ENDPOINT and the proxy settings"
            ) from None
        attempts.failed(reason, wait)


def git_blob_sha1(path: Path) -> str:
    """Return the hash that git computes for the content of a file."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
