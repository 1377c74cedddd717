"""Finds the files of a folder with the same rules for every command.

Links to files and folders are followed. A folder that is reached twice, such as by a circular link, is read once,
through a path without links if possible. Hidden and system files are ignored. A broken link, a pipe, an unreadable
folder and a name that cannot be stored in a file list are reported as problems.
"""

import heapq
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from bench.errors import InputError

SYSTEM_FILES = frozenset(
    (
        "__macosx",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "picasa.ini",
        "icon\r",
        "lost+found",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "found.000",
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "@__thumb",
        "@tmp",
        "#recycle",
        "#snapshot",
        "~snapshot",
        "@sharebin",
        "@synofinder-log",
        "network trash folder",
        "temporary items",
    )
)
"""Lower-case names of system files of macOS, Windows, Linux and network storage."""
STREAMS = (":zone.identifier", "@synoeastream", "@synoresource")
"""Suffixes of the metadata files that copying from Windows or network storage creates."""


@dataclass
class Listing:
    """Files and problems found in a folder. Names are POSIX paths relative to the folder."""

    folder: Path
    names: list[str] = field(default_factory=list)
    """Sorted names of the files."""
    folders: list[str] = field(default_factory=list)
    problems: list[InputError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[Path]:
        return [self.folder / name for name in self.names]


def list_files(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the files in `folder` whose names match `pattern`, sorted by name.

    Raises InputError for the first problem, or if no name matches.
    """
    listing = walk(folder, pattern)
    if not listing.names:
        listing.problems.append(no_files_error(folder, pattern))
    if listing.problems:
        raise listing.problems[0]
    return listing.files


def no_files_error(folder: Path, pattern: str) -> InputError:
    return InputError(f"{folder}: " + ("contains no images" if pattern == "*" else f"no file matches {pattern!r}"))


def walk(folder: Path, pattern: str = "*") -> Listing:
    """Find all files in `folder` whose names match `pattern`, and all problems."""
    listing = Listing(Path(folder))
    if not listing.folder.is_dir():
        problem = "is a file, but a folder is needed" if listing.folder.exists() else "no such folder"
        raise InputError(f"{folder}: {problem}")
    for name in _visit(listing, pattern):
        problem = name_problem(name)
        if problem is None:
            listing.names.append(name)
        else:
            listing.problems.append(InputError(f"{str(listing.folder / name)!r}: {problem}"))
    listing.names.sort()
    return listing


def is_system_file(name: str) -> bool:
    """Return whether a file or folder of this name is hidden or a system file."""
    lower = name.lower()
    return name.startswith(".") or lower in SYSTEM_FILES or lower.endswith(STREAMS)


def name_problem(name: str) -> str | None:
    """Return why a name cannot be stored in a line of a UTF-8 file list, or None if it can."""
    if "\t" in name or len(name.splitlines()) != 1 or any("\ud800" <= letter <= "\udfff" for letter in name):
        return "a name with a tab, a line break or bytes that are not UTF-8; rename it"
    return None


def _visit(listing: Listing, pattern: str) -> Iterator[str]:
    """Yield the files, folder by folder. Links are followed last, so that a folder is listed under its own path."""
    seen: set[tuple[int, int]] = set()
    waiting, linked = [""], list[str]()
    while waiting or linked:
        name = waiting.pop() if waiting else heapq.heappop(linked)
        path = os.path.join(listing.folder, name)
        status = os.stat(path)
        if name:
            listing.folders.append(name)
        if (status.st_dev, status.st_ino) in seen:
            listing.notes.append(f"{name}: a link to a folder that was already read; skipped")
            continue
        seen.add((status.st_dev, status.st_ino))
        prefix = f"{name}/" if name else ""
        for entry in _entries(listing, path):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(prefix + entry.name)
            elif entry.is_symlink() and os.path.isdir(entry.path):
                heapq.heappush(linked, prefix + entry.name)
            elif fnmatch(entry.name, pattern):
                problem = None if entry.is_file(follow_symlinks=False) else _problem(entry.path)
                if problem is None:
                    yield prefix + entry.name
                else:
                    listing.problems.append(InputError(f"{listing.folder / prefix / entry.name}: {problem}"))


def _entries(listing: Listing, path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted((entry for entry in entries if not is_system_file(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        listing.problems.append(InputError(f"{path}: {error.strerror}"))
        return []


def _problem(path: str) -> str | None:
    """Return the problem of an entry that is neither a folder nor a regular file, or None for a link to a file."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        target = os.readlink(path) if os.path.islink(path) else "the link was removed"
        return f"a broken link ({target}); restore its target, or remove it"
    return None if stat.S_ISREG(mode) else "a pipe, socket or device, not an image; remove it"
