"""Array files. IDX, npz and CIFAR's pickles are read with size limits and without running code."""

import gzip
import pickle
import struct
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from bench.data.array_files import read_idx, read_npz
from bench.data.array_pickle import read_array_pickle
from bench.data.stored import StoredFile
from bench.errors import InputError
from tests.helpers.bounds import low_usage, zip_of


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(s.to_bytes(4, "big") for s in array.shape) + array.tobytes()


def test_idx_round_trip_plain_and_gzipped(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    for data in (idx(array), gzip.compress(idx(array))):
        (tmp_path / "a").write_bytes(data)
        np.testing.assert_array_equal(read_idx(StoredFile.from_path(tmp_path / "a")), array)


def test_wrong_idx_is_refused(tmp_path):
    good = idx(np.zeros((3, 4), np.uint8))
    cases = {
        r"the header declares shape \(3, 4\)": good[:-1],
        r"declares shape \(3, 4\)": good + b"x",
        "does not match the file size": gzip.compress(good + b"x"),
        "not an IDX file": b"PK\x03\x04 something",
        "damaged archive": gzip.compress(good)[:-9],
        "unpacks to": gzip.compress(idx(np.zeros(2_000_000, np.uint8))),
        "the header declares": bytes([0, 0, 8, 3]) + b"\xff" * 12,
    }
    for message, data in cases.items():
        (tmp_path / "a").write_bytes(data)
        with pytest.raises(InputError, match=message):
            read_idx(StoredFile.from_path(tmp_path / "a"), max_unpacked_gb=0.001)


def test_npz_reads_arrays_and_refuses_objects_and_bombs(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npz", "x")[0]["x"], [0, 1, 2])
    np.savez(tmp_path / "b.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="Python objects, which is unsafe to load"):
        read_npz(tmp_path / "b.npz", "x")
    np.savez_compressed(tmp_path / "c.npz", x=np.zeros(1_000_000))
    with pytest.raises(InputError, match="unpacks to"):
        read_npz(tmp_path / "c.npz", "x", max_unpacked_gb=0.001)
    (tmp_path / "d.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="neither a tar nor a zip"):
        read_npz(tmp_path / "d.npz", "x")
    with pytest.raises(InputError, match="no such file"):
        read_npz(tmp_path / "e.npz", "x")


class MaliciousPickle:
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
    for data in (
        pickle.dumps({b"data": MaliciousPickle()}),
        pickle.dumps({b"a": np.array([MaliciousPickle()], dtype=object)}),
    ):
        with pytest.raises(InputError, match="not a pickle of numeric arrays"):
            read_array_pickle(data, "batch")
    assert capsys.readouterr().out == ""
    with pytest.raises(InputError, match="expected a dictionary"):
        read_array_pickle(pickle.dumps([1]), "batch")
    with pytest.raises(InputError, match="not a pickle of numeric arrays"):
        read_array_pickle(b"garbage", "batch")


def npy(shape="(3,)", descr="'|u1'", data=b"abc", version=b"\x01\x00", length=None):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    size = len(header) if length is None else length
    return b"\x93NUMPY" + version + struct.pack("<H" if version[0] == 1 else "<L", size) + header + data


ARRAYS = {
    "a huge shape": (npy(f"({10**12},)"), r"header declares uint8 \(1000000000000,\), but it has \d+ bytes"),
    "a shape beyond 64 bits": (npy(f"({2**70}, {2**70})"), "is damaged: its header"),
    "a negative shape": (npy("(-3,)"), "is damaged"),
    "an invalid shape": (npy("'abc'"), r"is not a readable \.npy file"),
    "objects": (npy(descr="'|O'", data=b"x" * 24), "an array of Python objects, which is unsafe to load"),
    "objects in a record": (npy(descr="[('a', '|O')]", data=b"x" * 24), "an array of Python objects"),
    "an invalid type": (npy(descr="'|z9'"), "not a readable"),
    "a deep header": (npy("(" * 3000), "not a readable"),
    "a header of 4 GB": (npy(version=b"\x02\x00", length=(1 << 32) - 1), "not a readable"),
    "an endless header": (npy(length=60_000), "not a readable"),
    "an unknown version": (npy(version=b"\x09\x00"), "not a readable"),
    "no array": (b"text", "not a readable"),
    "nothing": (b"", "not a readable"),
    "too few bytes": (npy(data=b"ab"), "is damaged"),
    "too many bytes": (npy(data=b"abcd"), "is damaged"),
}


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("name", ["x.npy", "x"])
def test_npz_with_an_invalid_member_is_refused(tmp_path, kind, name):
    data, message = ARRAYS[kind]
    path = zip_of(tmp_path / "a.npz", {name: data})
    with low_usage(), pytest.raises(InputError, match=message) as error:
        read_npz(path, ["x"])
    assert str(error.value).startswith(f"{path}: x ") and "\n" not in str(error.value)


def test_npz_with_two_arrays_of_one_name(tmp_path):
    path = zip_of(tmp_path / "a.npz", {"x.npy": npy(), "x": npy("(2,)", data=b"ab")})
    with pytest.raises(InputError, match="contains two arrays with the name x"):
        read_npz(path, ["x"])


def test_npz_that_is_a_folder_or_missing_is_refused(tmp_path):
    with pytest.raises(InputError, match="Is a directory"):
        read_npz(tmp_path, ["x"])
    with pytest.raises(InputError, match="no such file"):
        read_npz(tmp_path / "a.npz", ["x"])


def test_npz_bomb_of_zeros_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as file:
        file.write(npy(f"({50 << 20},)", data=b""))
        for _ in range(50):
            file.write(bytes(1 << 20))
    with (
        low_usage(),
        pytest.raises(InputError, match=r"a\.npz: unpacks to 0\.0524 GB or more, but the limit is 0\.01 GB"),
    ):
        read_npz(tmp_path / "a.npz", ["x"], max_unpacked_gb=0.01)


def test_arrays_that_are_not_used_are_not_read(tmp_path):
    path = zip_of(tmp_path / "a.npz", {"x.npy": npy(), "y.npy": b"text", "z.npy": npy(data=bytes(90 << 20))})
    with low_usage():
        arrays, names = read_npz(path, ["x", "w"])
    assert list(arrays) == ["x"] and arrays["x"].tolist() == [97, 98, 99] and names == ["x", "y", "z"]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (1 << 20, 1 << 15, 1), (255, 255, 255)])
def test_idx_with_a_huge_header(tmp_path, packed, shape):
    data = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in shape) + bytes(99)
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(data) if packed else data)
    with low_usage(), pytest.raises(InputError, match=r"/a: (unpacks to|the header declares)"):
        read_idx(StoredFile.from_path(path), max_unpacked_gb=0.001)


@pytest.mark.parametrize("data", [bytes([0, 0, 8, 200, 1]), bytes([0, 0, 8, 255]) + b"\xff" * 1020])
def test_idx_with_more_dimensions_than_bytes_or_arrays_have(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    with low_usage(), pytest.raises(InputError, match=r"the header declares|unpacks to"):
        read_idx(StoredFile.from_path(tmp_path / "a"))


def test_malformed_pickles_are_refused_without_a_crash():
    good = pickle.dumps({b"data": np.arange(6, dtype=np.uint8)}, protocol=2)
    for wrong in (b"X\x02\x00\x00\x00O8", b"X\x02\x00\x00\x00V0", b"X\x02\x00\x00\x00zz"):
        with pytest.raises(InputError, match="not a pickle of numeric arrays"):
            read_array_pickle(good.replace(b"X\x02\x00\x00\x00u1", wrong), "batch")
    assert read_array_pickle(good, "batch")[b"data"].tolist() == [0, 1, 2, 3, 4, 5]
    for place in range(len(good)):  # every byte damaged: refused or harmless
        with suppress(InputError):
            read_array_pickle(good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :], "batch")


def test_pickle_of_a_huge_array_allocates_no_memory():
    huge = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000\ntc_codecs\nencode\n(Vb\nVlatin1\ntRtR."
    )
    with low_usage(), pytest.raises(InputError, match="expected a dictionary"):
        read_array_pickle(huge, "batch")
    for place in (b"r\xff\xff\xff\x7f", b"p2000000000\n"):
        with low_usage(), pytest.raises(InputError, match="not a pickle of numeric arrays"):
            read_array_pickle(b"}" + place + b".", "batch")
    with low_usage(), pytest.raises(InputError, match="not a pickle of numeric arrays"):
        read_array_pickle(b"cnumpy\nndarray\n((I1000000000\nttR.", "batch")
