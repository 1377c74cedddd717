"""Finds or downloads the pretrained weights of feature extractors, and always verifies the checksum.

LPIPS-VGG16 needs two files: `lpips-vgg16-heads` (7 kB) is part of the repository, and `vgg16-torchvision` (553 MB) must
be downloaded once. EfficientNet-Lite0 is part of an installed package. The Inception files must be downloaded. Callers
load a state dictionary (.pth) with `weights_only=True`, and the TorchScript file (.pt) with `torch.jit.load`.
"""

import importlib.util
import os
from pathlib import Path

from bench.data.catalogue import CATALOGUE, Weights, load_weights_entry
from bench.data.connection import UnavailableError
from bench.data.copies import copy_verified
from bench.data.download import download
from bench.data.dvc import pull_if_tracked, run_dvc
from bench.data.sources import SHIPPED, SOURCES, DataSettings
from bench.errors import InputError, existing_parent
from bench.files import sha256_file
from bench.runtime.environment import user_cache

FOLDER = "SLIM_BENCH_WEIGHTS"


def fetch_weights(
    name: str, root: Path = Path("."), *, network: bool = True, settings: DataSettings | None = None
) -> Path:
    """Return the path of the verified weights `name`. A missing file is downloaded if `network` is true.

    If the download fails and the mirror folder of `settings` contains the file, the file is copied from there.
    """
    entry = load_weights_entry(name, root)
    path = find_weights_file(entry, root)
    if path is None:
        path, source = _download_folder(root) / entry.file, SOURCES / entry.file
        if entry.shipped:
            path = Path(root) / source
            run_dvc(root, "pull", "--remote", SHIPPED, f"{source.as_posix()}.dvc")
        elif network and pull_if_tracked(root, source):
            path = Path(root) / source
        elif entry.url is None or not network:
            raise InputError(f"{path}: weights {name!r} are not installed; {_origin(name, entry)}")
        else:
            try:
                download(entry.url, path, sha256=entry.sha256, size=entry.bytes)
            except UnavailableError:
                mirrored = Path(root) / Path((settings and settings.mirror) or SOURCES).expanduser() / entry.file
                if not mirrored.is_file():
                    raise
                copy_verified(mirrored, path, entry.sha256, None, entry.bytes)
    found = sha256_file(path)
    if not found.startswith(entry.sha256):
        raise InputError(f"{path}: wrong weights, sha256 is {found}, not {entry.sha256}; {_origin(name, entry)}")
    return path


def find_weights_file(entry: Weights, root: Path = Path(".")) -> Path | None:
    """Return the path of a weights file without verifying the file, or None if it is missing.

    The search covers the Python package of the entry, or else $SLIM_BENCH_WEIGHTS, data/sources and the cache.
    """
    if entry.package is not None:
        package, _, inner = entry.package.partition("/")
        spec = importlib.util.find_spec(package)
        path = Path(spec.origin).parent / inner if spec and spec.origin else None
        return path if path and path.is_file() else None
    return next((folder / entry.file for folder in _folders(root) if (folder / entry.file).is_file()), None)


def _folders(root: Path) -> list[Path]:
    """Return the folders to search, in order of precedence."""
    given = [Path(os.environ[FOLDER]).expanduser()] if os.environ.get(FOLDER) else []
    in_project = [Path(root) / SOURCES] if (Path(root) / CATALOGUE).exists() else []
    return [*given, *in_project, user_cache() / "slim-bench/weights"]


def _download_folder(root: Path) -> Path:
    """Return the first writable folder of `_folders`. A shared folder may be read-only."""
    folders = _folders(root)
    return next((folder for folder in folders if os.access(existing_parent(folder / "file"), os.W_OK)), folders[0])


def _origin(name: str, entry: Weights) -> str:
    if entry.package is not None:
        return f"install the Python package that contains {entry.package}"
    where = f"or copy {entry.url} to data/sources" if entry.url else "which restores it from the repository"
    return f"run `slim-bench fetch {name}`, {where}"
