"""Malicious and damaged archives are refused with their name, and leave no files inside or outside the target."""

import io
import tarfile
import zipfile

import numpy as np
import pytest

from bench.data import limits
from bench.data.extract import extract_archive
from bench.errors import InputError
from tests.helpers.data_project import tar_bytes


def write_tar(path, info: tarfile.TarInfo, data: bytes = b""):
    info.size = len(data)
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("before.txt"))
        archive.addfile(info, io.BytesIO(data))
    return path


def member(name: str, **fields) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


HOSTILE = {
    "parent": (member("../evil"), "outside"),
    "deep parent": (member("a/../../evil"), "outside"),
    "absolute": (member("/slim-bench-evil"), "outside"),
    "backslash": (member("..\\evil"), "outside"),
    "drive": (member("C:evil"), "outside"),
    "symbolic link": (member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is a link"),
    "hard link": (member("link", type=tarfile.LNKTYPE, linkname="../secret"), "is a link"),
    "device": (member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3), "device or pipe"),
    "pipe": (member("pipe", type=tarfile.FIFOTYPE), "device or pipe"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_no_member_of_a_hostile_tar_is_extracted(tmp_path, case):
    info, message = HOSTILE[case]
    (tmp_path / "work").mkdir()
    archive = write_tar(tmp_path / "a.tar", info)
    with pytest.raises(InputError, match=message):
        extract_archive(archive, tmp_path / "work/out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "work"]
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "x\\..\\evil"])
def test_hostile_zip_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(InputError, match="outside"):
        extract_archive(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_zip_with_a_link_is_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(InputError, match="link or device"):
        extract_archive(tmp_path / "a.zip", tmp_path / "out")


def test_bomb_is_stopped_by_bytes_written(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(20_000_000))
    with pytest.raises(
        InputError, match=r"a\.zip: unpacks to 0\.02 GB or more, but the limit is 0\.001 GB.*--max-unpacked"
    ):
        extract_archive(tmp_path / "a.zip", tmp_path / "out", max_unpacked_gb=0.001)
    (tmp_path / "a.tgz").write_bytes(tar_bytes({"zeros": bytes(20_000_000)}, "w:gz"))
    with pytest.raises(InputError, match=r"a\.tgz: unpacks to 0\.02 GB or more"):
        extract_archive(tmp_path / "a.tgz", tmp_path / "out", max_unpacked_gb=0.001)
    assert not (tmp_path / "out").exists()


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MIN_MEMBER_LIMIT", 10)
    (tmp_path / "a.tar").write_bytes(tar_bytes({str(i): b"" for i in range(11)}))
    with pytest.raises(InputError, match="11 members or more, but the limit is 10"):
        extract_archive(tmp_path / "a.tar", tmp_path / "out", max_unpacked_gb=0.00001)


def test_a_name_given_twice_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
        archive.addfile(tarfile.TarInfo("x"))
    with pytest.raises(InputError, match="two members have the same name"):
        extract_archive(tmp_path / "a.tar", tmp_path / "out")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_truncated_tar_is_refused(tmp_path, mode):
    data = tar_bytes({"a": np.random.default_rng(0).bytes(50_000), "b": b"x"}, mode)
    (tmp_path / "a.tar").write_bytes(data[:30_000])
    with pytest.raises(InputError, match="damaged archive"):
        extract_archive(tmp_path / "a.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_damaged_stream_is_refused(tmp_path, mode):
    data = bytearray(tar_bytes({"a": np.random.default_rng(0).bytes(2_000_000), "b": b"x"}, mode))
    data[len(data) // 2 : len(data) // 2 + 99] = bytes(99)
    (tmp_path / "a.tar").write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"a\.tar: (damaged archive|neither)"):
        extract_archive(tmp_path / "a.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_zip_member_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", b"0123456789" * 100)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[200] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(bytes(data))
    with pytest.raises(InputError, match="damaged archive"):
        extract_archive(tmp_path / "a.zip", tmp_path / "out")


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match="neither a tar nor a zip"):
        extract_archive(tmp_path / "a.tar", tmp_path / "out")
    with pytest.raises(InputError, match="no such file"):
        extract_archive(tmp_path / "b.tar", tmp_path / "out")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_valid_tar_unpacks_all_or_the_selected_members(tmp_path, mode):
    (tmp_path / "a.tar").write_bytes(tar_bytes({"d/a.png": b"1", "./b.txt": b"22"}, mode))
    extract_archive(tmp_path / "a.tar", tmp_path / "all")
    assert {p.name: p.read_bytes() for p in (tmp_path / "all").rglob("*") if p.is_file()} == {
        "a.png": b"1",
        "b.txt": b"22",
    }
    extract_archive(tmp_path / "a.tar", tmp_path / "some", pattern="*.png")
    assert [p.name for p in (tmp_path / "some").rglob("*") if p.is_file()] == ["a.png"]
    with pytest.raises(InputError, match="already exists"):
        extract_archive(tmp_path / "a.tar", tmp_path / "all")
