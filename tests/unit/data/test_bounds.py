"""Archives that would exhaust memory, disk or time are refused by their headers. Tests measure memory and time."""

import bz2
import gzip
import io
import lzma
import os
import resource
import struct
import subprocess
import sys
import tarfile
import zipfile

import pytest

from bench.cli import main
from bench.data import limits
from bench.data.audit import audit
from bench.data.content import describe_file
from bench.data.extract import extract_archive, is_archive, read_members
from bench.data.limits import GB, Budget, Limits, check_free_space, data_bytes
from bench.data.prepare import prepare
from bench.data.stored import check_member_name
from bench.data.tar_files import MAX_HEADER_BYTES, open_tar
from bench.data.zip_files import METHODS
from bench.errors import InputError
from tests.helpers.bounds import low_usage, zip_of
from tests.helpers.data_project import make_project, random_image, tar_bytes


def refused(path, message, target=None, **options):
    with low_usage(), pytest.raises(InputError, match=message) as error:
        extract_archive(path, target or path.parent / "out", **options)
    assert str(path) in str(error.value) and "\n" not in str(error.value) and ".part" not in str(error.value)
    assert not (path.parent / "out").exists()


def with_changed_bytes(path, marker, change, offset):
    """Replace the bytes at `offset` from the last occurrence of `marker` by `change`."""
    data = bytearray(path.read_bytes())
    start = data.rindex(marker) + offset
    data[start : start + len(change)] = change
    path.write_bytes(bytes(data))
    return path


class Zeros(io.RawIOBase):
    """File of zeros that uses no memory."""

    def __init__(self, count):
        self.left = count

    def read(self, size=-1):
        size = min(self.left, size)
        self.left -= size
        return bytes(size)


def tar_header(name, size, kind=tarfile.REGTYPE):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf()


PACKERS = {"plain": lambda data: data, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("packer", PACKERS)
def test_tar_with_10_gb_in_its_header_is_refused_before_extraction(tmp_path, packer):
    path = tmp_path / "a.tar"
    path.write_bytes(PACKERS[packer](tar_header("zeros", 10 * GB) + bytes(1 << 16)))
    refused(path, r"a\.tar: unpacks to 10 GB or more, but the limit is 0\.5 GB; if you trust it.*--max-unpacked-gb")


def test_zeros_after_the_end_of_an_uncompressed_tar_are_not_read(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes({"a": b"x"}))
    os.truncate(path, 16 * GB)
    with low_usage(seconds=2):
        assert [member.name for member in read_members(path)] == ["a"]


@pytest.mark.parametrize("packer", ["gz", "bz2", "xz"])
def test_zeros_after_the_end_of_a_tar_count_towards_the_limit(tmp_path, packer):
    path = tmp_path / "a.tar"
    path.write_bytes(PACKERS[packer](tar_bytes({"a": b"x"}) + bytes(3_000_000)))
    refused(path, "unpacks to 0.00", max_unpacked_gb=0.001)


def test_zip_of_4_gb_of_zeros_is_refused_by_its_directory(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"a": b"x", "b": bytes(1000)})
    with_changed_bytes(path, b"PK\1\2", struct.pack("<L", (1 << 32) - 2), 24)
    refused(path, r"a\.zip: unpacks to 4\.29 GB or more")


def test_the_total_size_of_the_members_is_limited(tmp_path):
    path = zip_of(tmp_path / "a.zip", {str(i): bytes(100_000) for i in range(20)})
    refused(path, r"unpacks to 0\.0011 GB or more, but the limit is 0\.001 GB", max_unpacked_gb=0.001)
    extract_archive(path, tmp_path / "out", max_unpacked_gb=0.003)
    assert len(list((tmp_path / "out").iterdir())) == 20, "the limit can be raised"


def test_a_sparse_member_counts_with_its_holes(tmp_path):
    info = tarfile.TarInfo("holes")
    info.size = 0
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "holes"}
    info.pax_headers["GNU.sparse.realsize"] = str(16 * GB)
    body = b"1\n0\n0\n".ljust(512, b"\0")
    info.size = len(body)
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(body))
    refused(tmp_path / "a.tar", "unpacks to 16 GB or more")


def test_tar_that_is_a_sparse_file_counts_without_its_holes(tmp_path):
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        file.write(tar_header("zeros", 16 * GB))
        file.truncate(16 * GB + 1024)
    if data_bytes(path) > GB:
        pytest.skip("sparse files are not supported")
    refused(path, "unpacks to 16 GB or more, but the limit is 0.5 GB")
    with low_usage(), pytest.raises(InputError, match=r"a\.tar: is a sparse file of 16 GB.*cp --sparse=never"):
        describe_file(path, "a.tar")
    root = make_project(tmp_path / "project", a={"source": {"kind": "folder", "path": str(path)}})
    with low_usage(), pytest.raises(InputError, match="sparse file"):
        prepare("a", 8, root=root)


def end_record(count, length=0):
    return b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, min(count, 65535), min(count, 65535), length, 0, 0)


def test_zip_of_a_million_members_is_refused_before_its_directory_is_read(tmp_path):
    entry = b"PK\1\2" + bytes(42) + b"x"
    directory = (entry * 1000)[: 47 * 1000] * 1100
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\3\4" + directory + end_record(65535, len(directory)))
    refused(path, r"members or more, but the limit is 200000; raise it with --max-unpacked-gb")
    record = b"PK\6\6" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, 10**6, 10**6, 100, 4)
    locator = b"PK\6\7" + struct.pack("<LQL", 0, 4, 1)
    path.write_bytes(b"PK\3\4" + record + locator + end_record(65535))
    refused(path, r"a\.zip: contains 1000000 members or more")


ZIPS = {
    "an empty name": (lambda path: zip_of(path, {"": b"x"}), "a member has no name"),
    "a name that is a dot": (lambda path: zip_of(path, {".": b"x"}), "a member has no name"),
    "a folder with content": (lambda path: zip_of(path, {"a/": b"x"}), "is marked as a folder, but has content"),
    "a long name": (lambda path: zip_of(path, {"x" * 300: b"x"}), "too long or has too many folders"),
    "a deep name": (lambda path: zip_of(path, {"x/" * 2000 + "x": b"x"}), "too long or has too many folders"),
    "a smaller size than it has": (lambda path: with_wrong_size(path, 24, b"\x02\0\0\0"), "damaged archive"),
    "a larger size than it has": (
        lambda path: with_wrong_size(path, 24, b"\xff\0\0\0"),
        "its content has another size|damaged",
    ),
    "a wrong offset": (lambda path: with_wrong_size(path, 42, b"\x07\0\0\0"), "damaged archive|overlaps"),
    "an offset beyond the end": (lambda path: with_wrong_size(path, 42, b"\xff\xff\xff\0"), "ends beyond the archive"),
    "an encrypted member": (
        lambda path: with_wrong_size(path, 8, b"\x01\0"),
        "is encrypted; create the archive without a password",
    ),
    "an unknown compression": (
        lambda path: with_wrong_size(path, 10, b"\x63\0"),
        "uses compression method 99, which is not supported",
    ),
    "a newer version": (lambda path: with_wrong_size(path, 6, b"\xff\0"), "damaged archive"),
    "a name that is not UTF-8": (lambda path: with_name_not_utf8(path), "damaged archive"),
    "too few entries stated": (
        lambda path: with_changed_bytes(path, b"PK\5\6", b"\x01\0\x01\0", 8),
        "more entries than the 1",
    ),
    "a directory beyond the start": (
        lambda path: with_changed_bytes(path, b"PK\5\6", b"\xff" * 4, 12),
        "damaged archive|members",
    ),
    "a directory beyond 64 bits": (lambda path: with_offset_beyond_end(path), "damaged archive"),
    "no directory": (lambda path: with_changed_bytes(path, b"PK\5\6", b"xx", 0), "its directory is missing"),
    "members that overlap": (lambda path: with_overlapping_members(path), "overlaps with another"),
}


def with_wrong_size(path, where, change):
    return with_changed_bytes(path, b"PK\1\2", change, where)


def with_name_not_utf8(path):
    with_changed_bytes(path, b"PK\1\2", b"\0\x08", 8)
    return with_changed_bytes(path, b"PK\1\2", b"\xff", 46)


def with_offset_beyond_end(path):
    data = path.read_bytes()
    start = data.rindex(b"PK\5\6")
    path.write_bytes(data[:start] + b"PK\6\7" + struct.pack("<LQL", 0, 2**64 - 1, 1) + data[start:])


def with_overlapping_members(path):
    with zipfile.ZipFile(path) as archive:
        first = archive.infolist()[0]
    return with_wrong_size(path, 42, struct.pack("<L", first.header_offset))


@pytest.mark.parametrize("kind", ZIPS)
def test_a_malformed_zip_is_refused(tmp_path, kind):
    make, message = ZIPS[kind]
    path = zip_of(tmp_path / "a.zip", {"a.png": bytes(100), "b.png": bytes(50)})
    assert len(list(read_members(path))) == 2
    refused(make(path) or path, message)


def test_overlapping_members_are_refused(tmp_path):
    """26 entries of the directory refer to the same compressed member."""
    path = zip_of(tmp_path / "a.zip", {"a": bytes(400_000)})
    data = path.read_bytes()
    start = data.rindex(b"PK\1\2")
    entry = data[start : data.rindex(b"PK\5\6")]
    entries = b"".join(entry[:-1] + bytes([letter]) for letter in b"abcdefghijklmnopqrstuvwxyz")
    end = b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 26, 26, len(entries), start, 0)
    path.write_bytes(data[:start] + entries + end)
    refused(path, "overlaps with another")


def put(data):
    return lambda path: path.write_bytes(data)


def wrong_checksum(path):
    data = bytearray(tar_bytes({"a": b"1", "b": b"2", "c": b"3"}))
    data[1024 + 148 : 1024 + 154] = b"000000"
    path.write_bytes(bytes(data))


def pax(path, data):
    path.write_bytes(
        tar_header("pax", len(data), tarfile.XHDTYPE)
        + data
        + bytes(-len(data) % 512)
        + tar_header("a", 0)
        + bytes(1024)
    )


TARS = {
    "a wrong checksum in the middle": (wrong_checksum, "a header is damaged, or the archive is truncated"),
    "no end": (put(tar_bytes({"a": bytes(512), "b": b""})[:1024]), "the archive is truncated"),
    "half a header at its end": (put(tar_bytes({"a": bytes(512)})[:1024] + b"x" * 99), "damaged"),
    "a negative size": (put(tar_header("a", -512) + bytes(1024)), "damaged|neither"),
    "pax records with a negative size": (lambda path: pax(path, b"12 size=-99\n"), "damaged|neither"),
    "an empty name": (put(tar_header("", 0) + bytes(1024)), "a member has no name"),
    "a hard link": (put(tar_header("a", 0, tarfile.LNKTYPE) + bytes(1024)), "is a link"),
    "a device": (put(tar_header("a", 0, tarfile.BLKTYPE) + bytes(1024)), "is a device or pipe"),
}


def check_offset(self, count, block=tarfile.TarInfo._block):
    if count < 0:
        raise tarfile.InvalidHeaderError("invalid offset")
    return block(self, count)


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("kind", [kind for kind in TARS if "negative" in kind])
def test_a_negative_size_is_refused_where_tarfile_checks_it(tmp_path, monkeypatch, kind, packer):
    """Security releases of Python end an archive at such a header, instead of returning the header."""
    monkeypatch.setattr(tarfile.TarInfo, "_block", check_offset)
    test_a_malformed_tar_is_refused(tmp_path, kind, packer)


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("kind", TARS)
def test_a_malformed_tar_is_refused(tmp_path, kind, packer):
    make, message = TARS[kind]
    path = tmp_path / "a.tar"
    make(path)
    path.write_bytes(PACKERS[packer](path.read_bytes()))
    refused(path, message)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_tar_with_a_header_of_64_mb_is_refused(tmp_path, kind):
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(tar_header("a", 0) + tar_header("big", 64 << 20, kind))
        file.write(bytes(64 << 20))
    refused(path, f"a header of more than {MAX_HEADER_BYTES} bytes")
    assert is_archive(path)


def test_valid_member_names_are_accepted(tmp_path):
    assert check_member_name("a.zip", "./d//x.png") == "d/x.png"
    assert set(METHODS) == {0, 8, 12, 14}
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes({"\udcff.png": b"x"}))
    assert [member.size for member in read_members(path)] == [1]
    with path.open("rb") as file:
        assert open_tar(file) is not None


def test_free_space_is_compared_before_anything_is_written(tmp_path, monkeypatch):
    path = zip_of(tmp_path / "a.zip", {"a": bytes(1000), "b": bytes(2000)})
    (tmp_path / "a.tgz").write_bytes(tar_bytes({"a": bytes(1000), "b": bytes(2000)}, "w:gz"))
    monkeypatch.setattr(limits.shutil, "disk_usage", lambda _: SpaceLeft)
    for name in (path, tmp_path / "a.tgz"):
        message = f"unpacks to 3000 bytes or more, but 2500 bytes are free in {tmp_path}; free some space"
        refused(name, f"{name.name}: {message}")
    with pytest.raises(InputError, match=rf"are free in {tmp_path}; free some space"):
        check_free_space("a", 3000, tmp_path / ".a-8.x.part" / ".unpacked")


class SpaceLeft:
    free = 2500


def test_limits_grow_with_the_file_and_with_the_option(tmp_path):
    assert Limits.of(1000) == Limits(GB // 2, 200_000)
    assert Limits.of(GB).bytes == 20 * GB
    assert Limits.of(GB, 3) == Limits(3 * GB, 300_000)
    budget = Budget("a", Limits(10, 2))
    budget.count_bytes(10)
    with pytest.raises(InputError, match="unpacks to 11 bytes"):
        budget.count_bytes(1)


def images_in_zip(path, members):
    return zip_of(path, {name: png(seed) for seed, name in enumerate(members)})


def png(seed):
    buffer = io.BytesIO()
    random_image(16, 16, seed=seed).save(buffer, "PNG")
    return buffer.getvalue()


def test_messages_name_the_archive_and_never_a_temporary_folder(tmp_path):
    path = images_in_zip(tmp_path / "set.zip", ["cats/0.png"])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("cats/notes.txt", "hello")
    root = make_project(tmp_path / "project", a={"source": {"kind": "folder", "path": str(path)}})
    with pytest.raises(InputError, match=rf"^{path}: cats/notes\.txt: "):
        prepare("a", 8, root=root)
    assert not any("/tmp/slim" in line or ".part" in line for line in audit("a", 8, root).lines())
    zip_of(path, {"__MACOSX/x": b""})
    with pytest.raises(InputError, match=rf"^{path}: contains no images"):
        prepare("a", 8, root=root)


@pytest.mark.parametrize("command", ["prepare", "audit"])
def test_the_option_raises_and_lowers_the_limit(tmp_path, command, capsys):
    path = images_in_zip(tmp_path / "set.zip", ["0.png", "1.png"])
    line = [command, "cats", "--size", "8", f"--folder=cats={{path: {path}, task: fewshot}}"]
    line += [] if command == "audit" else ["--out", str(tmp_path / "out")]
    assert main([*line, "--max-unpacked-gb", "0.000001"]) == 2
    assert f"{path}: unpacks to " in capsys.readouterr().err
    assert main([*line, "--max-unpacked-gb", "0.01"]) == 0
    assert main([*line, "--max-unpacked-gb", "nan"]) == 2


LIMITED = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from bench.data.prepare import prepare
from bench.errors import InputError
try:
    prepare("a", 8, root=Path(sys.argv[1]))
except InputError as error:
    sys.exit(str(error))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar.gz", "zip", "npz"])
def test_an_archive_of_four_gigabytes_of_zeros_is_refused(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "tar.gz":
        info = tarfile.TarInfo("zeros.png")
        info.size = 4 * GB
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:
            archive.addfile(info, Zeros(info.size))
    else:
        archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        with archive, archive.open("train_images.npy", "w", force_zip64=True) as file:
            file.writelines(bytes(1_000_000) for _ in range(4000))
    layout = {"task": "classification", "layout": "npz"} if kind == "npz" else {}
    root = make_project(tmp_path / "project", a={"source": {"kind": "folder", "path": str(path)}} | layout)
    start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", LIMITED, str(root)], capture_output=True, text=True, check=False)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - start < 30
    assert done.returncode == 1 and f"{path}: unpacks to 4 GB or more" in done.stderr
