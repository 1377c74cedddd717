"""`slim-bench classify` preprocesses an image as the evaluation preprocesses the test set."""

import numpy as np
import pytest
import torch

from bench.data.datasets import load_split
from bench.data.loaders import evaluation_batches
from bench.data.prepare import prepare
from bench.errors import InputError
from bench.sample import Preprocessing, preprocessing_of, read_preprocessed
from bench.train.startup import describe_data
from tests.helpers.data_project import image_folder, make_project, random_image


def prepared(tmp_path, given, size):
    root = make_project(tmp_path / "project")
    return prepare("a", size, tmp_path / "out", root, folders={"a": {"task": "classification"} | given})


def test_an_image_of_a_file_dataset_is_centre_cropped(tmp_path):
    for split in ("train", "val"):
        for label in ("cat", "dog"):
            image_folder(tmp_path / "set" / split / label, 1, (90, 70))
    path = tmp_path / "set/val/cat/0.png"
    manifest = prepared(tmp_path, {"path": str(tmp_path / "set")}, 48)
    preprocessing = preprocessing_of({"data": describe_data(manifest)})
    assert preprocessing == Preprocessing(48, "RGB", True)
    seen, _ = next(evaluation_batches([(str(path), 0)], 48, 1))
    assert torch.equal(read_preprocessed(path, preprocessing), seen)


@pytest.mark.parametrize(("mode", "size"), [("L", 32), ("RGB", 32), ("RGB", None)])
def test_an_image_of_an_array_dataset_is_padded_with_zeros(tmp_path, mode, size):
    image = random_image(28, 28, mode=mode)
    image.save(tmp_path / "a.png")
    split = {"images": np.stack([np.asarray(image)] * 2), "labels": np.arange(2)}
    arrays = {f"{name}_{kind}": value for name in ("train", "test") for kind, value in split.items()}
    np.savez(tmp_path / "set.npz", **arrays)
    manifest = prepared(tmp_path, {"path": str(tmp_path / "set.npz")}, size)
    preprocessing = preprocessing_of({"data": describe_data(manifest)})
    assert preprocessing == Preprocessing(size or 28, mode, False)
    assert torch.equal(
        read_preprocessed(tmp_path / "a.png", preprocessing), load_split(tmp_path / "out", "test")[0][:1]
    )


def test_an_image_larger_than_the_arrays_fills_the_view(tmp_path):
    random_image(90, 70).save(tmp_path / "a.png")
    assert read_preprocessed(tmp_path / "a.png", Preprocessing(32, "RGB", False)).shape == (1, 3, 32, 32)
    with pytest.raises(InputError, match=r"b\.png: no such file"):
        read_preprocessed(tmp_path / "b.png", Preprocessing(32, "RGB", True))
