"""Runs DVC commands. No other module calls DVC."""

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.data.dvc_cache import configuration_folders, default_remote, merged_configuration, restore_file
from bench.data.pointers import pointer_of, pointer_path, read_pointer
from bench.data.sources import SHIPPED
from bench.errors import InputError, storage_error, writing
from bench.files import check_regular, write_text

DVC_TEMPORARY = re.compile(r"\.[A-Za-z0-9_-]{22}\.tmp")


def run_dvc(root: Path, command: str, *arguments: str) -> None:
    """Wait until DVC's lock is free, and run `dvc COMMAND ARGUMENTS` in `root` without analytics.

    Raises InputError if the command fails.
    """
    line = [sys.executable, "-m", "dvc", "--wait-for-lock", command, *arguments]
    pointers = [Path(root) / argument for argument in arguments if argument.endswith(".dvc")]
    for target in (pointer.with_suffix("") for pointer in pointers):
        if target.exists():
            check_regular(target)  # DVC would never finish reading a pipe or device
    allow_without_git(Path(root))
    before = {path for pointer in pointers for path in _temporaries(pointer.parent)}
    with _settings(Path(root)) as settings:
        done = subprocess.run(
            line, cwd=root, env=os.environ | settings, capture_output=True, text=True, check=False, errors="replace"
        )
    if done.returncode != 0:
        for pointer in pointers:
            for temporary in _temporaries(pointer.parent) - before:
                temporary.unlink(missing_ok=True)
            _refuse_full(Path(root), pointer)
        errors = [text[7:] for text in (done.stderr + done.stdout).splitlines() if text.startswith("ERROR")]
        reason = errors[0] if errors else f"failed with {done.returncode}: {done.stderr.strip()[-200:]}"
        raise InputError(f"dvc {command} {' '.join(arguments)}: {reason}")


def allow_without_git(root: Path) -> None:
    """Set core.no_scm in .dvc/config.local if this file does not exist, so that `dvc` commands work without `.git`.

    Errors are ignored, because slim-bench itself does not need the file.
    """
    local = root / ".dvc/config.local"
    if (root / ".dvc").is_dir() and not (root / ".git").exists() and not os.path.lexists(local):
        with suppress(OSError, InputError):
            write_text(local, "[core]\n    no_scm = true\n")


@contextmanager
def _settings(root: Path) -> Iterator[dict[str, str]]:
    """Yield environment variables for DVC.

    HOME is a temporary folder if the home folder does not exist, because DVC reads files in HOME. Two options can only
    be set in configuration files, so they are set in a temporary copy of the system-wide configuration. No file of the
    repository or the user is modified. `verify` is set for each remote, because otherwise DVC accepts a modified
    object. `no_scm` is set if there is no `.git` (a repository extracted from an archive), because otherwise DVC fails,
    or uses a git repository that contains this folder.
    """
    from configobj import ConfigObj

    found = {"DVC_NO_ANALYTICS": "1"}
    with tempfile.TemporaryDirectory(prefix="slim-bench-dvc-") as folder:
        if not os.path.isdir(os.path.expanduser("~")):
            found["HOME"] = folder
        config = ConfigObj(str(configuration_folders()[0] / "config"), encoding="utf-8")
        for name, section in merged_configuration(root).items():
            if name.startswith("remote ") and not section.get("url", "").startswith("hdfs:"):  # hdfs has no `verify`
                config.setdefault(name, {}).setdefault("verify", "true")
        if not (root / ".git").exists():
            config.setdefault("core", {})["no_scm"] = "true"
        config.filename = str(Path(folder) / "config")
        with writing(Path(config.filename)):
            config.write()
        found["DVC_SYSTEM_CONFIG_DIR"] = folder
        yield found


def _temporaries(folder: Path) -> set[Path]:
    """Return the temporary files in `folder` that DVC leaves behind if it cannot write."""
    return {path for path in folder.glob(".*.tmp") if DVC_TEMPORARY.fullmatch(path.name)}


def _refuse_full(root: Path, pointer: Path) -> None:
    """Raise InputError if the disk is too full for the file of `pointer`. DVC itself only reports a missing file."""
    size = read_pointer(pointer).size
    for folder in (pointer.parent, root / ".dvc"):
        if size is not None and folder.is_dir() and shutil.disk_usage(folder).free < size:
            raise storage_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), folder / pointer.stem, size)


def pull_if_tracked(root: Path, path: Path) -> bool:
    """Restore `path` from the DVC cache or the default remote if DVC tracks it. Return whether `path` exists now.

    The remote inside the repository is not searched, because this remote contains only the shipped files.
    """
    pointer = pointer_of(root / path)
    if pointer is None:
        return False
    if restore_file(root, root / path, pointer):
        return True
    if default_remote(root) == SHIPPED:
        return False
    try:
        run_dvc(root, "pull", pointer_path(path).as_posix())
    except InputError:
        return False
    return (root / path).is_file()
