"""Reading of prepared data, and the shipped datasets in the DVC remote."""

import shutil

import numpy as np
import pytest
import torch

from bench.data.catalogue import load_catalogue
from bench.data.datasets import load_file_list, load_images, load_split, read_manifest
from bench.data.prepare import prepare
from bench.errors import InputError
from bench.files import read_yaml
from tests.helpers import ROOT
from tests.helpers.data_project import image_folder


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Create a project with the shipped archives, without DVC."""
    root = tmp_path_factory.mktemp("shipped")
    shutil.copytree(ROOT / "config", root / "config")
    (root / "data/sources").mkdir(parents=True)
    for pointer in (ROOT / "data/sources").glob("*.dvc"):
        (out,) = read_yaml(pointer)["outs"]
        stored = ROOT / "data/shipped/files/md5" / out["md5"][:2] / out["md5"][2:]
        shutil.copy(stored, root / "data/sources" / out["path"])
    return root


@pytest.fixture
def prepared(tmp_path):
    image_folder(tmp_path / "pictures", 5)
    prepare("mine", 16, tmp_path / "out", ROOT, folders={"mine": {"path": str(tmp_path / "pictures")}})
    return tmp_path / "out"


def test_emoji_are_prepared_at_64_px(shipped):
    manifest = prepare("fluent-emoji-100", 64, root=shipped)
    images = load_images(shipped / "data/prepared/fluent-emoji-100-64")
    assert images.shape == (100, 3, 64, 64)
    assert (images.dtype, images.is_contiguous()) == (torch.uint8, True)
    assert images[:, :, 0, 0].eq(255).all(), "the corners are transparent, so white"
    assert len({image.numpy().tobytes() for image in images}) == 100
    assert manifest.source_sha256 == load_catalogue(shipped).source_sha256("fluent-emoji-100")


def test_photographs_are_prepared_at_96_px(shipped):
    names = [name for name in load_catalogue(shipped).datasets if name.startswith("photo-")]
    assert len(names) == 5
    for name in names:
        prepare(name, 96, root=shipped)
        (image,) = load_images(shipped / f"data/prepared/{name}-96")
        assert max(image.shape[1:]) == 96
        assert min(image.shape[1:]) >= 64
        assert image.float().std() > 20


def test_fashion_subset_is_stratified_and_padded(shipped):
    manifest = prepare("fashion-mnist", 32, root=shipped)
    folder = shipped / "data/prepared/fashion-mnist-32"
    for split, count in {"train": 600, "test": 200}.items():
        images, labels = load_split(folder, split)
        assert images.shape == (10 * count, 1, 32, 32)
        assert labels.bincount().tolist() == [count] * 10
        assert images[:, :, :2].sum() == images[..., 30:].sum() == 0
    assert manifest.classes[9] == "ankle boot"
    # the archive is not decoded by a codec, so the hash is equal on every machine
    assert manifest.sha256 == "03b3eec3889cd68c1b31507fe125fe0b1a7454cc9fc7bbfca1e19e381297dc40"


def test_a_damaged_file_is_named(prepared):
    np.save(prepared / "images.npy", np.zeros((4, 16, 16, 3), np.uint8))
    with pytest.raises(InputError, match=r"shape \(4, 16, 16, 3\), but manifest\.json records \(5, 16, 16, 3\)"):
        read_manifest(prepared)
    (prepared / "images.npy").write_bytes(b"x")
    with pytest.raises(InputError, match=r"images\.npy: damaged"):
        load_images(prepared)
    (prepared / "images.npy").unlink()
    with pytest.raises(InputError, match=r"images\.npy: missing"):
        load_images(prepared)
    (prepared / "manifest.json").unlink()
    with pytest.raises(InputError, match="not a prepared dataset"):
        load_images(prepared)


def test_an_unexpected_kind_is_named(prepared):
    with pytest.raises(InputError, match="kind 'images', expected 'classification'"):
        load_split(prepared, "train")
    with pytest.raises(InputError, match="kind 'images', expected 'folder'"):
        load_file_list(prepared, "train")


def test_class_folders_have_a_file_list(tmp_path):
    for split in ("train", "val"):
        for name in ("a", "b"):
            image_folder(tmp_path / "set" / split / name, 2)
    given = {"path": str(tmp_path / "set"), "task": "classification"}
    prepare("set", None, tmp_path / "out", ROOT, folders={"set": given})
    paths, labels = load_file_list(tmp_path / "out", "test")
    assert labels == [0, 0, 1, 1]
    assert all(path.is_file() for path in paths)
    shutil.rmtree(tmp_path / "set/val")
    with pytest.raises(InputError, match=r"val: the files of set are missing"):
        load_file_list(tmp_path / "out", "test")
