"""The audit reports all problems of a dataset in one pass, with their files."""

import numpy as np
import pytest

from bench.data.audit import audit
from bench.errors import InputError
from tests.helpers.data_project import image_folder, make_project, random_image


def test_every_problem_is_listed(tmp_path):
    root = make_project(tmp_path / "project", a={"source": {"kind": "folder", "path": "../pictures"}, "n": 7})
    folder = image_folder(tmp_path / "pictures", 3, (20, 20))
    (folder / "notes.txt").write_text("hello")
    random_image(20, 20, seed=1).save(folder / "same-as-1.bmp")
    random_image(20, 12, seed=9).save(folder / "small.png")
    data = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(data[: len(data) // 2])
    report = audit("a", 16, root)
    assert not report.ok
    message = "\n".join(report.lines())
    for part in (
        "a: 3 images, 20x20; 4 errors, 1 notes",
        "error: 2.png: damaged image",
        "error: notes.txt: not an image",
        "error: small.png: has 20x12 pixels, but the shortest side needs 16",
        "error: 3 readable images, but 7 are expected",
        "note: same-as-1.bmp: has the same pixels as 1.png",
    ):
        assert part in message, message


@pytest.mark.parametrize("size", [-1, 0, 7])
def test_sizes_that_prepare_refuses_are_refused(tmp_path, size):
    root = make_project(tmp_path)
    with pytest.raises(InputError, match=f"image size {size} is below the minimum of 8 pixels"):
        audit(image_folder(tmp_path / "x", 2), size, root)


def test_a_valid_folder_by_path_has_no_errors(tmp_path):
    root = make_project(tmp_path / "project")
    report = audit(image_folder(tmp_path / "pictures", 3, (20, 18)), 16, root)
    assert report.ok
    assert report.lines()[1:] == ["note: 3 of 3 images are not square and will be cropped"]


def test_arrays_report_leaks_between_splits(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    labels = np.array([0, 1, 0, 1, 1])
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=labels, test_images=images[:1], test_labels=[0])
    entry = {"task": "classification", "layout": "npz", "source": {"kind": "folder", "path": "../set.npz"}}
    root = make_project(tmp_path / "project", a=entry)
    report = audit("a", None, root)
    assert report.ok
    assert report.lines() == [
        "a: 6 images, 28x28; 0 errors, 3 notes",
        "note: train: 5 images, 2 to 3 per class",
        "note: test: 1 images, 0 to 1 per class",
        "note: test 0: has the same pixels as train 0",
    ]


def test_unknown_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="'missing' is not in"):
        audit("missing", None, make_project(tmp_path / "project"))
