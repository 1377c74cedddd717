"""Obtains the source of a dataset in data/sources and verifies its checksum.

The sources of the catalogue are tried in order (bench.data.sources). From every source, a file must match the sha256
or md5 of the catalogue, a pin, or its DVC pointer. The result is recorded in a receipt, data/sources/NAME.json, on
which the workflow depends.
"""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data.catalogue import PINS, Catalogue, Dataset, Folders, load_catalogue
from bench.data.content import (
    content_sha256,
    describe_file,
    describe_place,
    entry_sha256,
    file_stamp,
    is_unchanged,
)
from bench.data.download import UnavailableError
from bench.data.dvc import run_dvc
from bench.data.obtain import Wanted, link_place, obtain
from bench.data.pointers import read_pointer
from bench.data.present import installed_path, present_source
from bench.data.receipts import read_receipt, receipt_path
from bench.data.sources import (
    SOURCES,
    DataSettings,
    Download,
    Manual,
    Mirror,
    Network,
    SourceFile,
    in_order,
    is_pinned,
    label,
)
from bench.data.weights import fetch_weights
from bench.errors import InputError
from bench.files import read_yaml, sha256_file, write_json, write_text
from bench.paths import RESULTS, RUNS
from bench.terminal import one_line

FIRST_SEEN = "first-seen"


@dataclass(frozen=True)
class FetchJob:
    """One dataset to obtain in the project at `root`."""

    root: Path
    catalogue: Catalogue
    name: str
    dataset: Dataset
    accept: str | None = None
    settings: DataSettings = field(default_factory=DataSettings)

    def pin(self, file: SourceFile) -> str | None:
        """Return the sha256 that a file must have, if one is published or pinned."""
        given = self.accept if self.accept != FIRST_SEEN and file in self.unpinned else None
        return self.catalogue.pin(file) or given

    def md5(self, file: SourceFile) -> str | None:
        """Return the md5 that a file must have: the published md5, or the md5 in its DVC file."""
        pointer = self.root / file.pointer
        if file.md5 or not pointer.exists():
            return file.md5
        return read_pointer(pointer).md5

    @property
    def unpinned(self) -> list[SourceFile]:
        """Return the files at URLs without a published checksum."""
        files = [file for source in self.dataset.sources if isinstance(source, Download) for file in source.files]
        return [file for file in files if not (file.sha256 or file.md5)]


@dataclass(frozen=True)
class Fetched:
    """Result of `fetch_dataset`.

    Attributes:
        source: the catalogue's source of the files, or None for a folder or file that the user installed.
        origin: short description of the place that provided the files, or None if all were present.
        files: paths of the verified files, or the installed folder or file.
    """

    name: str
    receipt: Path
    source: Any
    origin: str | None
    files: list[Path]


def fetch(
    name: str,
    root: Path = Path("."),
    *,
    accept_sha256: str | None = None,
    folders: Folders | None = None,
    settings: DataSettings | None = None,
) -> Path:
    """Obtain and verify the source of dataset `name`, and return the path of its receipt.

    For a name in the section `weights` of the catalogue, the function returns the path of the weights file.
    `accept_sha256` (64 hex digits, or `first-seen`) pins the checksum of a file without a published one.
    """
    root = Path(root)
    catalogue = load_catalogue(root, folders)
    if name in catalogue.weights:
        return fetch_weights(name, root)
    return fetch_dataset(name, catalogue, root, accept_sha256=accept_sha256, settings=settings).receipt


def fetch_dataset(
    name: str,
    catalogue: Catalogue,
    root: Path = Path("."),
    *,
    accept_sha256: str | None = None,
    settings: DataSettings | None = None,
) -> Fetched:
    """Obtain and verify the source of dataset `name` from the first source of the catalogue that works.

    Existing files with the expected checksum are not downloaded again. Raises InputError with the reason of every
    source if none works.
    """
    job = FetchJob(root, catalogue, name, catalogue.dataset(name), accept_sha256, settings or DataSettings())
    if accept_sha256 is not None:
        _check_acceptable(job)
    place = installed_path(root, job.dataset)
    if place is not None:
        return _installed(job, place, None)
    source = present_source(root, job.dataset, read_receipt(name, root))
    if source is not None:
        return _recorded(job, source, None)
    reasons: list[str] = []
    candidates = _candidates(job)
    for index, source in enumerate(candidates):
        try:
            return _from_source(job, source)
        except UnavailableError as error:
            reasons.append(str(error))
            for following in candidates[index + 1 : index + 2]:
                print(f"{name}: {one_line(error)}; trying {label(following)}", file=sys.stderr, flush=True)
    raise InputError(_all_failed(job, reasons))


def _candidates(job: FetchJob) -> list[Any]:
    """Return the sources to try, in order. A given checksum selects the source that it is for."""

    def allowed(source: Any) -> bool:
        if job.accept is not None:
            return any(file in job.unpinned for file in source.files)
        known = all(job.catalogue.pin(file) or job.md5(file) for file in source.files)
        return is_pinned(source) or known or job.settings.trust_first_use

    ordered = in_order(job.dataset.sources, job.settings, job.root)
    return [source for source in ordered if allowed(source) and not isinstance(source, Manual)]


def _all_failed(job: FetchJob, reasons: list[str]) -> str:
    """Return the error of a dataset that no source provides, in one line."""
    tried = _candidates(job)
    blocked = [
        source.files[0].url for source in job.dataset.sources if isinstance(source, Download) and source not in tried
    ]
    if blocked:
        reasons = [
            *reasons,
            f"no checksum is published for {', '.join(map(str, blocked))}, so nothing is downloaded; set "
            "data.trust_first_use to true in config/config.yaml, which pins the first download, or pass "
            f"--accept-sha256 HEX of a copy you trust, or --accept-sha256 {FIRST_SEEN}",
        ]
    manual = job.dataset.manual
    if manual is not None:
        reasons = [*reasons, f"manual installation is required: {manual.how}"]
    return f"{job.name}: " + "; ".join(reasons)


def _from_source(job: FetchJob, source: Any) -> Fetched:
    """Obtain all files of one source."""
    if isinstance(source, Mirror) and source.place is not None:
        place = link_place(source, job.root, job.settings)
        if place is not None:
            return _installed(job, place, label(source))
        if not source.files:
            raise UnavailableError(f"{source.place}: no such folder in the mirror {job.settings.mirror}")
    for file in source.files:
        if not (job.root / file.local).is_file():
            obtain(source, Wanted(job.root, file, job.pin(file), job.md5(file)), job.settings)
    return _recorded(job, source, label(source))


def _installed(job: FetchJob, place: Path, origin: str | None) -> Fetched:
    """Write the receipt of a folder or file that the user installed or configured."""
    inside = job.dataset.folder is None  # paths in the receipt are relative to the project root
    if not inside:
        refuse_changed_source(job.name, place, job.root)
    where = {"place": place.relative_to(job.root).as_posix() if inside else str(place)}
    described = describe_place(place, job.dataset, read_receipt(job.name, job.root))
    return Fetched(job.name, _write_receipt(job, where | described), None, origin, [place])


def _recorded(job: FetchJob, source: Any, origin: str | None) -> Fetched:
    """Verify the files of a source, and write the receipt."""
    files = [_verified(job, source, file, origin) for file in source.files]
    receipt = _write_receipt(job, {"files": files, "content_sha256": content_sha256(files)})
    return Fetched(job.name, receipt, source, origin, [job.root / file.local for file in source.files])


def source_files(name: str, root: Path, catalogue: Catalogue) -> list[Path]:
    """Return the downloaded files of a dataset, each verified."""
    job = FetchJob(root, catalogue, name, catalogue.dataset(name))
    source = present_source(root, job.dataset, read_receipt(name, root))
    if source is None:
        files = (file for source in job.dataset.sources for file in source.files)
        missing = next((root / file.local for file in files if not (root / file.local).is_file()), root / SOURCES)
        raise InputError(f"{missing}: not downloaded yet; run `slim-bench fetch {name}`")
    for file in source.files:
        _verified_checksums(job, file)
    return [root / file.local for file in source.files]


def source_content(name: str, root: Path, catalogue: Catalogue) -> str:
    """Return the current content hash of a dataset's source.

    Files whose size and times equal those in the receipt are not read again.
    """
    dataset, receipt = catalogue.dataset(name), read_receipt(name, root)
    place = installed_path(root, dataset)
    if place is not None:
        return describe_place(place, dataset, receipt)["content_sha256"]
    source = present_source(root, dataset, receipt)
    if source is None:
        raise InputError(f"{name}: not downloaded yet; run `slim-bench fetch {name}`")
    known = {record["name"]: record for record in receipt.get("files", ())}
    return content_sha256([describe_file(root / file.local, file.name, known.get(file.name)) for file in source.files])


def _verified(job: FetchJob, source: Any, file: SourceFile, origin: str | None) -> dict[str, Any]:
    """Verify one file, pin its checksum if it has none, and describe it for the receipt."""
    entry = _verified_checksums(job, file)
    if job.accept is not None or (origin is not None and file in job.unpinned and not job.md5(file)):
        _pin_first_use(job, file, entry)
    if origin is not None and isinstance(source, Network) and (job.root / file.pointer).exists():
        run_dvc(job.root, "commit", "--force", file.pointer.as_posix())
    return entry


def _pin_first_use(job: FetchJob, file: SourceFile, entry: Mapping[str, Any]) -> None:
    if file.name in job.catalogue.pins:
        return
    path = job.root / PINS
    pins = (read_yaml(path) if path.exists() else {}) | {file.name: entry["sha256"]}
    lines = [f'{key}: "{value}"\n' for key, value in sorted(pins.items())]
    write_text(
        path, "# sha256 of files without a published checksum, recorded at the first download\n" + "".join(lines)
    )


def _verified_checksums(job: FetchJob, file: SourceFile) -> dict[str, Any]:
    """Return the checksums of a file.

    If its size and times are unchanged, they are taken from the receipt, because hashing a large archive takes long.
    """
    now = file_stamp(job.root / file.local, file.name)
    entries = {entry["name"]: entry for entry in read_receipt(job.name, job.root).get("files", ())}
    entry = entries.get(file.name, {})
    pin = job.pin(file)
    agrees = entry.get("sha256") == (pin or entry.get("sha256", "")) and entry.get("md5") == job.md5(file)
    if agrees and is_unchanged(entry, now):
        return entry
    return now | verify(job.root / file.local, pin, job.md5(file))


def _write_receipt(job: FetchJob, found: dict[str, Any]) -> Path:
    path = job.root / receipt_path(job.name)
    value = {"dataset": job.name, "entry_sha256": entry_sha256(job.catalogue, job.name, job.root)} | found
    if read_receipt(job.name, job.root) != value:
        write_json(path, value)
    return path


def refuse_changed_source(name: str, place: Path, root: Path = Path(".")) -> None:
    """Raise InputError if dataset `name` has results that were computed from other images than those at `place`."""
    before = read_receipt(name, root).get("place")
    if before is None or (root / before).resolve() == place.resolve():
        return
    results = next((root / RESULTS).glob(f"*/{RUNS}/*/{name}"), None)
    if results is not None:
        raise InputError(
            f"{name}: its results in {results} were computed from {before}, not from {place}; give the new images "
            f"another name, --config 'folders={{NAME: {{path: {place}}}}}', or move these results to another folder"
        )


def verify(path: Path, sha256: str | None, md5: str | None) -> dict[str, str]:
    """Compute the checksums of a file. Raises InputError with both values on a mismatch."""
    found = {"sha256": sha256_file(path)}
    if sha256 and found["sha256"] != sha256:
        raise InputError(_mismatch(path, "sha256", sha256, found["sha256"]))
    if md5:
        with path.open("rb") as stream:
            found["md5"] = hashlib.file_digest(stream, "md5").hexdigest()
        if found["md5"] != md5:
            raise InputError(_mismatch(path, "md5", md5, found["md5"]))
    return found


def _mismatch(path: Path, kind: str, wanted: str, found: str) -> str:
    return f"{path}: {kind} is {found}, but {wanted} is expected; delete the file and fetch it again"


def _check_acceptable(job: FetchJob) -> None:
    accept = job.accept or ""
    if accept != FIRST_SEEN and (len(accept) != 64 or set(accept) - set("0123456789abcdef")):
        raise InputError(f"--accept-sha256 {accept}: expected 64 hexadecimal digits (lower case) or {FIRST_SEEN}")
    if len(job.unpinned) != 1:
        raise InputError(f"{job.name}: --accept-sha256 is only for a single file without a published checksum")
