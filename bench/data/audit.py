"""Validates a dataset before training, and lists every problem with its file name.

Errors are problems that `prepare` refuses or that harm training. Notes are informational.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.data.audit_record import expected_counts
from bench.data.catalogue import Dataset, Folders, UserFolder, is_npz, load_catalogue, prepared_path, task_of
from bench.data.class_folders import check_images, list_class_folders, unpacked_root
from bench.data.content import preparation_sha256
from bench.data.duplicates import Fingerprints, fingerprint
from bench.data.fetch import source_content
from bench.data.fit import check_image_size, check_one_shot, target_size
from bench.data.images import Header, collect_notes, find_images
from bench.data.manifest import MANIFEST, MadeFrom, Manifest, open_array, read_manifest
from bench.data.prepare import folder_notes, opened_source, prepare, source_paths
from bench.data.problems import COUNT, OTHER, ImageError
from bench.data.selection import selected_names
from bench.data.thumbnails import PER_ROW, Tiles, array_image, array_tiles, evenly_spaced, file_tile
from bench.errors import InputError
from bench.terminal import one_line

BY_PATH = "given-by-path"
"""Temporary name of a dataset given by path."""
MAX_DECODED = 50_000
"""Maximum number of evenly spaced images of ImageNet that are decoded. Of all other images, only the header is read."""


@dataclass
class Audit:
    """Errors and notes found in one dataset, by kind (see bench.data.problems.CHECKS), and its images."""

    name: str
    with_tiles: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    classes: int | None = None
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Width and height of the smallest and of the largest image."""
    modes: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    tiles: Tiles = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    by_kind: dict[str, list[str]] = field(default_factory=dict)
    """Kind of problem -> errors or notes of this kind."""

    @property
    def ok(self) -> bool:
        return not self.errors

    @property
    def images(self) -> int:
        return sum(self.counts.values())

    def add_error(self, kind: str, text: str) -> None:
        self.errors.append(text)
        self.by_kind.setdefault(kind, []).append(text)

    def add_problem(self, problem: InputError, base: Path) -> None:
        """Add an error with file names relative to the folder `base`."""
        kind = problem.kind if isinstance(problem, ImageError) else OTHER
        self.add_error(kind, str(problem).replace(f"{base}{os.sep}", ""))

    def compare(self, fingerprints: Fingerprints) -> None:
        """Add a note for each exact or near duplicate."""
        self.compared = fingerprints.compared
        for kind, texts in fingerprints.duplicates().items():
            self.notes += texts
            self.by_kind.setdefault(kind, []).extend(texts)
        if not fingerprints.complete:
            self.notes.append("almost all images are similar, so the search for near duplicates stopped early")

    def check_counts(self, expected: dict[str, int]) -> None:
        """Add an error for each split whose number of images differs from the catalogue."""
        for split, wanted in expected.items():
            if (count := self.counts.get(split, 0)) != wanted:
                what = "readable images" if split == "images" else f"{split} images"
                self.add_error(COUNT, f"{count} {what}, but {wanted} are expected")

    def summary(self) -> str:
        return f", {' to '.join(f'{width}x{height}' for width, height in self.sizes)}" if self.sizes else ""

    def lines(self) -> list[str]:
        """Return the report, with one error or note per line."""
        counts = f"{self.images} images{self.summary()}; {len(self.errors)} errors, {len(self.notes)} notes"
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
    prepared: Path | None = None,
    with_tiles: bool = False,
) -> Audit:
    """Validate a downloaded dataset of the catalogue, or a folder or .npz file given by path.

    `prepared`: folder of the prepared dataset (default: its folder in data/prepared). Only the audits of array datasets
    and ImageNet read this folder.
    `with_tiles`: also keep small copies of evenly spaced images.
    """
    catalogue = load_catalogue(root, folders)
    report, known = Audit(str(name), with_tiles), str(name)
    path = Path(name).expanduser()
    if known not in catalogue.datasets and (path.is_dir() or (is_npz(path) and path.is_file())):
        folders, known = {BY_PATH: UserFolder(path=str(path.resolve()), task=task_of(path))}, BY_PATH
        catalogue = load_catalogue(root, folders)
    dataset = catalogue.dataset(known)
    check_image_size(str(name), image_size)
    prepared = prepared or root / prepared_path(known, image_size)
    if dataset.layout == "imagenet":
        _audit_imagenet(report, prepared, dataset, image_size)
        return report
    sources = source_paths(known, root, catalogue)
    if dataset.layout == "images":
        with _opened(sources, max_unpacked_gb) as source:
            _audit_images(report, source, dataset, image_size, root)
    elif dataset.layout == "imagefolder":
        with _opened(sources, max_unpacked_gb) as source:
            _audit_classes(report, source if sources[0].is_dir() else unpacked_root(source), dataset, image_size)
    elif (manifest := _current(prepared, source_content(known, root, catalogue), dataset)) is not None:
        _audit_arrays(report, prepared, manifest, dataset)
    else:
        with tempfile.TemporaryDirectory(prefix=".slim-bench-audit-") as temporary:
            folder = Path(temporary) / "prepared"
            try:
                manifest = prepare(known, image_size, folder, root, folders=folders, max_unpacked_gb=max_unpacked_gb)
            except InputError as problem:
                raise InputError(str(problem).replace(BY_PATH, report.name)) from None
            _audit_arrays(report, folder, manifest, dataset)
    return report


def _current(folder: Path, content: str, dataset: Dataset) -> Manifest | None:
    """Return the manifest of a prepared dataset if it was made from the current source, else None."""
    try:
        manifest = read_manifest(folder)
    except InputError:
        return None
    made_from = MadeFrom(content_sha256=content, preparation_sha256=preparation_sha256(dataset))
    return manifest if manifest.made_from == made_from else None


@contextmanager
def _opened(sources: list[Path], max_unpacked_gb: float | None) -> Iterator[Path]:
    """Yield the folder or image file of a source, extracted to a temporary folder if the source is packed."""
    with (
        tempfile.TemporaryDirectory(prefix=".slim-bench-audit-") as folder,
        opened_source(sources, Path(folder) / "files", max_unpacked_gb) as path,
    ):
        yield path


def _audit_images(report: Audit, source: Path, dataset: Dataset, image_size: int | None, root: Path) -> None:
    found = find_images(source, dataset.preparation.members, selected_names(dataset.preparation, root))
    paths = {"images": [header.path for header in found.headers]}
    headers = _audit_files(report, paths, found.folder, dataset, image_size)
    for problem in found.problems:
        report.add_problem(problem, found.folder)
    report.notes += [*found.notes, *folder_notes(found, dataset)]
    oblong = sum(header.width != header.height for header in headers)
    if oblong and dataset.preparation.fit == "crop":
        report.notes.append(f"{oblong} of {len(headers)} images are not square and will be cropped")
    report.check_counts(expected_counts(dataset))
    if dataset.task == "oneshot" and len(headers) == 1:
        try:
            check_one_shot(headers[0], target_size(headers[0], image_size, dataset.preparation.fit))
        except InputError as problem:
            report.add_problem(problem, found.folder)


def _audit_imagenet(report: Audit, prepared: Path, dataset: Dataset, image_size: int | None) -> None:
    """Audit the folder that the prepared dataset lists.

    The samples of shards are only counted, because `prepare` has read the shards completely.
    """
    if not (prepared / MANIFEST).is_file():
        raise InputError(f"{report.name}: prepare it first, then audit it")
    manifest = read_manifest(prepared)
    if manifest.format != "webdataset":
        _audit_classes(report, Path(manifest.root or ""), dataset, image_size)
        return
    report.classes = len(manifest.classes or ())
    report.counts = {split: described.n for split, described in (manifest.splits or {}).items()}
    report.notes.append("shards: samples are counted, and not compared with each other")
    report.check_counts(expected_counts(dataset))


def _audit_classes(report: Audit, root: Path, dataset: Dataset, image_size: int | None) -> None:
    try:
        found = list_class_folders(root)
    except InputError as problem:
        report.add_problem(problem, root)
        return
    for problem in found.problems:
        report.add_problem(problem, root)
    headers = _audit_files(report, {split: found.paths(split) for split in found.rows}, root, dataset, image_size)
    report.classes = len(found.classes)
    if dataset.classes not in (None, report.classes):
        report.add_error(COUNT, f"{report.classes} classes, but {dataset.classes} are expected")
    report.notes += [*found.notes, *collect_notes(headers, root, len(headers))]
    for split, rows in found.rows.items():
        counts = np.bincount([label for _, label, _ in rows], minlength=len(found.classes))
        if counts.size:
            report.notes.append(_count_classes(found.folders[split], counts))
    report.check_counts(expected_counts(dataset))


def _audit_files(
    report: Audit, paths: dict[str, list[Path]], base: Path, dataset: Dataset, image_size: int | None
) -> list[Header]:
    """Add problems and duplicate images of each split to the report, and return the headers of the valid images."""
    every = [(split, path) for split, members in paths.items() for path in members]
    chosen = evenly_spaced(every, MAX_DECODED) if dataset.layout == "imagenet" else every
    fingerprints, headers = Fingerprints(len(chosen)), list[Header]()
    report.counts = dict.fromkeys(paths, 0)
    valid: dict[str, list[Path]] = {split: [] for split in paths}

    def check(files: list[tuple[str, Path]], decode: bool) -> None:
        found = check_images([path for _, path in files], image_size, dataset, fingerprint if decode else None)
        for (split, path), checked in zip(files, found, strict=True):
            if isinstance(checked, InputError):
                report.add_problem(checked, base)
                continue
            header, printed = checked
            headers.append(header)
            valid[split].append(path)
            report.counts[split] += 1
            report.modes[header.mode] += 1
            if printed is not None:
                fingerprints.add(path.relative_to(base).as_posix(), split, printed)

    check(chosen, decode=True)
    if len(chosen) < len(every):
        decoded = set(chosen)
        check([entry for entry in every if entry not in decoded], decode=False)
        report.notes.append(
            f"{len(chosen)} of {len(every)} images were decoded; only the headers of the others were read"
        )
    report.compare(fingerprints)
    report.sizes = _sizes(headers)
    if report.with_tiles:
        for split, members in valid.items():
            shown = evenly_spaced(sorted(members), PER_ROW[split])
            report.tiles[split] = [file_tile(path, dataset) for path in shown]
    return headers


def _sizes(headers: list[Header]) -> list[tuple[int, int]]:
    """Return the width and height of the smallest and of the largest image, or one entry if these sizes are equal."""
    found = sorted(((header.width, header.height) for header in headers), key=lambda size: size[0] * size[1])
    return list(dict.fromkeys((found[0], found[-1]))) if found else []


def _audit_arrays(report: Audit, folder: Path, manifest: Manifest, dataset: Dataset) -> None:
    """Add notes on class counts and on duplicate images of prepared arrays."""
    arrays = {split: open_array(folder, manifest, f"{split}_images.npy") for split in manifest.splits or {}}
    fingerprints = Fingerprints(sum(map(len, arrays.values())))
    report.classes = len(manifest.classes or ())
    for split, images in arrays.items():
        labels = open_array(folder, manifest, f"{split}_labels.npy")
        report.notes.append(_count_classes(split, np.bincount(labels, minlength=report.classes)))
        report.counts[split] = len(images)
        report.modes["L" if images.shape[-1] == 1 else "RGB"] += len(images)
        report.sizes = [(images.shape[2], images.shape[1])]
        for index, image in enumerate(images):
            fingerprints.add(f"{split} {index}", split, fingerprint(array_image(image)))
        if report.with_tiles:
            report.tiles[split] = array_tiles(images, labels, split)
    report.compare(fingerprints)
    report.check_counts(expected_counts(dataset))


def _count_classes(split: str, counts: np.ndarray) -> str:
    return f"{split}: {counts.sum()} images, {counts.min()} to {counts.max()} per class"
