"""Where trained weights of the instruments lie, checked against their published checksum before anything reads them.

Names, pins and sources are the catalogue's (config/datasets.yaml, section weights).
"""

import importlib.util
from functools import cache
from pathlib import Path

from bench.data.catalogue import CATALOGUE, SOURCES, Weights, load_catalogue
from bench.errors import InputError
from bench.files import sha256_file
from bench.provenance import ROOT


@cache
def catalogue_root() -> Path:
    """The project: the current folder, else the one this package lies in."""
    return Path(".") if CATALOGUE.exists() else ROOT


def describe(name: str) -> Weights:
    return load_catalogue(catalogue_root()).find_weights(name)


def find(name: str) -> Path | None:
    """Where the file is, inside a package or under data/sources; None if it is not on this machine."""
    entry = describe(name)
    if entry.package is not None:
        package, _, inner = entry.package.partition("/")
        spec = importlib.util.find_spec(package)
        path = Path(spec.origin).parent / inner if spec and spec.origin else Path(inner)
    else:
        path = catalogue_root() / SOURCES / entry.file
    return path if path.is_file() else None


def weights_path(name: str) -> Path:
    """The verified file, or an InputError that says where to get the right one."""
    entry, path = describe(name), find(name)
    origin = entry.url or (f"the Python package of {entry.package}" if entry.package else "`dvc pull`")
    if path is None:
        wanted = catalogue_root() / SOURCES / entry.file
        raise InputError(f"{wanted}: no such file: weights {name!r} ({entry.title}) come from {origin}")
    verify(path, entry.sha256, origin)
    return path


def verify(path: Path, sha256: str, origin: str) -> None:
    """Refuse a file whose sha256 does not begin with the pin."""
    found = sha256_file(path)
    if not found.startswith(sha256):
        raise InputError(f"{path}: wrong weights: sha256 {found}, expected {sha256}; get the right file from {origin}")
