"""Looking through a set before hours are spent on it: every fault found, each with its file's name.

Errors are what `prepare` would refuse or training would suffer from; notes are what one should know.
"""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.data.catalogue import Dataset, Folders, UserFolder, folder_dataset, load_catalogue
from bench.data.extract import is_archive, unpacked
from bench.data.images import Header, check_size, decode, list_files, read_header
from bench.data.manifest import open_array
from bench.data.prepare import prepare, source_paths
from bench.errors import InputError
from bench.files import sha256_bytes

FILES = ("images", "imagefolder")


@dataclass
class Audit:
    """What was found in one set."""

    name: str
    images: int = 0
    summary: str = ""
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.errors

    def lines(self) -> list[str]:
        """The report, one finding a line."""
        counts = f"{self.images} images{self.summary}; {len(self.errors)} errors, {len(self.notes)} notes"
        return [
            f"{self.name}: {counts}",
            *(f"error: {text}" for text in self.errors),
            *(f"note: {text}" for text in self.notes),
        ]


def audit(
    name: str | Path,
    image_size: int | None = None,
    root: Path = Path("."),
    *,
    folders: Folders | None = None,
    max_unpacked_gb: float | None = None,
) -> Audit:
    """Look through a data set of the catalogue (its source must be fetched), or a folder of images given by path."""
    catalogue = load_catalogue(root, folders)
    report = Audit(str(name))
    if str(name) not in catalogue.datasets and Path(name).is_dir():
        dataset, sources = folder_dataset("folder", UserFolder(path=str(name))), [Path(name)]
    else:
        dataset = catalogue.dataset(str(name))
        sources = source_paths(str(name), root, catalogue)
    if dataset.layout in FILES:
        with _opened(sources[0], max_unpacked_gb) as source:
            _audit_files(report, source, dataset, image_size)
    elif dataset.layout == "imagenet":
        raise InputError(f"{name}: prepare it first, then audit the folder that it was unpacked to, by path")
    else:
        _audit_arrays(report, str(name), root, folders, max_unpacked_gb)
    return report


@contextmanager
def _opened(source: Path, max_unpacked_gb: float | None) -> Iterator[Path]:
    """A folder with the files: as it is, or the archive unpacked into a temporary one."""
    if source.is_dir() or not is_archive(source):
        yield source
        return
    with (
        tempfile.TemporaryDirectory(prefix=".slim-bench-audit-") as folder,
        unpacked(source, Path(folder) / "files", max_unpacked_gb) as files,
    ):
        yield files


def _audit_files(report: Audit, source: Path, dataset: Dataset, image_size: int | None) -> None:
    paths = list_files(source, dataset.preparation.members) if source.is_dir() else [source]
    base = source if source.is_dir() else source.parent
    seen: dict[str, Path] = {}
    headers: list[Header] = []

    def look(path: Path) -> tuple[Header, str] | InputError:
        try:
            header = read_header(path)
            check_size(header, image_size, dataset.preparation)
            pixels = decode(path, dataset.preparation.background)
            return header, sha256_bytes(repr(pixels.size).encode() + pixels.tobytes())
        except InputError as error:
            return error

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for path, found in zip(paths, pool.map(look, paths), strict=True):
            if isinstance(found, InputError):
                report.errors.append(str(found).replace(f"{base}{os.sep}", ""))
                continue
            header, digest = found
            headers.append(header)
            if digest in seen:
                report.notes.append(f"{path.relative_to(base)}: the same pixels as {seen[digest].relative_to(base)}")
            seen.setdefault(digest, path)
    report.images = len(headers)
    _summarise(report, headers)
    oblong = sum(header.width != header.height for header in headers)
    if oblong and dataset.preparation.fit == "crop":
        report.notes.append(f"{oblong} of {len(headers)} images are not square and will be cropped")
    wanted = 1 if dataset.task == "oneshot" else dataset.n if dataset.task == "fewshot" else None
    if wanted is not None and wanted != len(headers):
        report.errors.append(f"{len(headers)} images can be read, {wanted} are expected")


def _summarise(report: Audit, headers: list[Header]) -> None:
    if not headers:
        return
    small, large = (choose(headers, key=lambda h: h.width * h.height) for choose in (min, max))
    report.summary = f", {small.width}x{small.height}"
    if (small.width, small.height) != (large.width, large.height):
        report.summary += f" to {large.width}x{large.height}"


def _audit_arrays(report: Audit, name: str, root: Path, folders: Folders | None, max_unpacked_gb: float | None) -> None:
    """Class counts and images that occur twice, within a split or (worse) in both."""
    with tempfile.TemporaryDirectory(prefix=".slim-bench-audit-") as temporary:
        folder = Path(temporary) / "prepared"
        manifest = prepare(name, None, folder, root, folders=folders, max_unpacked_gb=max_unpacked_gb)
        seen: dict[str, str] = {}
        for split in manifest.splits or {}:
            images = open_array(folder, manifest, f"{split}_images.npy")
            counts = np.bincount(open_array(folder, manifest, f"{split}_labels.npy"), minlength=len(manifest.classes))
            report.notes.append(f"{split}: {len(images)} images, {counts.min()} to {counts.max()} a class")
            report.images += len(images)
            for index, image in enumerate(images):
                digest = sha256_bytes(image.tobytes())
                if digest in seen:
                    report.notes.append(f"{split} {index}: the same pixels as {seen[digest]}")
                seen.setdefault(digest, f"{split} {index}")
