"""Datasets are prepared again if their content changes. Files of the user are never treated as outputs."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

from bench.data.arrays import pad
from bench.data.classes import prepare_files
from bench.data.content import describe_file, file_stamp, is_unchanged
from bench.data.ilsvrc import unpack_imagenet
from bench.data.install import refuse_overlap, staged_content
from bench.data.ownership import JOURNAL, is_journal, own_prepared_files
from bench.data.prepared import content_hash
from bench.errors import InputError


def test_a_hash_is_reused_until_size_or_time_changes(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"first")
    known = describe_file(path, "a.png")
    assert describe_file(path, "a.png", known | {"sha256": "remembered"})["sha256"] == "remembered"
    path.write_bytes(b"other")
    os.utime(path, ns=(known["mtime_ns"], known["mtime_ns"] + 1))
    assert not is_unchanged(known, file_stamp(path, "a.png"))
    assert describe_file(path, "a.png", known)["sha256"] != known["sha256"]


def test_files_of_the_user_are_not_recognised_as_outputs(tmp_path):
    (tmp_path / "images.npy").write_bytes(b"theirs")
    (tmp_path / JOURNAL).write_text(json.dumps(["theirs"]))
    assert own_prepared_files(tmp_path) == set() and not is_journal(tmp_path / JOURNAL)


@pytest.mark.parametrize(("out", "source"), [("a", "a"), ("a/b", "a"), ("a", "a/b")])
def test_prepared_data_never_overlap_their_source(tmp_path, out, source):
    with pytest.raises(InputError, match="overlaps with the source"):
        refuse_overlap(tmp_path / out, [tmp_path / source])
    refuse_overlap(tmp_path / "elsewhere", [tmp_path / source])


def test_new_content_is_written_atomically(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyError), staged_content(out, ("images.npy",)) as staging:
        (staging / "images.npy").touch()
        raise KeyError
    assert not out.exists()
    with staged_content(out, ("images.npy",)) as staging:
        (staging / "images.npy").touch()
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["images.npy"]


def test_small_images_are_padded_with_the_odd_row_at_the_end():
    images = np.full((1, 3, 4, 1), 9, np.uint8)
    padded = pad(SimpleNamespace(name="x", image_size=6, max_unpacked_gb=None), images)
    assert padded.shape == (1, 6, 6, 1)
    assert padded[0, :, :, 0].any(axis=1).tolist() == [False, True, True, True, False, False]
    with pytest.raises(InputError, match="not resized"):
        pad(SimpleNamespace(name="x", image_size=3, max_unpacked_gb=None), images)


def test_unpacking_resumes_only_in_its_own_folder(tmp_path):
    (tmp_path / ".imagenet.part").mkdir()
    (tmp_path / ".imagenet.part/thesis.txt").touch()
    with pytest.raises(InputError, match=r"thesis\.txt: is not part of an interrupted extraction"):
        unpack_imagenet(tmp_path / "t.tar", tmp_path / "v.tar", tmp_path / "d.tar.gz", tmp_path / "imagenet", "0" * 64)
    assert (tmp_path / ".imagenet.part/thesis.txt").exists()


def test_the_hash_of_arrays_covers_values_shape_type_and_order():
    a, b = np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint8)
    known = content_hash({"a": a, "b": b})
    assert known == content_hash({"renamed": a.copy(), "b": b})
    others = ({"b": b, "a": a}, {"a": a.reshape(3, 2), "b": b}, {"a": a.astype(np.int8), "b": b})
    assert known not in map(content_hash, others)


def test_a_folder_without_splits_is_not_a_classification_dataset(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match=r"expected train/ and val/ \(or test/\)"):
        prepare_files(SimpleNamespace(sources=[tmp_path]), tmp_path)
