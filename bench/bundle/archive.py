"""Writes and verifies the ZIP archive of a bundle."""

import hashlib
import json
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from bench.bundle.contents import Member, members
from bench.bundle.metadata import README, RO_CRATE, ZENODO, Facts, readme, ro_crate, zenodo
from bench.errors import InputError
from bench.files import atomic_file
from bench.ownership import refuse_foreign

SUMS = "SHA256SUMS"
MAX_BYTES = 16 * 2**30
"""Maximum unpacked size of a bundle. A bundle of the paper suite is smaller than 1 GB."""
MAX_TEXT_BYTES = 2**26
"""Maximum unpacked size of the checksums and of the description, which are read into memory."""
BLOCK = 2**20
STORED = (".png", ".safetensors")
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Modification time of every member. It is fixed, so that equal files result in equal archives."""


def write_bundle(scale_dir: Path, facts: Facts, out: Path) -> tuple[int, int]:
    """Write the bundle of `scale_dir` to `out`, and return the number of its files and its size in bytes.

    Raises InputError if the report is missing or outdated, or if `out` exists and is not a bundle.
    """
    refuse_foreign(out, is_bundle, "give another --out")
    listed = members(scale_dir)
    files = {
        RO_CRATE: ro_crate(facts, [member.name for member in listed]),
        ZENODO: zenodo(facts),
        README: readme(facts, out.name),
    }
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    root = out.stem
    with atomic_file(out) as file, zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(_entry(f"{root}/{name}"), data)
        for member in listed:
            sums[member.name] = _add(archive, root, member)
        lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items()))
        archive.writestr(_entry(f"{root}/{SUMS}"), lines)
    return len(sums) + 1, out.stat().st_size


def _add(archive: zipfile.ZipFile, root: str, member: Member) -> str:
    """Add a file block by block, and return the hash of the bytes that were added."""
    digest = hashlib.sha256()
    with member.path.open("rb") as source, archive.open(_entry(f"{root}/{member.name}"), "w", force_zip64=True) as out:
        while block := source.read(BLOCK):
            digest.update(block)
            out.write(block)
    if member.sha256 not in (None, digest.hexdigest()):
        raise InputError(f"{member.path}: changed while the bundle was written; write it again")
    return digest.hexdigest()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(STORED) else zipfile.ZIP_DEFLATED
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry


def is_bundle(path: Path) -> bool:
    """Return whether the members of a file have the names of a bundle."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {PurePosixPath(name).name for name in archive.namelist() if name.count("/") == 1}
            return {SUMS, RO_CRATE, ZENODO} <= names
    except (OSError, zipfile.BadZipFile, ValueError):
        return False


def check_bundle(path: Path) -> int:
    """Verify every checksum and the description of a bundle, and return the number of its files.

    Raises an InputError that names the first member that is missing, additional, unsafe, or different from its
    checksum.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            root, names = _check_names(path, archive)
            sums = _read_sums(path, archive, root)
            _compare(path, "is not in the archive", sums.keys() - names.keys())
            _compare(path, f"is not listed in {SUMS}", names.keys() - sums.keys() - {SUMS})
            for name, sha256 in sums.items():
                if _digest(_blocks(archive, names[name])) != sha256:
                    raise InputError(f"{path}: {name}: differs from its checksum in {SUMS}")
            _check_description(path, archive.read(names[RO_CRATE]), names)
            return len(names)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not a ZIP archive, or is damaged ({error}); download or write it again") from None


def _check_names(path: Path, archive: zipfile.ZipFile) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """Return the name of the only top-level folder, and the files in this folder by name."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise InputError(f"{path}: unpacks to more than {MAX_BYTES // 2**30} GiB; this is not a bundle")
    names: dict[str, zipfile.ZipInfo] = {}
    roots = {entry.filename.split("/")[0] for entry in entries}
    for entry in entries:
        pure = PurePosixPath(entry.filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        unsafe = pure.is_absolute() or ".." in pure.parts or "\\" in entry.filename or kind not in (0, stat.S_IFREG)
        unsafe = unsafe or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        name = "/".join(pure.parts[1:])
        too_large = name in (SUMS, RO_CRATE) and entry.file_size > MAX_TEXT_BYTES
        if unsafe or too_large or not name or name in names:
            raise InputError(f"{path}: {entry.filename}: is not a valid member of a bundle; do not unpack this archive")
        names[name] = entry
    missing = [name for name in (SUMS, RO_CRATE) if name not in names]
    if len(roots) != 1 or missing:
        problem = f"{' and '.join(missing)} is missing" if missing else "it has more than one top-level folder"
        raise InputError(f"{path}: is not a bundle: {problem}")
    return roots.pop(), names


def _read_sums(path: Path, archive: zipfile.ZipFile, root: str) -> dict[str, str]:
    sums: dict[str, str] = {}
    for number, line in enumerate(archive.read(f"{root}/{SUMS}").decode().splitlines(), 1):
        sha256, separator, name = line.partition("  ")
        if not separator or len(sha256) != 64 or name in sums:
            raise InputError(f"{path}: {SUMS}: line {number} is not `HASH  NAME`, or repeats a name")
        sums[name] = sha256
    return sums


def _compare(path: Path, problem: str, names: set[str]) -> None:
    if names:
        more = f", and {len(names) - 1} more" if len(names) > 1 else ""
        raise InputError(f"{path}: {min(names)}: {problem}{more}")


def _blocks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(entry) as file:
        while block := file.read(BLOCK):
            yield block


def _digest(blocks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _check_description(path: Path, data: bytes, names: dict[str, zipfile.ZipInfo]) -> None:
    """Raise InputError if the RO-Crate is not JSON-LD with a root dataset, or describes files that are missing."""
    try:
        graph = {entity["@id"]: entity for entity in json.loads(data)["@graph"]}
        parts = [part["@id"] for part in graph["./"]["hasPart"]]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: {RO_CRATE}: has no root dataset with its parts") from None
    for part in parts:
        found = part in names or (part.endswith("/") and any(name.startswith(part) for name in names))
        if not found:
            raise InputError(f"{path}: {RO_CRATE}: describes {part}, which is not in the archive")
