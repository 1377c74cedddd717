"""Adds files to the DVC cache and restores them, without starting DVC, because starting DVC takes seconds.

The cache has DVC's own layout (files/md5/AB/CDEF...), so `dvc status`, `dvc push` and `dvc pull` work with it. A file
that slim-bench wrote is linked into the cache by the first method of `cache.type` that works. A hard-linked file is
read-only, because changing the file would also change the cache. A file of the user is cloned (reflink) or copied, and
is never linked, because DVC would make a linked file read-only.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.data.pointers import Pointer
from bench.errors import InputError
from bench.files import atomic_file, link_or_copy, md5_file
from bench.terminal import one_line

FICLONE = 0x40049409
"""The ioctl request that makes a file share the blocks of another file, on Btrfs and XFS."""
READ_ONLY = 0o444
"""File mode by which DVC recognises objects that need not be verified again."""
NO_LINK = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EINVAL, errno.ENOTTY, errno.ENOSYS}


@dataclass(frozen=True)
class DvcCache:
    """The cache of the DVC project at `root`."""

    root: Path

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The merged sections of DVC's configuration files, with `cache.dir` as an absolute path."""
        return merged_configuration(self.root)

    def object_path(self, md5: str) -> Path:
        folder = self.settings.get("cache", {}).get("dir", self.root / ".dvc/cache")
        return Path(folder) / "files/md5" / md5[:2] / md5[2:]

    @property
    def types(self) -> list[str]:
        given = self.settings.get("cache", {}).get("type", "reflink,copy")
        return [kind.strip() for kind in (given.split(",") if isinstance(given, str) else given)]

    def contains(self, md5: str, size: int | None) -> bool:
        """Return whether the cache has an object of this md5 and size. The content of the object is not read."""
        path = self.object_path(md5)
        return path.is_file() and (size is None or path.stat().st_size == size)

    def add(self, path: Path, md5: str, *, own: bool) -> bool:
        """Add a file with this md5. Return False if the settings of the cache require DVC itself to add the file.

        `own`: slim-bench wrote the file, so it may become a link. Raises OSError or InputError if writing fails.
        """
        target, source = self.object_path(md5), Path(os.path.realpath(path))
        if self.contains(md5, source.stat().st_size):
            return True
        target.unlink(missing_ok=True)  # an object of another size is damaged
        target.parent.mkdir(parents=True, exist_ok=True)
        if own and "shared" in self.settings.get("cache", {}):
            return False  # DVC sets the modes of a shared cache
        kinds = self.types if own else ["reflink", "copy"]
        methods = {"reflink": _clone, "hardlink": _link, "copy": _copy}
        return any(kind in methods and methods[kind](source, target) for kind in kinds)

    def restore(self, path: Path, md5: str) -> bool:
        """Link or copy the object with this md5 to `path`. Return False if the object is missing or damaged."""
        stored = self.object_path(md5)
        if not stored.is_file():
            return False
        if md5_file(stored) != md5:
            stored.unlink()
            return False
        link_or_copy(stored, path)
        return True


def open_cache(root: Path) -> DvcCache | None:
    """Return the cache of the project at `root`, or None if the project does not use DVC."""
    return DvcCache(Path(root)) if (Path(root) / ".dvc").is_dir() else None


def restore_file(root: Path, path: Path, pointer: Pointer) -> bool:
    """Restore a missing file from the DVC cache. Return False if the file exists, or if the cache lacks its content."""
    cache = open_cache(root)
    if path.exists() or cache is None or pointer.md5 is None or not cache.contains(pointer.md5, pointer.size):
        return False
    return cache.restore(path, pointer.md5)


def merged_configuration(root: Path) -> dict[str, dict[str, Any]]:
    """Return the sections of DVC's configuration.

    They are merged from the file of the system, the file of the user, and the two files of the project.
    """
    from configobj import ConfigObj, ConfigObjError

    merged: dict[str, dict[str, Any]] = {}
    files = [folder / "config" for folder in configuration_folders()]
    for file in (*files, Path(root) / ".dvc/config", Path(root) / ".dvc/config.local"):
        try:
            sections = ConfigObj(str(file), encoding="utf-8", list_values=False)
        except (ConfigObjError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: {one_line(error)}; correct the file") from None
        for name, section in sections.items():
            values = (
                {key: str(value).strip("\"'") for key, value in section.items()} if hasattr(section, "items") else {}
            )
            if name == "cache" and "dir" in values:
                values["dir"] = os.path.join(file.parent.resolve(), os.path.expanduser(values["dir"]))
            merged.setdefault(str(name).strip("'"), {}).update(values)
    return merged


def configuration_folders() -> tuple[Path, Path]:
    """Return the folders of DVC's system-wide configuration and of the user's configuration."""
    import platformdirs  # importing dvc.dirs takes longer

    system = os.environ.get("DVC_SYSTEM_CONFIG_DIR") or platformdirs.site_config_dir("dvc", "iterative")
    return Path(system), Path(
        os.environ.get("DVC_GLOBAL_CONFIG_DIR") or platformdirs.user_config_dir("dvc", "iterative")
    )


def default_remote(root: Path) -> str | None:
    """Return the name of the default DVC remote, or None."""
    return merged_configuration(Path(root)).get("core", {}).get("remote")


def _clone(source: Path, target: Path) -> bool:
    """Create an object that shares its blocks with `source`. Return False if the file system cannot do this."""
    try:
        with source.open("rb") as content, atomic_file(target) as file:
            fcntl.ioctl(file.fileno(), FICLONE, content.fileno())
    except OSError as error:
        return _unsupported(error)
    target.chmod(READ_ONLY)
    return True


def _link(source: Path, target: Path) -> bool:
    """Create an object as a hard link to `source`, and make both files read-only.

    Return False if links are not possible.
    """
    try:
        os.link(source, target)
    except FileExistsError:  # another process has added the same content
        return True
    except OSError as error:
        return _unsupported(error)
    target.chmod(READ_ONLY)
    return True


def _copy(source: Path, target: Path) -> bool:
    with source.open("rb") as content, atomic_file(target, source.stat().st_size) as file:
        shutil.copyfileobj(content, file, 1 << 20)
    target.chmod(READ_ONLY)
    return True


def _unsupported(error: OSError) -> bool:
    """Return False for an error that another method may avoid, and raise any other error."""
    if error.errno not in NO_LINK:
        raise error
    return False
