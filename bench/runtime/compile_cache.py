"""Chooses a writable folder for the code that torch.compile generates. Without such a folder, torch fails on import."""

import errno
import os
import sys
import tempfile
from pathlib import Path

from bench.errors import InputError, storage_error
from bench.runtime.environment import user_cache

FOLDER = "TORCHINDUCTOR_CACHE_DIR"
MIN_FREE_BYTES = 32_000_000
"""Required free space in bytes: three times the compiled code of the largest network."""


def choose_compile_cache() -> None:
    """Set torch.compile's cache to the first writable folder with enough space. Call this before torch.compile."""
    default = Path(tempfile.gettempdir()) / f"slim-bench-compile-{os.getuid()}"
    given = [Path(os.environ[FOLDER])] if os.environ.get(FOLDER) else []
    problems: list[OSError] = []
    for folder in (*given, default, user_cache() / "slim-bench/compile"):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder == default and folder.stat().st_uid != os.getuid():  # torch runs the cached code
                raise PermissionError(errno.EPERM, "belongs to another user", str(folder))
            with tempfile.TemporaryFile(dir=folder) as file:
                os.posix_fallocate(file.fileno(), 0, MIN_FREE_BYTES)
        except OSError as error:
            problems.append(error)
            continue
        if problems and given:
            reason, _, _remedy = str(storage_error(problems[0], given[0] / "compiled code")).partition("; ")
            print(f"{FOLDER} is not used, so compiled code is cached in {folder} instead: {reason}", file=sys.stderr)
        os.environ[FOLDER] = str(folder)
        return
    reason = str(storage_error(problems[0], (*given, default)[0] / "compiled code", MIN_FREE_BYTES))
    raise InputError(f"{reason}; or set {FOLDER} to another folder, or compute.compile to false")
