"""Obtains the source of a dataset in data/sources and verifies its checksum.

The sources of the catalogue are tried in order (bench.data.sources). Whatever its source, a file must match the sha256
or md5 of the catalogue, a pin, or its DVC pointer. The result is recorded in a receipt, data/sources/NAME.json, on
which the workflow depends.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data.catalogue import PINS, Catalogue, Folders, load_catalogue
from bench.data.content import content_sha256, describe_file, describe_installed, entry_sha256, file_stamp
from bench.data.download import UnavailableError
from bench.data.dvc_cache import restore_file
from bench.data.fetch_job import FetchJob, candidates, check_acceptable, checked_file
from bench.data.installed import record_archives, record_installed
from bench.data.obtain import FileRequest, link_place, obtain
from bench.data.present import installed_path, present_source
from bench.data.receipts import read_receipt, receipt_path
from bench.data.record import record_file
from bench.data.sources import SOURCES, DataSettings, Download, Mirror, Shipped, SourceFile, label
from bench.data.weights import fetch_weights
from bench.errors import InputError
from bench.files import write_json
from bench.paths import RESULTS, RUNS
from bench.terminal import one_line


@dataclass(frozen=True)
class Fetched:
    """Result of `fetch_dataset`.

    Attributes:
        source: the catalogue's source of the files, or None for a folder or file that the user installed.
        origin: short description of the source that provided the files, or None if all were present.
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
    `accept_sha256` (64 hex digits, or `first-seen`) pins the checksum of a file that has no published checksum.
    """
    root = Path(root)
    catalogue = load_catalogue(root, folders)
    if name in catalogue.weights:
        return fetch_weights(name, root, settings=settings)
    return fetch_dataset(name, catalogue, root, accept_sha256=accept_sha256, settings=settings).receipt


def fetch_dataset(
    name: str,
    catalogue: Catalogue,
    root: Path = Path("."),
    *,
    accept_sha256: str | None = None,
    settings: DataSettings | None = None,
    replaces: bool = False,
    completes: bool = False,
) -> Fetched:
    """Obtain and verify the source of dataset `name` from the first source of the catalogue that works.

    Existing files with the expected checksum are not downloaded again. `replaces`: record the present content of files
    without a published checksum in place of an earlier record. `completes` is explained in `FetchJob`. Raises
    InputError with one reason per source if no source works.
    """
    dataset = catalogue.dataset(name)
    job = FetchJob(root, catalogue, name, dataset, accept_sha256, settings or DataSettings(), replaces, completes)
    if accept_sha256 is not None:
        check_acceptable(job)
    path = installed_path(root, job.dataset)
    if path is not None:
        return _installed(job, path, None)
    source = present_source(root, job.dataset, read_receipt(name, root))
    if source is not None:
        return _recorded(job, source, None)
    reasons: list[str] = []
    tried = candidates(job)
    for index, source in enumerate(tried):
        try:
            return _from_source(job, source)
        except UnavailableError as error:
            reasons.append(str(error))
            for following in tried[index + 1 : index + 2]:
                print(f"{name}: {one_line(error)}; trying {label(following)}", file=sys.stderr, flush=True)
    raise InputError(_all_failed(job, reasons))


def _all_failed(job: FetchJob, reasons: list[str]) -> str:
    """Return the one-line error message for a dataset that no source provides."""
    tried = candidates(job)
    blocked = [
        source.files[0].url for source in job.dataset.sources if isinstance(source, Download) and source not in tried
    ]
    if blocked:
        reasons = [
            *reasons,
            f"no checksum is published for {', '.join(map(str, blocked))}, so nothing is downloaded; to pin the first "
            "download, pass --trust-first-use or set data.trust_first_use to true in config/config.yaml, or pin a copy "
            f"you trust with `slim-bench fetch {job.name} --accept-sha256 HEX`",
        ]
    manual = job.dataset.manual
    if manual is not None:
        reasons = [*reasons, f"manual installation is required: {manual.how}"]
    return f"{job.name}: " + "; ".join(reasons)


def _from_source(job: FetchJob, source: Any) -> Fetched:
    """Obtain all files of one source."""
    if isinstance(source, Mirror) and source.place is not None:
        link_place(source, job.root, job.settings)
        path = installed_path(job.root, job.dataset)
        if path is not None:
            return _installed(job, path, label(source))
        if not source.files:
            raise UnavailableError(f"{source.place}: no folder with these images in the mirror {job.settings.mirror}")
    for file in source.files:
        recorded = job.recorded(file)
        if recorded is not None and restore_file(job.root, job.root / file.local, recorded):
            continue
        if not (job.root / file.local).is_file():
            obtain(source, FileRequest(job.root, file, job.pin(file), job.md5(file)), job.settings)
    return _recorded(job, source, label(source))


def _installed(job: FetchJob, path: Path, origin: str | None) -> Fetched:
    """Write the receipt of a folder or file that the user installed or configured."""
    inside = job.dataset.folder is None  # if so, the receipt has paths relative to the project root
    if not inside:
        refuse_changed_source(job.name, path, job.root)
    where = {"place": path.relative_to(job.root).as_posix() if inside else str(path)}
    described = describe_installed(path, job.dataset, read_receipt(job.name, job.root))
    if inside:
        record_installed(job, path, described)
    return Fetched(job.name, _write_receipt(job, where | described), None, origin, [path])


def _recorded(job: FetchJob, source: Any, origin: str | None) -> Fetched:
    """Verify the files of a source, and write the receipt."""
    files = [_verified(job, source, file, origin) for file in source.files]
    if job.dataset.layout == "imagenet":
        record_archives(job, files)
    receipt = _write_receipt(job, {"files": files, "content_sha256": content_sha256(files)})
    return Fetched(job.name, receipt, source, origin, [job.root / file.local for file in source.files])


def source_files(name: str, root: Path, catalogue: Catalogue) -> list[Path]:
    """Verify the downloaded files of a dataset, and return their paths."""
    job = FetchJob(root, catalogue, name, catalogue.dataset(name))
    source = present_source(root, job.dataset, read_receipt(name, root))
    if source is None:
        files = (file for source in job.dataset.sources for file in source.files)
        missing = next((root / file.local for file in files if not (root / file.local).is_file()), root / SOURCES)
        raise InputError(f"{missing}: not downloaded yet; run `slim-bench fetch {name}`")
    for file in source.files:
        checked_file(job, file)
    return [root / file.local for file in source.files]


def source_content(name: str, root: Path, catalogue: Catalogue) -> str:
    """Return the current content hash of a dataset's source.

    Files whose size and times equal those in the receipt are not read again.
    """
    dataset, receipt = catalogue.dataset(name), read_receipt(name, root)
    path = installed_path(root, dataset)
    if path is not None:
        return describe_installed(path, dataset, receipt)["content_sha256"]
    source = present_source(root, dataset, receipt)
    if source is None:
        raise InputError(f"{name}: not downloaded yet; run `slim-bench fetch {name}`")
    known = {record["name"]: record for record in receipt.get("files", ())}
    return content_sha256([describe_file(root / file.local, file.name, known.get(file.name)) for file in source.files])


def _verified(job: FetchJob, source: Any, file: SourceFile, origin: str | None) -> dict[str, Any]:
    """Verify one file, record it with DVC, and describe it for the receipt."""
    path = job.root / file.local
    entry = checked_file(job, file)
    if isinstance(source, Shipped) or job.dataset.layout == "imagenet":
        return entry
    migrates = file.name in job.catalogue.pins and not (job.root / file.pointer).exists()
    record_file(job.root, path, entry, job.origin(source, file, is_new=origin is not None))
    if migrates:
        advice = f"delete {PINS} when all of its checksums are recorded"
        print(f"{PINS}: the checksum of {file.name} is now recorded in {file.pointer}; {advice}", file=sys.stderr)
    return entry | file_stamp(path, file.name)  # a link to the DVC cache changes the times


def _write_receipt(job: FetchJob, found: dict[str, Any]) -> Path:
    path = job.root / receipt_path(job.name)
    value = {"dataset": job.name, "entry_sha256": entry_sha256(job.catalogue, job.name, job.root)} | found
    if read_receipt(job.name, job.root) != value:
        write_json(path, value)
    return path


def refuse_changed_source(name: str, path: Path, root: Path = Path(".")) -> None:
    """Raise InputError if dataset `name` has results that were computed from other images than those at `path`."""
    before = read_receipt(name, root).get("place")
    if before is None or (root / before).resolve() == path.resolve():
        return
    results = next((root / RESULTS).glob(f"*/{RUNS}/*/{name}"), None)
    if results is not None:
        raise InputError(
            f"{name}: its results in {results} were computed from {before}, not from {path}; give the new images "
            f"another name with --config 'folders={{NAME: {{path: {path}}}}}', or move these results to another folder"
        )
