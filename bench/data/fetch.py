"""Downloads the source of a dataset to data/sources and verifies its checksum.

Shipped archives are pulled with `dvc --wait-for-lock` (parallel pulls fail otherwise), and URLs are downloaded with
bench.data.download. In both cases the file must match the sha256 or md5 of the catalogue. The result is recorded in a
receipt, data/sources/NAME.json, on which the workflow depends.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from bench.data.catalogue import (
    PINS,
    SOURCES,
    Catalogue,
    Dataset,
    Download,
    Folder,
    Folders,
    Manual,
    Shipped,
    SourceFile,
    load_catalogue,
)
from bench.data.content import (
    content_sha256,
    describe_file,
    describe_place,
    entry_sha256,
    file_stamp,
    is_untouched,
    unpacked_content,
)
from bench.data.download import download
from bench.data.dvc import SHIPPED, pull_if_tracked, run_dvc
from bench.data.pointers import read_pointer
from bench.data.weights import fetch_weights
from bench.errors import InputError
from bench.files import read_json, read_yaml, sha256_file, write_json, write_text
from bench.paths import RESULTS, RUNS
from bench.schema import parse_strict

FIRST_SEEN = "first-seen"


class FileReceipt(BaseModel):
    """Entry of one file in a receipt. Fields other than these are allowed and not validated."""

    model_config = ConfigDict(strict=True, extra="allow")
    name: str
    sha256: str


class Receipt(BaseModel):
    """Validated fields of a receipt. Other fields are allowed."""

    model_config = ConfigDict(strict=True, extra="allow")
    place: str | None = None
    entry_sha256: str | None = None
    content_sha256: str | None = None
    files: list[FileReceipt] = []
    members: list[FileReceipt] = []


@dataclass(frozen=True)
class FetchJob:
    """One dataset to download into the project at `root`."""

    root: Path
    catalogue: Catalogue
    name: str
    dataset: Dataset
    accept: str | None

    def pin(self, file: SourceFile) -> str | None:
        """Return the sha256 that a file must have, if one is published or pinned."""
        return self.catalogue.pin(file) or (self.accept if self.accept != FIRST_SEEN else None)

    def md5(self, file: SourceFile) -> str | None:
        """Return the md5 that a file must have: the published md5, or the md5 in its DVC file."""
        pointer = self.root / file.pointer
        if file.md5 or not pointer.exists():
            return file.md5
        return read_pointer(pointer).md5


def fetch(
    name: str,
    root: Path = Path("."),
    *,
    accept_sha256: str | None = None,
    folders: Folders | None = None,
) -> Path:
    """Download and verify the source of dataset `name`, and return the path of its receipt.

    Existing files with the expected checksum are not downloaded again. For a name in the section `weights` of the
    catalogue, the function returns the path of the weights file. `accept_sha256` (64 hex digits, or `first-seen`) pins
    the checksum of a file without a published one; the pin is stored in data/pins.yaml.
    """
    root = Path(root)
    catalogue = load_catalogue(root, folders)
    if name in catalogue.weights:
        return fetch_weights(name, root)
    job = FetchJob(root, catalogue, name, catalogue.dataset(name), accept_sha256)
    source = job.dataset.source
    if accept_sha256 is not None:
        _check_acceptable(job)
    place = installed_path(root, job.dataset)
    if place is not None:
        inside = not isinstance(source, Folder)  # paths in the receipt are relative to the project root
        if not inside:
            refuse_changed_source(name, place, root)
        where = {"place": place.relative_to(root).as_posix() if inside else str(place)}
        return _write_receipt(job, where | describe_place(place, job.dataset, read_receipt(name, root)))
    if not source.files:
        raise InputError(f"{name}: manual installation is required: {source.how}")
    files = [_fetch_file(job, file) for file in source.files]
    return _write_receipt(job, {"files": files, "content_sha256": content_sha256(files)})


def receipt_path(name: str) -> Path:
    """Return the path of the receipt, relative to the project root."""
    return SOURCES / f"{name}.json"


def existing_path(root: Path, source: Folder) -> Path:
    place = root / Path(source.path).expanduser()
    if not place.exists():
        raise InputError(f"{place}: no such file or folder")
    return place


def source_files(name: str, root: Path, catalogue: Catalogue) -> list[Path]:
    """Return the downloaded files of a dataset, each verified."""
    job = FetchJob(root, catalogue, name, catalogue.dataset(name), None)
    for file in job.dataset.source.files:
        if not (root / file.path).is_file():
            raise InputError(f"{root / file.path}: not downloaded yet; run `slim-bench fetch {name}`")
        _checked(job, file)
    return [root / file.path for file in job.dataset.source.files]


def source_content(name: str, root: Path, catalogue: Catalogue) -> str:
    """Return the current content hash of a dataset's source.

    Files whose size and times equal those in the receipt are not read again.
    """
    dataset, receipt = catalogue.dataset(name), read_receipt(name, root)
    place = installed_path(root, dataset)
    if place is not None:
        return describe_place(place, dataset, receipt)["content_sha256"]
    known = {record["name"]: record for record in receipt.get("files", ())}
    files = [describe_file(root / file.path, file.name, known.get(file.name)) for file in dataset.source.files]
    return content_sha256(files)


def installed_path(root: Path, dataset: Dataset) -> Path | None:
    """Return the folder or file that the user installed or configured, or None if the files of the catalogue are used.

    A folder that was extracted from these files is used only if the files no longer exist, because they may have been
    replaced since.
    """
    if isinstance(dataset.source, Folder):
        return existing_path(root, dataset.source)
    if not isinstance(dataset.source, Manual):
        return None
    place, files = root / SOURCES / dataset.source.place, [root / file.path for file in dataset.source.files]
    has_archives = bool(files) and all(path.is_file() for path in files)
    return place if place.exists() and not (has_archives and unpacked_content(place)) else None


def _fetch_file(job: FetchJob, file: SourceFile) -> dict[str, Any]:
    """Download one file if it is missing, verify it, and describe it for the receipt."""
    missing = not (job.root / file.path).is_file()
    if missing:
        _obtain(job, file)
    entry = _checked(job, file)
    if job.accept is not None and file.name not in job.catalogue.pins:
        path = job.root / PINS
        pins = (read_yaml(path) if path.exists() else {}) | {file.name: entry["sha256"]}
        lines = [f'{key}: "{value}"\n' for key, value in sorted(pins.items())]
        write_text(
            path, "# sha256 of files without a published checksum, recorded at the first download\n" + "".join(lines)
        )
    if missing and isinstance(job.dataset.source, Download) and (job.root / file.pointer).exists():
        run_dvc(job.root, "commit", "--force", file.pointer.as_posix())
    return entry


def _checked(job: FetchJob, file: SourceFile) -> dict[str, Any]:
    """Return the checksums of a file.

    If its size and times are unchanged, they are taken from the receipt, because hashing a large archive takes long.
    """
    now = file_stamp(job.root / file.path, file.name)
    entries = {entry["name"]: entry for entry in read_receipt(job.name, job.root).get("files", ())}
    entry = entries.get(file.name, {})
    pin = job.pin(file)
    agrees = entry.get("sha256") == (pin or entry.get("sha256", "")) and entry.get("md5") == job.md5(file)
    if agrees and is_untouched(entry, now):
        return entry
    return now | verify(job.root / file.path, pin, job.md5(file))


def read_receipt(name: str, root: Path = Path(".")) -> dict[str, Any]:
    """Return the receipt of dataset `name`. It is empty if missing or damaged, so that `fetch` creates it again."""
    path = root / receipt_path(name)
    try:
        return parse_strict(Receipt, read_json(path), path).model_dump(exclude_unset=True) if path.exists() else {}
    except InputError:
        return {}


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


def _obtain(job: FetchJob, file: SourceFile) -> None:
    source, path = job.dataset.source, job.root / file.path
    if isinstance(source, Shipped):
        run_dvc(job.root, "pull", "--remote", SHIPPED, file.pointer.as_posix())
        if not path.is_file():
            raise InputError(f"{path}: missing after `dvc pull`; check that data/shipped is complete")
    elif isinstance(source, Manual):
        raise InputError(f"{job.name}: {path} is missing; manual installation is required: {source.how}")
    elif not (job.pin(file) or job.md5(file) or job.accept == FIRST_SEEN):
        raise InputError(
            f"{job.name}: no checksum is published for {file.url}, so nothing is downloaded; pass --accept-sha256 HEX"
            f" of a copy you trust, or --accept-sha256 {FIRST_SEEN} to record the first checksum in {PINS}"
        )
    elif not pull_if_tracked(job.root, file.path):
        download(file.url, path, sha256=job.pin(file), md5=job.md5(file), size=file.bytes)


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
    files, accept = job.dataset.source.files, job.accept
    if accept != FIRST_SEEN and (len(accept) != 64 or set(accept) - set("0123456789abcdef")):
        raise InputError(f"--accept-sha256 {accept}: expected 64 hexadecimal digits (lower case) or {FIRST_SEEN}")
    if len(files) != 1 or files[0].sha256 or files[0].md5:
        raise InputError(f"{job.name}: --accept-sha256 is only for a single file without a published checksum")
