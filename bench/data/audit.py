"""Validates a dataset before training, and lists every problem with its file name.

Errors are problems that `prepare` refuses or that harm training. Notes are informational.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from bench.data.catalogue import Dataset, Folders, UserFolder, is_npz, load_catalogue, task_of
from bench.data.class_folders import check_images, list_class_folders, unpacked_root
from bench.data.fit import check_image_size, check_one_shot, target_size
from bench.data.images import Header, bands, collect_notes, find_images
from bench.data.manifest import open_array
from bench.data.prepare import folder_notes, opened_source, prepare, source_paths
from bench.data.selection import kept_names
from bench.errors import InputError
from bench.files import sha256_bytes
from bench.terminal import one_line

BY_PATH = "given-by-path"
"""Temporary name of a dataset given by path."""


@dataclass
class Audit:
    """Errors and notes found in one dataset."""

    name: str
    images: int = 0
    summary: str = ""
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.errors

    def lines(self) -> list[str]:
        """Return the report, with one finding per line."""
        counts = f"{self.images} images{self.summary}; {len(self.errors)} errors, {len(self.notes)} notes"
        found = (
            f"{self.name}: {counts}",
            *(f"error: {text}" for text in self.errors),
            *(f"note: {text}" for text in self.notes),
        )
        return [one_line(text) for text in found]


def audit(
    name: str | Path,
    image_size: int | None = None,
    root: Path = Path("."),
    *,
    folders: Folders | None = None,
    max_unpacked_gb: float | None = None,
) -> Audit:
    """Validate a downloaded dataset of the catalogue, or a folder or .npz file given by path."""
    catalogue = load_catalogue(root, folders)
    report, known = Audit(str(name)), str(name)
    place = Path(name).expanduser()
    if known not in catalogue.datasets and (place.is_dir() or (is_npz(place) and place.is_file())):
        folders, known = {BY_PATH: UserFolder(path=str(place.resolve()), task=task_of(place))}, BY_PATH
        catalogue = load_catalogue(root, folders)
    dataset = catalogue.dataset(known)
    check_image_size(str(name), image_size)
    sources = source_paths(known, root, catalogue)
    if dataset.layout == "images":
        with _opened(sources, max_unpacked_gb) as source:
            _audit_images(report, source, dataset, image_size, root)
    elif dataset.layout == "imagefolder":
        with _opened(sources, max_unpacked_gb) as source:
            _audit_classes(report, source if sources[0].is_dir() else unpacked_root(source), dataset, image_size)
    elif dataset.layout == "imagenet":
        raise InputError(f"{name}: prepare it first, then audit the path of the extracted folder")
    else:
        _audit_arrays(report, known, image_size, root, folders, max_unpacked_gb)
    return report


@contextmanager
def _opened(sources: list[Path], max_unpacked_gb: float | None) -> Iterator[Path]:
    """Yield the folder or image file of a source, extracted to a temporary folder if it is packed."""
    with (
        tempfile.TemporaryDirectory(prefix=".slim-bench-audit-") as folder,
        opened_source(sources, Path(folder) / "files", max_unpacked_gb) as place,
    ):
        yield place


def _audit_images(report: Audit, source: Path, dataset: Dataset, image_size: int | None, root: Path) -> None:
    found = find_images(source, dataset.preparation.members, kept_names(dataset.preparation, root))
    headers = _audit_files(report, [header.path for header in found.headers], found.folder, dataset, image_size)
    report.errors += [_without(problem, found.folder) for problem in found.problems]
    report.notes += [*found.notes, *folder_notes(found, dataset)]
    oblong = sum(header.width != header.height for header in headers)
    if oblong and dataset.preparation.fit == "crop":
        report.notes.append(f"{oblong} of {len(headers)} images are not square and will be cropped")
    wanted = 1 if dataset.task == "oneshot" else dataset.n if dataset.task == "fewshot" else None
    if wanted is not None and wanted != len(headers):
        report.errors.append(f"{len(headers)} readable images, but {wanted} are expected")
    if dataset.task == "oneshot" and len(headers) == 1:
        try:
            check_one_shot(headers[0], target_size(headers[0], image_size, dataset.preparation.fit))
        except InputError as problem:
            report.errors.append(_without(problem, found.folder))


def _audit_classes(report: Audit, root: Path, dataset: Dataset, image_size: int | None) -> None:
    try:
        found = list_class_folders(root)
    except InputError as problem:
        report.errors.append(_without(problem, root))
        return
    report.errors += [_without(problem, root) for problem in found.problems]
    paths = [path for split in found.rows for path in found.paths(split)]
    headers = _audit_files(report, paths, root, dataset, image_size)
    report.notes += [*found.notes, *collect_notes(headers, root, len(headers))]
    for split, rows in found.rows.items():
        counts = np.bincount([label for _, label, _ in rows], minlength=len(found.classes))
        if counts.size:
            report.notes.append(_count_classes(found.folders[split], counts))


def _audit_files(
    report: Audit, paths: list[Path], base: Path, dataset: Dataset, image_size: int | None
) -> list[Header]:
    """Add problems and duplicate images to the report, and return the headers of the valid images."""
    seen: dict[str, Path] = {}
    headers: list[Header] = []
    for path, found in zip(paths, check_images(paths, image_size, dataset, inspect=_pixels_sha256), strict=True):
        if isinstance(found, InputError):
            report.errors.append(_without(found, base))
            continue
        header, digest = found
        headers.append(header)
        if digest in seen:
            report.notes.append(f"{path.relative_to(base)}: has the same pixels as {seen[digest].relative_to(base)}")
        seen.setdefault(digest, path)
    report.images = len(headers)
    _summarise(report, headers)
    return headers


def _pixels_sha256(image: Image.Image) -> str:
    digest = hashlib.sha256(repr(image.size).encode())
    for _, band in bands(image):
        digest.update(band.tobytes())
    return digest.hexdigest()


def _without(problem: InputError, base: Path) -> str:
    """Return the text of a problem with file names relative to the folder `base`."""
    return str(problem).replace(f"{base}{os.sep}", "")


def _summarise(report: Audit, headers: list[Header]) -> None:
    if not headers:
        return
    small, large = (choose(headers, key=lambda h: h.width * h.height) for choose in (min, max))
    report.summary = f", {small.width}x{small.height}"
    if (small.width, small.height) != (large.width, large.height):
        report.summary += f" to {large.width}x{large.height}"


def _audit_arrays(
    report: Audit,
    name: str,
    image_size: int | None,
    root: Path,
    folders: Folders | None,
    max_unpacked_gb: float | None,
) -> None:
    """Prepare the arrays in a temporary folder, and add notes on class counts and on duplicate images in all splits."""
    with tempfile.TemporaryDirectory(prefix=".slim-bench-audit-") as temporary:
        folder = Path(temporary) / "prepared"
        try:
            manifest = prepare(name, image_size, folder, root, folders=folders, max_unpacked_gb=max_unpacked_gb)
        except InputError as problem:
            raise InputError(str(problem).replace(BY_PATH, report.name)) from None
        seen: dict[str, str] = {}
        for split in manifest.splits or {}:
            images = open_array(folder, manifest, f"{split}_images.npy")
            counts = np.bincount(open_array(folder, manifest, f"{split}_labels.npy"), minlength=len(manifest.classes))
            report.notes.append(_count_classes(split, counts))
            report.images += len(images)
            for index, image in enumerate(images):
                digest = sha256_bytes(image.tobytes())
                if digest in seen:
                    report.notes.append(f"{split} {index}: has the same pixels as {seen[digest]}")
                seen.setdefault(digest, f"{split} {index}")


def _count_classes(split: str, counts: np.ndarray) -> str:
    return f"{split}: {counts.sum()} images, {counts.min()} to {counts.max()} per class"
