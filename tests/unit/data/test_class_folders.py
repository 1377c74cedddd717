"""Class folders are read by the same rules as other folders. audit reports everything that prepare refuses."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.audit import audit
from bench.data.batches import decode_file
from bench.data.catalogue import UserFolder, folder_dataset, task_of
from bench.data.class_folders import list_class_folders, unpacked_root
from bench.data.loaders import evaluation_batches
from bench.data.prepare import prepare
from bench.data.shards import decode_sample
from bench.errors import InputError
from tests.helpers.data_project import image_folder, make_project, random_image

SIZE = 16


@pytest.fixture
def folder(tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        for name in ("cat", "dog"):
            image_folder(tmp_path / "set" / split / name, count)
    make_project(tmp_path / "project")
    return tmp_path / "set"


def prepared(folder, **options):
    out, root = folder.parent / "out", folder.parent / "project"
    given = {"path": str(folder), "task": "classification", **options}
    return prepare("a", SIZE, out, root, folders={"a": given})


def audit_and_prepare(folder):
    """Return the number of images that prepare and audit find, or the error that both report."""
    try:
        manifest = prepared(folder)
        found = sum(split.n for split in manifest.splits.values())
    except InputError as error:
        found = str(error).replace(f"{folder}/", "")
    report = audit(folder, SIZE, folder.parent / "project")
    assert report.images == found if report.ok else found in report.errors, (found, report)
    return found


def test_images_in_links_and_subfolders_with_any_suffix_are_used(folder, tmp_path):
    (folder / "train/cat/more").symlink_to(image_folder(tmp_path / "more", 2))
    (folder / "train/cat/more/up").symlink_to(folder / "train")
    image_folder(folder / "val/dog/deep/er", 1)
    for name, kind in (("x", "PNG"), ("y.jfif", "JPEG"), ("z.gif", "GIF"), ("w.avif", "AVIF"), ("v.jpe", "JPEG")):
        random_image(SIZE, SIZE).save(folder / "train/dog" / name, kind)
    assert audit_and_prepare(folder) == 10 + 2 + 1 + 5
    assert "cat/more/0.png\t0" in (tmp_path / "out/train.tsv").read_text()


def test_a_linked_class_folder_is_used(folder, tmp_path):
    for split in ("train", "val"):
        (folder / split / "owl").symlink_to(image_folder(tmp_path / split, 2))
    assert audit_and_prepare(folder) == 14
    assert prepared(folder).classes == ("cat", "dog", "owl")


def test_system_files_are_neither_classes_nor_images(folder):
    for name in ("train/@eaDir/cat", "train/cat/@eaDir", "val/lost+found", "train/__MACOSX", "val/$RECYCLE.BIN"):
        image_folder(folder / name, 1)
    for name in ("train/Thumbs.db", "train/.DS_Store", "val/cat/desktop.ini", "train/cat/._0.png"):
        (folder / name).write_bytes(b"x")
    assert audit_and_prepare(folder) == 10


PROBLEMS = {
    "text": (lambda f: (f / "train/cat/x.txt").write_text("x"), "train/cat/x.txt: not an image"),
    "text in val": (lambda f: (f / "val/dog/x.png").write_text("x"), "val/dog/x.png: not an image"),
    "stray": (lambda f: random_image().save(f / "train/x.png"), "train/x.png: is not in a class folder"),
    "stray text": (lambda f: (f / "val/labels.csv").write_text("x"), "val/labels.csv: is not in a class folder"),
    "broken link": (lambda f: (f / "val/cat/x.png").symlink_to("nothing"), "val/cat/x.png: a broken link"),
    "broken class": (lambda f: (f / "train/owl").symlink_to("nothing"), "train/owl: a broken link"),
    "class too much": (lambda f: image_folder(f / "val/owl", 1), "val: class folders differ from those of train: owl"),
    "no class": (lambda f: [p.rename(f / p.name) for p in [*(f / "train").iterdir(), *(f / "val").iterdir()][:2]], ""),
    "small": (
        lambda f: random_image(15, 40).save(f / "train/cat/x.png"),
        "train/cat/x.png: has 15x40 pixels, but the",
    ),
    "deep": (
        lambda f: Image.fromarray(np.zeros((20, 20), np.uint16)).save(f / "val/cat/x.png"),
        "val/cat/x.png: more than 8 bits",
    ),
    "empty class": (lambda f: [p.unlink() for p in (f / "train/dog").iterdir()], "train: no images in dog; add some"),
    "one class": (lambda f: [shutil.rmtree(f / s / "dog") for s in ("train", "val")], "train: only one class, cat"),
    "val is train": (
        lambda f: (shutil.rmtree(f / "val"), (f / "val").symlink_to("train")),
        "val/cat/0.png: 6 of 6 test images are links to training images; remove these links",
    ),
    "linked class": (
        lambda f: (shutil.rmtree(f / "val/dog"), (f / "val/dog").symlink_to(f / "train/dog")),
        "val/dog/0.png: 3 of 5 test images are links to training images",
    ),
    "linked file": (lambda f: (f / "val/cat/9.png").hardlink_to(f / "train/cat/0.png"), "val/cat/9.png: 1 of 5 test"),
    "no val": (lambda f: (f / "val").rename(f / "other"), "expected train/ and val/"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_audit_and_prepare_report_the_same_problem(folder, problem):
    make, message = PROBLEMS[problem]
    make(folder)
    found = audit_and_prepare(folder)
    assert isinstance(found, str) and message in found


@pytest.mark.parametrize("name", ["test/cat/0.png", "extra.png", "labels.csv"])
def test_unused_entries_next_to_the_splits_are_noted(folder, name, capsys):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    random_image().save(folder / name, "PNG")
    assert audit_and_prepare(folder) == 10
    message = f"{name.partition('/')[0]} are not used: only train and val are read"
    assert f"note: {message}\n" in capsys.readouterr().err
    assert message in audit(folder, SIZE, folder.parent / "project").notes


def test_subfolders_that_may_be_classes_are_noted(folder, capsys):
    for split in ("train", "val"):
        (folder / split).rename(folder / split.upper())
    prepared(folder, task="fewshot")
    message = "images of 4 folders (TRAIN/cat, TRAIN/dog, VAL/cat, ...) are used together, without labels"
    assert message in capsys.readouterr().err
    assert any(message in note for note in audit(folder, SIZE, folder.parent / "project").notes)


def test_truncated_images_are_found_by_audit_and_prepare(folder):
    random_image(64, 64).save(folder / "val/cat/x.png")
    data = (folder / "val/cat/x.png").read_bytes()
    (folder / "val/cat/x.png").write_bytes(data[: len(data) // 2])
    assert audit_and_prepare(folder).startswith("val/cat/x.png: damaged image")


def test_audit_by_path_reads_train_and_val_as_splits(folder):
    report = audit(folder, SIZE, folder.parent / "project")
    assert {"train: 6 images, 3 to 3 per class", "val: 4 images, 2 to 2 per class"} <= set(report.notes)
    for path in (folder / "val/dog").iterdir():
        path.unlink()
    report = audit(folder, SIZE, folder.parent / "project")
    assert report.ok and "val/dog: no test images of this class" in report.notes


def test_audit_of_an_npz_by_path(tmp_path):
    root = make_project(tmp_path / "project")
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    arrays = {"train_images": images, "train_labels": [0, 1, 0, 1], "test_images": images[:1], "test_labels": [1]}
    np.savez(tmp_path / "set.npz", **arrays)
    np.savez(tmp_path / "SET.NPZ", **arrays)
    (tmp_path / "SET.NPZ.npz").rename(tmp_path / "SET.NPZ")
    assert audit(tmp_path / "SET.NPZ", 28, root).images == 5
    with pytest.raises(InputError, match=r"set\.npz: images have 28x28 pixels, more than size 16"):
        audit(tmp_path / "set.npz", 16, root)
    report = audit(tmp_path / "set.npz", None, root)
    assert report.ok and report.images == 5 and "test 0: has the same pixels as train 0" in report.notes
    np.savez(tmp_path / "half.npz", train_images=images)
    with pytest.raises(InputError, match=r"half\.npz: train_labels"):
        audit(tmp_path / "half.npz", None, root)


def add_rotated_and_transparent(folder):
    """A rotated photograph and a fully transparent image, both added to val/cat of `folder`."""
    image, exif = random_image(32, 32), Image.Exif()
    exif[0x0112] = 3
    image.save(folder / "val/cat/turned.png", exif=exif)
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(folder / "val/cat/clear.png")
    return image


def test_training_and_scoring_rotate_class_folders_and_composite_the_background(folder):
    upright = add_rotated_and_transparent(folder).transpose(Image.Transpose.ROTATE_180)
    upright.save(folder.parent / "upright.png")
    paths = [str(folder / "val/cat/turned.png"), str(folder.parent / "upright.png"), str(folder / "val/cat/clear.png")]
    images, _ = next(evaluation_batches([(path, 0) for path in paths], 16, 8, (10, 20, 30)))
    assert torch.equal(images[0], images[1])
    assert images[2, :, 5, 5].tolist() == [10, 20, 30]
    cropped, _ = decode_file((paths[2], 0), 16, 1, 0, (10, 20, 30))
    assert cropped[:, 5, 5].tolist() == [10, 20, 30]
    sample = {"__url__": "a.tar", "__key__": "0", "png": (folder / "val/cat/clear.png").read_bytes(), "cls": b"1"}
    shown, label = decode_sample(sample, 16, None, 0, (10, 20, 30))
    assert (shown[:, 5, 5].tolist(), label) == ([10, 20, 30], 1)


def test_the_hash_covers_the_reading_of_transparent_and_rotated_images(folder, capsys):
    plain = prepared(folder).sha256
    assert prepared(folder, background=[0, 0, 0]).sha256 == plain, "no image has an alpha channel"
    add_rotated_and_transparent(folder)
    white, black = prepared(folder), prepared(folder, background=[0, 0, 0])
    assert white.sha256 != black.sha256 and black.preparation["background"] == [0, 0, 0]
    assert "1 of 12 images are rotated by their EXIF" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("layout", "key", "value"),
    [("imagefolder", "resample", "bicubic")]
    + [
        (layout, key, value)
        for layout in ("npz", "idx")
        for key, value in (("background", [0, 0, 0]), ("upscale", True))
    ],
)
def test_options_that_do_nothing_for_a_layout_are_refused(layout, key, value):
    given = {"path": "x", "task": "classification", "layout": layout}
    folder_dataset("a", given)
    with pytest.raises(InputError, match=rf"folders\.a\.{key}: has no effect for layout {layout} \(.*\); remove it"):
        folder_dataset("a", UserFolder(**given, **{key: value}))


def test_the_task_is_derived_from_the_type_of_the_path(folder):
    assert task_of(folder) == "classification" and task_of(folder / "train") == "fewshot"
    assert task_of(folder / "train/cat/0.png") == "oneshot"


def test_the_top_folder_of_an_archive_is_found_despite_system_files(folder):
    (folder.parent / "un/__MACOSX").mkdir(parents=True)
    folder.rename(folder.parent / "un/set")
    assert unpacked_root(folder.parent / "un").name == "set"
    found = list_class_folders(folder.parent / "un/set")
    assert found.rows["test"][0] == ("cat/0.png", 0, found.paths("test")[0].stat().st_size) and not found.problems
