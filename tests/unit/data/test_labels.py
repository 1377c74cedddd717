"""Labels of every layout. Invalid labels are refused before training with the next step."""

import io

import numpy as np
import pytest

from bench.data.labels import as_labels, count_classes
from bench.data.prepare import prepare
from bench.data.shard_files import list_shards
from bench.errors import InputError
from tests.helpers.data_project import image_folder, make_project, random_image, tar_bytes


def project(root, layout, path, **options):
    source = {"kind": "folder", "path": str(path)}
    entry = {"task": "classification", "layout": layout, "source": source, "preparation": {"fit": "pad"}}
    return make_project(root / "project", a=entry | options)


def arrays(train=(0, 1, 2), test=(0, 1, 2), shape=(8, 8), test_shape=None, kind=np.uint8):
    return {
        "train_images": np.zeros((len(train), *shape), np.uint8),
        "train_labels": np.array(train, dtype=kind),
        "test_images": np.zeros((len(test), *(test_shape or shape)), np.uint8),
        "test_labels": np.array(test, dtype=kind),
    }


def npz(root, **parts):
    root.mkdir(parents=True, exist_ok=True)
    np.savez(root / "set.npz", **parts)
    return prepare("a", None, root=project(root, "npz", root / "set.npz"))


WRONG = {
    "class without training images": (arrays(train=(0, 1, 3), test=(0, 1)), r"1 of 4 classes have no .* class 2"),
    "test label that training never saw": (arrays(test=(0, 5)), "no training image has the test label 5; number the"),
    "label -1": (arrays(train=(0, -1, 1), kind=np.int8), "train labels range from -1 to 1; number the classes"),
    "uint64 label that wraps": (arrays(train=(0, 2**64 - 1), kind=np.uint64), "from 0 to 18446744073709551615"),
    "label of a billion": (arrays(train=(0, 1, 10**9), test=(0,), kind=np.int64), "999999998 of 1000000001 classes"),
    "float labels": (arrays(kind=np.float32), "train labels are float32, not integers; save them as int64"),
    "boolean labels": (arrays(train=(0, 1), test=(0, 1), kind=bool), "labels are bool, not integers"),
    "labels from 1": (arrays(train=(1, 2, 3), test=(1,)), "run from 1 to 3; subtract 1"),
    "images of width 0": (arrays(shape=(8, 0)), r"no pixels \(height x width: \(8, 0\)\)"),
    "colour and grey": (arrays(shape=(8, 8, 3), test_shape=(8, 8, 1)), r"train images are \(8, 8, 3\).*use one shape"),
    "two shapes": (arrays(test_shape=(9, 8)), r"test images are \(9, 8, 1\); use one shape for both"),
    "more labels than images": (arrays() | {"test_labels": np.zeros(4, int)}, r"3 test images, but labels are int64"),
    "one-hot labels": (
        arrays() | {"train_labels": np.eye(3, dtype=int)},
        r"int64 \(3, 3\), expected one class number per image",
    ),
    "objects": (
        arrays() | {"train_labels": np.array([0, 1, {}], dtype=object)},
        "Python objects, which is unsafe to load",
    ),
    "text labels": (arrays() | {"train_labels": np.array(["a", "b", "c"])}, "labels are <U1, not integers"),
    "empty test set": (arrays(test=()), "no test images, or no test labels; a test set is needed"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_invalid_npz_labels_are_refused(tmp_path, kind):
    parts, message = WRONG[kind]
    with pytest.raises(InputError, match=message) as error:
        npz(tmp_path, **parts)
    assert str(error.value).startswith(f"{tmp_path}/set.npz: ") and "\n" not in str(error.value)


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(s.to_bytes(4, "big") for s in array.shape) + array.tobytes()


@pytest.mark.parametrize(
    "kind", [kind for kind, (parts, _) in WRONG.items() if all(p.dtype == np.uint8 for p in parts.values())]
)
def test_invalid_idx_labels_are_refused(tmp_path, kind):
    parts, message = WRONG[kind]
    (tmp_path / "set").mkdir()
    for split, part in (("train", "train"), ("test", "t10k")):
        (tmp_path / f"set/{part}-images-idx3-ubyte").write_bytes(idx(parts[f"{split}_images"]))
        (tmp_path / f"set/{part}-labels-idx1-ubyte").write_bytes(idx(parts[f"{split}_labels"]))
    with pytest.raises(InputError, match=message):
        prepare("a", None, root=project(tmp_path, "idx", tmp_path / "set"))


def test_idx_given_packed_and_unpacked_is_refused(tmp_path):
    (tmp_path / "set").mkdir()
    for name in ("train-labels-idx1-ubyte", "train-labels-idx1-ubyte.gz"):
        (tmp_path / "set" / name).write_bytes(idx(np.zeros(1, np.uint8)))
    with pytest.raises(InputError, match="train-labels-idx1-ubyte occurs twice; keep one"):
        prepare("a", None, root=project(tmp_path, "idx", tmp_path / "set"))


def test_order_in_memory_and_byte_order_do_not_matter(tmp_path):
    parts = arrays(train=(0, 1, 2, 1), test=(2, 0)) | {"train_images": np.arange(256, dtype=np.uint8).reshape(4, 8, 8)}
    plain = npz(tmp_path / "plain", **parts).sha256
    fortran = {"train_images": np.asfortranarray(parts["train_images"])}
    assert npz(tmp_path / "fortran", **parts | fortran).sha256 == plain
    for kind in (">i8", ">u2", "<u8", "i1"):
        big = {name: parts[name].astype(kind) for name in ("train_labels", "test_labels")}
        assert npz(tmp_path / kind.strip("<>"), **parts | big).sha256 == plain


def test_padding_is_bounded(tmp_path):
    with pytest.raises(InputError, match=r"a, padded to 65000x65000 pixels: unpacks to 12\.7 GB or more"):
        npz(tmp_path, **arrays(shape=(1, 65000)))


def class_folders(root, split, counts):
    for index, count in enumerate(counts):
        image_folder(root / split / f"class{index}", count)
    return root


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ((2, 0, 1), (1, 1, 1), "train: no images in class1; add some, or remove these folders from all splits"),
        ((1, 1), (0, 0), "val: no images in any class; a test set is needed"),
    ],
)
def test_class_folders_with_empty_classes(tmp_path, train, test, message):
    source = class_folders(class_folders(tmp_path / "set", "train", train), "val", test)
    with pytest.raises(InputError, match=message):
        prepare("a", None, root=project(tmp_path, "imagefolder", source, preparation={}))


def png(size=(8, 8)):
    buffer = io.BytesIO()
    random_image(*size).save(buffer, "PNG")
    return buffer.getvalue()


def shard(labels, image=None):
    members = {}
    for index, label in enumerate(labels):
        members |= {f"{index}.png": image or png(), f"{index}.cls": str(label).encode()}
    return tar_bytes(members)


def bmp_of_width_0():
    buffer = io.BytesIO()
    random_image(8, 8).save(buffer, "BMP")
    data = bytearray(buffer.getvalue())
    data[18:22] = bytes(4)
    return bytes(data)


SHARDS = {
    "class without any image": (shard([0, 2]), "1 of 3 classes have no training images, for example class 1"),
    "label beyond the classes": (shard([0, 1, 3]), r"labels range from 0 to 3, outside 0\.\.2"),
    "label -1": (shard([0, -1]), r"'1\.cls' contains class -1; number the classes from 0"),
    "label that wraps": (shard([0, 2**64]), r"contains class 18446744073709551616"),
    "float label": (shard([0, 1.5]), r"'1\.cls' does not contain a class number"),
    "endless label": (shard([0, "1" * 5000]), r"'1\.cls' does not contain a class number"),
    "label of another sample": (
        tar_bytes({"a.png": png(), "b.png": png(), "a.cls": b"0"}),
        "sample 'a' needs an image",
    ),
    "no image": (tar_bytes({"a.cls": b"0"}), "sample 'a' needs an image"),
    "no labels": (tar_bytes({"a.png": png()}), r"and \.cls in consecutive members"),
    "text named png": (shard([0], b"text"), r"'0\.png': not an image"),
    "image of width 0": (shard([0], bmp_of_width_0()), r"'0\.png': (not an image|the image has no pixels)"),
    "no samples": (tar_bytes({"README": b""}), r"0\.tar: contains no samples"),
}


def shards(root, train, test):
    for split, data in (("train", train), ("val", test)):
        (root / split).mkdir(parents=True, exist_ok=True)
        (root / split / "0.tar").write_bytes(data)
    return root


@pytest.mark.parametrize("kind", SHARDS)
@pytest.mark.parametrize("split", ["train", "val"])
def test_invalid_shard_labels_are_refused(tmp_path, kind, split):
    data, message = SHARDS[kind]
    good = shard([0, 2] if kind == "class without any image" else [0, 1, 2])
    source = shards(tmp_path / "set", *((data, good) if split == "train" else (good, data)))
    root = project(tmp_path, "imagefolder", source, classes=3, preparation={})
    with pytest.raises(InputError, match=message):
        prepare("a", 8, root=root)


def test_shards_are_listed_with_their_labels(tmp_path):
    folder = shards(tmp_path / "set", shard([1, 0, 1]), shard([0])) / "train"
    rows, labels = list_shards(folder, "train")
    assert [row[:2] for row in rows] == [("0.tar", 3)] and labels.tolist() == [1, 0, 1]


def test_count_classes_accepts_a_known_number_of_classes():
    labels = {"train": np.array([0, 1]), "test": np.array([1])}
    assert count_classes("a", labels) == count_classes("a", labels, 2) == 2
    with pytest.raises(InputError, match="1 of 3 classes have no training images, for example class 2"):
        count_classes("a", labels, 3)
    with pytest.raises(InputError, match=r"outside 0\.\.0"):
        count_classes("a", labels, 1)
    assert as_labels("a", "train", np.array([3], np.uint8), 1).dtype == np.int64
