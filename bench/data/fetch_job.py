"""One dataset to obtain, and the checksums that the catalogue or the DVC pointers require of its files."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data.catalogue import Catalogue, Dataset
from bench.data.content import file_stamp, is_unchanged
from bench.data.pointers import Pointer, pointer_of
from bench.data.receipts import read_receipt
from bench.data.record import Origin, source_text
from bench.data.sources import DataSettings, Download, Hub, Manual, SourceFile, is_pinned, preferred_sources
from bench.errors import InputError
from bench.files import check_regular

FIRST_SEEN = "first-seen"


@dataclass(frozen=True)
class FetchJob:
    """One dataset to obtain in the project at `root`.

    Attributes:
        accept: sha256 that is accepted for the file without a published checksum, or FIRST_SEEN.
        replaces: whether the recorded checksums of files without published checksums are replaced.
        completes: whether files that were recorded earlier are added to the DVC cache if they are missing there.
    """

    root: Path
    catalogue: Catalogue
    name: str
    dataset: Dataset
    accept: str | None = None
    settings: DataSettings = field(default_factory=DataSettings)
    replaces: bool = False
    completes: bool = False

    def pin(self, file: SourceFile) -> str | None:
        """Return the published, recorded, pinned (data/pins.yaml) or given sha256 that a file must have, or None."""
        given = self.accept if self.accept != FIRST_SEEN and file in self.unpinned else None
        if file.sha256 or self.replaces:
            return file.sha256 or given
        recorded = self.recorded(file)
        return (recorded.sha256 if recorded else self.catalogue.pins.get(file.name)) or given

    def md5(self, file: SourceFile) -> str | None:
        """Return the published or recorded md5 that a file must have, or None."""
        recorded = self.recorded(file)
        return file.md5 or (recorded.md5 if recorded else None)

    def recorded(self, file: SourceFile) -> Pointer | None:
        """Return the DVC pointer of a file, or None if there is none or if the catalogue now states other content."""
        pointer = pointer_of(self.root / file.local)
        if pointer is None or (self.replaces and not (file.sha256 or file.md5)):
            return None
        if not pointer.is_ours:
            return pointer
        source = next((source for source in self.dataset.sources if file in source.files), None)
        other_commit = isinstance(source, Hub) and pointer.meta["source"].startswith("hf://")
        if other_commit and pointer.meta["source"] != source_text(source, file) and not file.sha256:
            return None
        published = ((file.sha256, pointer.sha256), (file.md5, pointer.md5))
        return None if any(first and first != second for first, second in published) else pointer

    def origin(self, source: Any, file: SourceFile, *, is_new: bool) -> Origin:
        """Return the origin that the pointer of a file records.

        The source of a file without a published checksum is known only if the file was just obtained from this source.
        """
        listed = next((source for source in self.dataset.sources if file in source.files), source)
        if not (file.sha256 or file.md5):
            listed = source if is_new else None
        return self.origin_from(source_text(listed, file), is_new=is_new)

    def origin_from(self, source: str, *, is_new: bool = False) -> Origin:
        """Return the origin that the pointers of the dataset record, with the options of this job."""
        options = is_new, self.replaces, self.completes
        return Origin(self.dataset.title, self.dataset.licence, source, *options)

    @property
    def unpinned(self) -> list[SourceFile]:
        """Return the files that are downloaded from URLs and have no published checksum."""
        files = [file for source in self.dataset.sources if isinstance(source, Download) for file in source.files]
        return [file for file in files if not (file.sha256 or file.md5)]


def checked_file(job: FetchJob, file: SourceFile) -> dict[str, Any]:
    """Return name, size, times and checksums of a file. Raises InputError if a checksum differs.

    If size and times are unchanged, the checksums are taken from the receipt, because hashing a large archive takes
    a long time.
    """
    path = job.root / file.local
    now = file_stamp(path, file.name)
    entries = {entry["name"]: entry for entry in read_receipt(job.name, job.root).get("files", ())}
    entry = entries.get(file.name, {})
    wanted = {"sha256": job.pin(file), "md5": job.md5(file)}
    agrees = all(key in entry and value in (None, entry[key]) for key, value in wanted.items())
    if agrees and is_unchanged(entry, now):
        return entry
    found = hashes_of(path)
    problem = mismatch(job, file, found)
    if problem:
        raise InputError(problem)
    return now | found


def mismatch(job: FetchJob, file: SourceFile, found: dict[str, str]) -> str | None:
    """Return a message that names a wrong checksum of a file and the remedy, or None if all checksums are correct."""
    path = job.root / file.local
    for kind, value in (("sha256", job.pin(file)), ("md5", job.md5(file))):
        if value and found[kind] != value:
            remedy = "delete the file and fetch it again"
            if job.recorded(file) and not (file.sha256 or file.md5):
                remedy += f", or run `slim-bench data pin {job.name} --replace` to use this file"
            return f"{path}: {kind} is {found[kind]}, but {value} is expected; {remedy}"
    return None


def hashes_of(path: Path) -> dict[str, str]:
    """Return the sha256 and md5 of a file. The file is read only once."""
    check_regular(path)
    digests = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            for digest in digests.values():
                digest.update(chunk)
    return {kind: digest.hexdigest() for kind, digest in digests.items()}


def check_acceptable(job: FetchJob) -> None:
    """Raise InputError if the given value is not a checksum, or if the dataset does not need a checksum."""
    accept = job.accept or ""
    if accept != FIRST_SEEN and (len(accept) != 64 or set(accept) - set("0123456789abcdef")):
        raise InputError(f"--accept-sha256 {accept}: expected 64 hexadecimal digits (lower case) or {FIRST_SEEN}")
    if len(job.unpinned) != 1:
        raise InputError(f"{job.name}: --accept-sha256 is only for a single file without a published checksum")


def candidates(job: FetchJob) -> list[Any]:
    """Return the sources that `fetch` tries, in order.

    If `job.accept` is set, these are only the sources with a file that has no published checksum.
    """

    def allowed(source: Any) -> bool:
        if job.accept is not None:
            return any(file in job.unpinned for file in source.files)
        known = all(job.pin(file) or job.md5(file) for file in source.files)
        return is_pinned(source) or known or job.settings.trust_first_use or job.replaces

    ordered = preferred_sources(job.dataset.sources, job.settings, job.root)
    return [source for source in ordered if allowed(source) and not isinstance(source, Manual)]
