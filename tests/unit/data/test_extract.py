"""Hostile and damaged archives: refused by name, and nothing is left outside (or inside) the target."""

import gzip
import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from bench.data.array_files import read_array_pickle, read_idx, read_npz
from bench.data.extract import Limits, extract_archive
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
def test_hostile_tar_is_refused_whole(tmp_path, case):
    info, said = HOSTILE[case]
    (tmp_path / "work").mkdir()
    archive = write_tar(tmp_path / "a.tar", info)
    with pytest.raises(InputError, match=said):
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
    with pytest.raises(InputError, match=r"more than 1000000 bytes"):
        extract_archive(tmp_path / "a.zip", tmp_path / "out", Limits(bytes=1_000_000))
    (tmp_path / "a.tgz").write_bytes(tar_bytes({"zeros": bytes(20_000_000)}, "w:gz"))
    with pytest.raises(InputError, match=r"more than 1000000 bytes"):
        extract_archive(tmp_path / "a.tgz", tmp_path / "out", Limits(bytes=1_000_000))
    assert not (tmp_path / "out").exists()


def test_too_many_members_are_refused(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_bytes({str(i): b"" for i in range(11)}))
    with pytest.raises(InputError, match="more than 10 members"):
        extract_archive(tmp_path / "a.tar", tmp_path / "out", Limits(members=10))


def test_same_name_twice_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
        archive.addfile(tarfile.TarInfo("x"))
    with pytest.raises(InputError, match="two members claim one name"):
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
    with pytest.raises(InputError, match=r"a\.tar: damaged archive"):
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


def test_something_else_is_refused(tmp_path):
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
    with pytest.raises(InputError, match="already there"):
        extract_archive(tmp_path / "a.tar", tmp_path / "all")


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(s.to_bytes(4, "big") for s in array.shape) + array.tobytes()


def test_idx_round_trip_plain_and_gzipped(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    for data in (idx(array), gzip.compress(idx(array))):
        (tmp_path / "a").write_bytes(data)
        np.testing.assert_array_equal(read_idx(tmp_path / "a"), array)


def test_wrong_idx_is_refused(tmp_path):
    good = idx(np.zeros((3, 4), np.uint8))
    cases = {
        "but 11 bytes follow": good[:-1],
        "but 13 bytes follow": good + b"x",
        "not an IDX file": b"PK\x03\x04 something",
        "damaged gzip": gzip.compress(good)[:-9],
        "unpacks to more than": gzip.compress(bytes(2_000_000)),
        "header says": bytes([0, 0, 8, 3]) + b"\xff" * 12,
    }
    for said, data in cases.items():
        (tmp_path / "a").write_bytes(data)
        with pytest.raises(InputError, match=said):
            read_idx(tmp_path / "a", max_bytes=1_000_000)
    with pytest.raises(InputError, match="cannot be read"):
        read_idx(tmp_path / "missing")


def test_npz_reads_arrays_and_refuses_objects_and_bombs(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npz")["x"], [0, 1, 2])
    np.savez(tmp_path / "b.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="not a plain array file"):
        read_npz(tmp_path / "b.npz")
    np.savez_compressed(tmp_path / "c.npz", x=np.zeros(1_000_000))
    with pytest.raises(InputError, match="larger than"):
        read_npz(tmp_path / "c.npz", Limits(bytes=1_000_000))
    (tmp_path / "d.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged npz"):
        read_npz(tmp_path / "d.npz")
    with pytest.raises(InputError, match="no such file"):
        read_npz(tmp_path / "e.npz")


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize("protocol", [2, 4])
def test_array_pickle_reads_arrays(protocol):
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    data = pickle.dumps({b"data": array, b"labels": [1, 2], b"label_names": [b"cat"]}, protocol=protocol)
    value = read_array_pickle(data, "batch")
    np.testing.assert_array_equal(value[b"data"], array)
    assert value[b"labels"] == [1, 2]


def test_array_pickle_runs_no_code(capsys):
    for data in (pickle.dumps({b"data": Evil()}), pickle.dumps({b"a": np.array([Evil()], dtype=object)})):
        with pytest.raises(InputError, match="not a plain array pickle"):
            read_array_pickle(data, "batch")
    assert capsys.readouterr().out == ""
    with pytest.raises(InputError, match="a dictionary was expected"):
        read_array_pickle(pickle.dumps([1]), "batch")
    with pytest.raises(InputError, match="not a plain array pickle"):
        read_array_pickle(b"garbage", "batch")
