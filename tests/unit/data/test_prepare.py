"""Preparation of datasets: result, dependencies of the hash, and all errors."""

import gzip
import io
import pickle
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.io import savemat

from bench.data.content import UNPACKED_MARKER
from bench.data.extract import extract_archive
from bench.data.images import MAX_PIXELS
from bench.data.manifest import read_manifest
from bench.data.prepare import prepare
from bench.errors import InputError
from bench.runtime.locks import lock_file
from tests.helpers.data_project import image_folder, make_project, random_image, tar_bytes

SIZE = 16


def fewshot(root, count=3, **options):
    image_folder(root / "pictures", count)
    return make_project(root / "project", a={"source": {"kind": "folder", "path": "../pictures"}} | options)


def images(root, size=SIZE):
    return np.load(root / f"data/prepared/a-{size or 'full'}/images.npy")


def test_folder_becomes_an_array_in_the_order_of_names(tmp_path):
    root = fewshot(tmp_path, count=11)
    manifest = prepare("a", SIZE, root=root)
    names = sorted(f"{i}.png" for i in range(11))
    assert list(manifest.names) == names
    assert (manifest.n, manifest.channels, manifest.image_size, manifest.kind) == (11, 3, SIZE, "images")
    wanted = np.stack([np.asarray(Image.open(tmp_path / "pictures" / name)) for name in names])
    np.testing.assert_array_equal(images(root), wanted)
    assert read_manifest(root / f"data/prepared/a-{SIZE}") == manifest


def test_hash_depends_only_on_pixels_and_order(tmp_path):
    root = fewshot(tmp_path)
    first = prepare("a", SIZE, root=root).sha256
    assert prepare("a", SIZE, root=root).sha256 == first
    folder = tmp_path / "pictures"
    Image.open(folder / "0.png").save(folder / "0-again.bmp")
    (folder / "0.png").unlink()
    assert prepare("a", SIZE, root=root).sha256 == first, "the same pixels with another name and format"
    (folder / "2.png").rename(folder / "0.png")
    assert prepare("a", SIZE, root=root).sha256 != first, "the order is different"
    image = np.asarray(Image.open(folder / "1.png")).copy()
    image[0, 0, 0] ^= 1
    before = prepare("a", SIZE, root=root).sha256
    Image.fromarray(image).save(folder / "1.png")
    assert prepare("a", SIZE, root=root).sha256 != before, "one bit is different"


def test_transparency_is_composited_on_white_before_resizing(tmp_path):
    root = fewshot(tmp_path, count=0)
    rgba = np.zeros((32, 32, 4), np.uint8)  # transparent pixels are black
    rgba[8:24, 8:24] = (200, 0, 0, 255)
    rgba[0, 0] = (0, 0, 0, 128)
    Image.fromarray(rgba).save(tmp_path / "pictures/a.webp", lossless=True, exact=True)
    prepare("a", 32, root=root)
    (image,) = images(root, 32)
    assert image[31, 31].tolist() == [255, 255, 255]
    assert image[16, 16].tolist() == [200, 0, 0]
    assert image[0, 0].tolist() == [127, 127, 127]
    prepare("a", 16, root=root)
    assert images(root, 16)[0, :, :, 0].min() >= 190, "no dark fringe, because compositing precedes resizing"


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    root = fewshot(tmp_path, count=0)
    suffix = "tif" if mode == "CMYK" else "png"
    random_image(20, 20).convert(mode).save(tmp_path / f"pictures/a.{suffix}")
    prepare("a", SIZE, root=root)
    assert images(root).shape == (1, SIZE, SIZE, 3)


def test_resizing_is_antialiased(tmp_path):
    """A one-pixel checkerboard becomes grey by averaging. Without antialiasing it would be black or white."""
    root = fewshot(tmp_path, count=0)
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "pictures/a.png")
    prepare("a", SIZE, root=root)
    assert np.abs(images(root).astype(int) - 127).max() <= 3


def test_oblong_images_are_cropped_in_the_centre(tmp_path):
    root = fewshot(tmp_path, count=0)
    wide = random_image(40, 16)
    wide.save(tmp_path / "pictures/a.png")
    prepare("a", SIZE, root=root)
    np.testing.assert_array_equal(images(root)[0], np.asarray(wide)[:, 12:28])


def test_the_exif_orientation_is_applied(tmp_path):
    root = fewshot(tmp_path, count=0)
    turned = random_image(16, 16)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "pictures/a.png", exif=exif)
    prepare("a", SIZE, root=root)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "pictures/a.png")))
    np.testing.assert_array_equal(images(root)[0], wanted)


def test_one_shot_preparation_keeps_the_aspect_ratio(tmp_path):
    random_image(60, 40).save(tmp_path / "view.png")
    preparation = {"fit": "longest-side"}
    entry = {"task": "oneshot", "source": {"kind": "folder", "path": "../view.png"}, "preparation": preparation}
    root = make_project(tmp_path / "project", a=entry)
    assert prepare("a", 48, root=root).arrays == {"images.npy": (1, 32, 48, 3)}
    assert prepare("a", None, root=root).arrays == {"images.npy": (1, 40, 60, 3)}
    np.testing.assert_array_equal(images(root, None)[0], np.asarray(Image.open(tmp_path / "view.png")))
    with pytest.raises(InputError, match=r"30x20 pixels after scaling, but each side needs 25"):
        prepare("a", 30, root=root)
    with pytest.raises(InputError, match=r"view\.png: has 60x40 pixels, but the longest side needs 96"):
        prepare("a", 96, root=root)


def test_archive_members_are_chosen(tmp_path):
    buffers = {}
    for name in ("a.png", "b.png"):
        buffer = io.BytesIO()
        random_image(30, 30, seed=ord(name[0])).save(buffer, "PNG")
        buffers[name] = buffer.getvalue()
    (tmp_path / "set.tar").write_bytes(tar_bytes(buffers | {"LICENSE": b"text"}))
    preparation = {"fit": "longest-side", "members": "b.png"}
    entry = {"task": "oneshot", "source": {"kind": "folder", "path": "../set.tar"}, "preparation": preparation}
    root = make_project(tmp_path / "project", a=entry)
    assert prepare("a", None, root=root).names == ("b.png",)
    assert [path.name for path in (root / "data/prepared").iterdir()] == ["a-full"], "no extracted file remains"


def put(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def truncated_png(folder):
    random_image(64, 64).save(folder / "truncated.png")
    data = (folder / "truncated.png").read_bytes()
    (folder / "truncated.png").write_bytes(data[: len(data) // 2])


def image_with_huge_size(folder):
    image = Image.new("1", (MAX_PIXELS // 4096 + 1, 4096))
    image.save(folder / "huge.png")


def image_of_16_bits(folder):
    Image.fromarray(np.zeros((20, 20), np.uint16)).save(folder / "deep.png")


PROBLEMS = {
    "text": (put("notes.txt", b"hello"), r"notes\.txt: not an image"),
    "text named png": (put("zz.png", b"hello"), r"zz\.png: not an image"),
    "empty file": (put("zz.jpg", b""), r"zz\.jpg: not an image"),
    "truncated": (truncated_png, r"truncated\.png: damaged image"),
    "huge": (image_with_huge_size, r"huge\.png: .* exceeds the limit"),
    "16 bits": (image_of_16_bits, r"deep\.png: more than 8 bits"),
    "small": (
        lambda folder: random_image(40, 15).save(folder / "small.png"),
        r"small\.png: has 40x15 pixels, but the shortest side needs 16",
    ),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_bad_file_gives_a_one_line_error_and_leaves_no_files(tmp_path, problem):
    make, message = PROBLEMS[problem]
    root = fewshot(tmp_path)
    make(tmp_path / "pictures")
    with pytest.raises(InputError, match=message) as error:
        prepare("a", SIZE, root=root)
    assert "\n" not in str(error.value)
    assert list((root / "data/prepared").iterdir()) == []


def test_small_images_are_enlarged_only_where_allowed(tmp_path):
    root = fewshot(tmp_path, preparation={"upscale": True})
    assert prepare("a", 64, root=root).arrays["images.npy"] == (3, 64, 64, 3)


def test_counts_and_sizes_are_checked(tmp_path):
    root = fewshot(tmp_path, n=4)
    with pytest.raises(InputError, match=r"a: 3 images in .*pictures, but 4 are expected"):
        prepare("a", SIZE, root=root)
    random_image(20, 20).save(tmp_path / "pictures/3.png")
    with pytest.raises(InputError, match=r"3\.png: has 20x20 pixels, but 0\.png has 16x16; set an image size"):
        prepare("a", None, root=root)
    with pytest.raises(InputError, match="below the minimum of 8 pixels"):
        prepare("a", 4, root=root)


def test_empty_folder_and_hidden_files(tmp_path):
    root = fewshot(tmp_path, count=0)
    put(".DS_Store", b"x")(tmp_path / "pictures")
    with pytest.raises(InputError, match="contains no images"):
        prepare("a", SIZE, root=root)
    image_folder(tmp_path / "pictures", 2)
    assert prepare("a", SIZE, root=root).n == 2


def test_a_failed_preparation_keeps_the_previous_one(tmp_path):
    root = fewshot(tmp_path)
    first = prepare("a", SIZE, root=root)
    put("notes.txt", b"hello")(tmp_path / "pictures")
    with pytest.raises(InputError):
        prepare("a", SIZE, root=root)
    assert read_manifest(root / f"data/prepared/a-{SIZE}") == first


def temporary_folders(root):
    """Create incomplete folders of a-16 and of three other datasets with similar names."""
    names = (".a-16.x1y2.part", ".a-16.x1y2.old", ".a-16.v2.x1y2.part", ".a-160.x1y2.part", ".aa-16.x1y2.part")
    for name in names:
        (root / "data/prepared" / name / ".unpacked").mkdir(parents=True)
    return names


def test_temporary_folders_of_a_killed_preparation_are_removed(tmp_path):
    root = fewshot(tmp_path)
    *_, dotted, longer, other = temporary_folders(root)
    prepare("a", SIZE, root=root)
    assert sorted(path.name for path in (root / "data/prepared").iterdir()) == [dotted, longer, other, "a-16"]


def test_fetching_waits_for_a_running_preparation(tmp_path, monkeypatch):
    root = fewshot(tmp_path)
    first, *_ = temporary_folders(root)
    path = root / "data/prepared/.a-16.lock"
    lock, waited = lock_file(path), []

    def ends(_seconds):
        waited.append((root / "data/prepared" / first).exists())
        path.unlink()
        lock.release()

    monkeypatch.setattr("bench.runtime.locks.time.sleep", ends)
    prepare("a", SIZE, root=root)
    assert waited == [True]
    assert not (root / "data/prepared" / first).exists() and not path.exists()


def test_folder_by_path_needs_no_entry_of_the_catalogue(tmp_path):
    image_folder(tmp_path / "My Cats", 4)
    folders = {"my-cats": {"path": str(tmp_path / "My Cats")}}
    manifest = prepare("my-cats", 8, tmp_path / "out", make_project(tmp_path / "project"), folders=folders)
    assert (manifest.n, manifest.task) == (4, "fewshot")
    assert np.load(tmp_path / "out/images.npy").shape == (4, 8, 8, 3)


# ---- classification --------------------------------------------------------------------------------------------------


def classification(root, layout, path, **options):
    entry = {"task": "classification", "layout": layout, "source": {"kind": "folder", "path": str(path)}}
    preparation = {} if layout == "imagefolder" else {"preparation": {"fit": "pad"}}
    return make_project(root / "project", a=entry | preparation | options)


def digits(count, seed):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, 28, 28), dtype=np.uint8), random.integers(0, 3, count).astype(np.uint8)


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(s.to_bytes(4, "big") for s in array.shape) + array.tobytes()


def idx_files(images, labels, part):
    return {
        f"{part}-images-idx3-ubyte.gz": gzip.compress(idx(images)),
        f"{part}-labels-idx1-ubyte.gz": gzip.compress(idx(labels)),
    }


def idx_set(path):
    files = idx_files(*digits(7, 0), "train") | idx_files(*digits(4, 1), "t10k")
    path.write_bytes(tar_bytes(files))
    return path


def test_idx_images_are_padded_with_zeros(tmp_path):
    root = classification(tmp_path, "idx", idx_set(tmp_path / "set.tar"), n=7, n_test=4, classes=3)
    manifest = prepare("a", 32, root=root)
    folder = root / "data/prepared/a-32"
    train = np.load(folder / "train_images.npy")
    assert train.shape == (7, 32, 32, 1)
    np.testing.assert_array_equal(train[:, 2:30, 2:30, 0], digits(7, 0)[0])
    train[:, 2:30, 2:30] = 0
    assert not train.any()
    np.testing.assert_array_equal(np.load(folder / "test_labels.npy"), digits(4, 1)[1])
    assert np.load(folder / "test_labels.npy").dtype == np.int64
    assert (manifest.channels, manifest.classes, manifest.splits["test"].n) == (1, ("0", "1", "2"), 4)
    assert prepare("a", None, root=root).arrays["train_images.npy"] == (7, 28, 28, 1)
    with pytest.raises(InputError, match="28x28 pixels, more than size 24"):
        prepare("a", 24, root=root)


@pytest.mark.parametrize("packed", [True, False])
def test_a_folder_with_the_four_idx_files_by_path(tmp_path, packed):
    files = idx_files(*digits(7, 0), "train") | idx_files(*digits(4, 1), "t10k")
    (tmp_path / "fashion").mkdir()
    for name, data in files.items():
        (tmp_path / "fashion" / (name if packed else name[:-3])).write_bytes(data if packed else gzip.decompress(data))
    given = {"path": str(tmp_path / "fashion"), "task": "classification", "layout": "idx"}
    manifest = prepare("a", 32, tmp_path / "out", make_project(tmp_path / "project"), folders={"a": given})
    assert manifest.arrays["train_images.npy"] == (7, 32, 32, 1) and manifest.splits["test"].n == 4


def test_the_first_images_of_each_class_can_be_selected(tmp_path):
    preparation = {"fit": "pad", "per_class": 1}
    root = classification(tmp_path, "idx", idx_set(tmp_path / "set.tar"), n=7, preparation=preparation)
    manifest = prepare("a", 28, root=root)
    images, labels = digits(7, 0)
    kept = sorted(np.unique(labels, return_index=True)[1])
    np.testing.assert_array_equal(np.load(root / "data/prepared/a-28/train_images.npy")[..., 0], images[kept])
    np.testing.assert_array_equal(np.load(root / "data/prepared/a-28/train_labels.npy"), labels[kept])
    assert manifest.splits["train"].n == len(kept)


def test_labels_are_part_of_the_hash(tmp_path):
    images, labels = digits(7, 0)
    hashes = set()
    for changed in (labels, (labels + 1) % 3):
        arrays = {"train_images": images, "train_labels": changed, "test_images": images, "test_labels": labels}
        np.savez(tmp_path / "set.npz", **arrays)
        root = tmp_path / str(len(hashes))
        hashes.add(prepare("a", 32, root=classification(root, "npz", tmp_path / "set.npz")).sha256)
    assert len(hashes) == 2


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3)])
def test_the_archives_of_medmnist_are_accepted_and_their_validation_split_is_left_out(tmp_path, capsys, shape):
    random, arrays = np.random.default_rng(0), {}
    for split, count in (("train", 7), ("val", 3), ("test", 4)):
        arrays[f"{split}_images"] = random.integers(0, 256, (count, *shape), dtype=np.uint8)
        arrays[f"{split}_labels"] = random.integers(0, 3, (count, 1), dtype=np.uint8)
    np.savez_compressed(tmp_path / "somemnist.npz", **arrays)
    folder = {"path": str(tmp_path / "somemnist.npz"), "task": "classification"}
    root = make_project(tmp_path / "project")
    manifest = prepare("med", None, root=root, folders={"med": folder})
    assert (manifest.splits["train"].n, manifest.splits["test"].n, manifest.channels) == (7, 4, (*shape, 1)[2])
    for split in ("train", "test"):
        for kind in ("images", "labels"):
            found = np.load(root / f"data/prepared/med-full/{split}_{kind}.npy")
            np.testing.assert_array_equal(found.ravel(), arrays[f"{split}_{kind}"].ravel())
    assert capsys.readouterr().err == f"{tmp_path}/somemnist.npz: these arrays are not used: val_images, val_labels\n"


def test_an_incomplete_dataset_is_refused_with_its_contents(tmp_path):
    np.savez(tmp_path / "keras.npz", **{f"{name}_{split}": np.zeros(3) for split in ("train", "test") for name in "xy"})
    with pytest.raises(InputError, match=r"keras\.npz: train_images, .* not found; it contains x_train, y_train, x_"):
        prepare("a", 32, root=classification(tmp_path / "npz", "npz", tmp_path / "keras.npz"))
    (tmp_path / "set").mkdir()
    (tmp_path / "set/readme").write_text("no images")
    for layout in ("idx", "cifar"):
        with pytest.raises(InputError, match=rf"not found; it contains readme \(layout {layout}\)"):
            prepare("a", 32, root=classification(tmp_path / layout, layout, tmp_path / "set"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"train_labels": None},
            r"train_labels not found; it contains train_images, test_images, test_labels \(layout npz",
        ),
        (
            {"train_labels": np.zeros((7, 14), np.uint8)},
            r"labels are uint8 \(7, 14\), expected one class number per image",
        ),
        ({"train_images": np.zeros((7, 28, 28), np.float32)}, "train images are float32"),
        ({"train_labels": np.zeros(6, np.uint8)}, "7 train images, but labels are uint8"),
        ({"train_labels": np.full(7, 9)}, r"labels range from \d to 9, outside 0\.\.2"),
        ({"train_labels": np.zeros(7)}, "labels are float64"),
        ({"test_images": np.zeros((4, 28, 28, 4), np.uint8)}, r"not uint8 \[N, H, W, 1 or 3\]"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path, change, message):
    arrays = dict(zip(("train_images", "train_labels"), digits(7, 0), strict=True))
    arrays |= dict(zip(("test_images", "test_labels"), digits(4, 1), strict=True))
    np.savez(tmp_path / "set.npz", **{k: v for k, v in (arrays | change).items() if v is not None})
    with pytest.raises(InputError, match=message):
        prepare("a", 32, root=classification(tmp_path, "npz", tmp_path / "set.npz", classes=3))


def test_wrong_count_of_a_split_is_refused(tmp_path):
    root = classification(tmp_path, "idx", idx_set(tmp_path / "set.tar"), n=7, n_test=5)
    with pytest.raises(InputError, match=r"4 test images in .*, but 5 are expected"):
        prepare("a", 32, root=root)


@pytest.mark.parametrize("fine", [False, True])
def test_cifar_batches_are_read(tmp_path, fine):
    random = np.random.default_rng(0)
    rows = random.integers(0, 256, (6, 3072), dtype=np.uint8)
    key = b"fine_labels" if fine else b"labels"
    meta = {b"fine_label_names" if fine else b"label_names": [b"cat", b"dog"]}

    def batch(part):
        return pickle.dumps({b"data": rows[part], key: [i % 2 for i in range(6)][part]}, protocol=2)

    names = ["train", "test", "meta"] if fine else ["data_batch_1", "test_batch", "batches.meta"]
    parts = {names[0]: batch(slice(0, 4)), names[1]: batch(slice(4, 6)), names[2]: pickle.dumps(meta, protocol=2)}
    if not fine:
        parts |= {"data_batch_1": batch(slice(0, 2)), "data_batch_2": batch(slice(2, 4))}
    (tmp_path / "cifar.tar.gz").write_bytes(tar_bytes({f"cifar/{n}": d for n, d in parts.items()}, "w:gz"))
    root = classification(tmp_path, "cifar", tmp_path / "cifar.tar.gz", n=4, n_test=2, classes=2)
    manifest = prepare("a", 32, root=root)
    assert manifest.classes == ("cat", "dog")
    train = np.load(root / "data/prepared/a-32/train_images.npy")
    np.testing.assert_array_equal(train[1, 3, 5], rows[1].reshape(3, 32, 32)[:, 3, 5])
    np.testing.assert_array_equal(np.load(root / "data/prepared/a-32/train_labels.npy"), [0, 1, 0, 1])


def class_folders(root, split, classes=("n01", "n02"), count=2):
    for index, name in enumerate(classes):
        image_folder(root / split / name, count + index)
    return root


def test_image_folder_is_listed_not_copied(tmp_path):
    source = class_folders(class_folders(tmp_path / "set", "train"), "val", count=1)
    root = classification(tmp_path, "imagefolder", source, n=5, n_test=3)
    manifest = prepare("a", None, root=root)
    folder = root / "data/prepared/a-full"
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "test.tsv", "train.tsv"]
    assert (folder / "train.tsv").read_text().splitlines()[-1] == "n02/2.png\t1"
    assert (manifest.kind, manifest.format, manifest.classes) == ("folder", "imagefolder", ("n01", "n02"))
    random_image(9, 9).save(source / "train/n01/0.png")
    assert prepare("a", None, root=root).sha256 != manifest.sha256, "the size of a file changed"


needs_utf8 = pytest.mark.skipif(sys.getfilesystemencoding() != "utf-8", reason="file names are not UTF-8 here")


@needs_utf8
def test_image_folder_ignores_system_files_and_refuses_names_with_line_breaks(tmp_path):
    source = class_folders(class_folders(tmp_path / "set", "train"), "val")
    root = classification(tmp_path, "imagefolder", source)
    before = prepare("a", None, root=root)
    (source / "train/.cache").mkdir()
    (source / "train/n01/.DS_Store").write_bytes(b"x")
    assert prepare("a", None, root=root) == before
    for name in ("a\tb.png", "a\nb.png", "a\u2028b.png", "a\udcffb.png"):
        (source / "train/n01/0.png").rename(source / "train/n01" / name)
        with pytest.raises(InputError, match="rename it"):
            prepare("a", None, root=root)
        (source / "train/n01" / name).rename(source / "train/n01/0.png")


@needs_utf8
@pytest.mark.parametrize("name", ["a b'$x\"&;.png", "-rf.png", "猫.png", "narrow\u202fspace.png"])
def test_unusual_file_names_are_accepted(tmp_path, name):
    root = fewshot(tmp_path, 1)
    (tmp_path / "pictures/0.png").rename(tmp_path / "pictures" / name)
    assert prepare("a", 16, root=root).names == (name,)


@needs_utf8
def test_a_name_that_is_not_utf8_is_refused_in_one_line(tmp_path):
    root = fewshot(tmp_path, 1)
    (tmp_path / "pictures/0.png").rename(tmp_path / "pictures" / "\udcff.png")
    with pytest.raises(InputError, match=r"udcff.*not UTF-8; rename it"):
        prepare("a", 16, root=root)


def test_problems_of_an_image_folder_are_named(tmp_path):
    source = class_folders(tmp_path / "set", "train")
    root = classification(tmp_path, "imagefolder", source)
    with pytest.raises(InputError, match="train/ and val/"):
        prepare("a", None, root=root)
    class_folders(source, "val", classes=("n01", "n03"))
    with pytest.raises(InputError, match="differ from those of train: n02, n03"):
        prepare("a", None, root=root)
    (source / "val/n03").rename(source / "val/n02")
    (source / "val/n02/notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"notes\.txt: not an image"):
        prepare("a", None, root=root)


@pytest.mark.parametrize("problem", [name for name in PROBLEMS if name != "text"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_bad_image_of_a_class_is_named_before_training(tmp_path, split, problem):
    make, message = PROBLEMS[problem]
    source = class_folders(class_folders(tmp_path / "set", "train"), "val")
    root = classification(tmp_path, "imagefolder", source)
    assert prepare("a", SIZE, root=root).n == 5
    make(source / split / "n02")
    with pytest.raises(InputError, match=message) as error:
        prepare("a", SIZE, root=root)
    assert "\n" not in str(error.value)


def test_class_folders_by_path_need_the_size_unless_enlarged(tmp_path):
    source = class_folders(class_folders(tmp_path / "set", "train"), "val")
    project = make_project(tmp_path / "project")
    given = {"path": str(source), "task": "classification"}
    with pytest.raises(InputError, match=r"0\.png: has 16x16 pixels, but the shortest side needs 32"):
        prepare("a", 32, tmp_path / "out", project, folders={"a": given})
    assert prepare("a", 32, tmp_path / "out", project, folders={"a": given | {"upscale": True}}).n == 5


def test_only_headers_of_a_published_dataset_are_read(tmp_path):
    source = {"kind": "manual", "place": "a", "how": "ask"}
    entry = {"task": "classification", "layout": "imagefolder", "source": source}
    root = make_project(tmp_path / "project", a=entry)
    class_folders(class_folders(root / "data/sources/a", "train"), "val")
    assert prepare("a", 64, root=root).n == 5, "the protocol permits enlarging"
    put("zz.jpg", b"text")(root / "data/sources/a/val/n01")
    with pytest.raises(InputError, match=r"val/n01/zz\.jpg: not an image"):
        prepare("a", 64, root=root)


def test_shards_are_counted(tmp_path):
    for split, counts in {"train": (2, 3), "val": (1,)}.items():
        (tmp_path / "set" / split).mkdir(parents=True)
        for index, count in enumerate(counts):
            members = {}
            for i in range(count):
                members |= {f"v1.0/{i:03}.jpg": jpeg(i), f"v1.0/{i:03}.cls": str(i % 2).encode()}
            members |= {"README": b"x", "v1.0/NOTES": b"x"}  # webdataset ignores them
            (tmp_path / "set" / split / f"{index:05}.tar").write_bytes(tar_bytes(members))
    manifest = prepare("a", 224, root=classification(tmp_path, "imagefolder", tmp_path / "set", n=5, classes=2))
    assert (manifest.format, manifest.splits["train"].n, manifest.splits["test"].n) == ("webdataset", 5, 1)


def test_shards_of_a_users_folder_have_no_class_names(tmp_path):
    for split in ("train", "val"):
        (tmp_path / "set" / split).mkdir(parents=True)
        (tmp_path / "set" / split / "0.tar").write_bytes(tar_bytes({"0.jpg": b"x", "0.cls": b"0"}))
    with pytest.raises(InputError, match=r"train: shards contain no class names; .* a folder per class"):
        prepare("a", 224, root=classification(tmp_path, "imagefolder", tmp_path / "set"))


WNIDS = ("n01440764", "n01443537", "n02084071")


def jpeg(seed):
    buffer = io.BytesIO()
    random_image(20, 20, seed=seed).save(buffer, "JPEG")
    return buffer.getvalue()


def imagenet_archives(folder):
    """Create the three archives with three classes of two training images each, and four validation images."""
    folder.mkdir(parents=True)
    inner = {f"{w}.tar": tar_bytes({f"{w}_{i}.JPEG": jpeg(i) for i in range(2)}) for w in WNIDS}
    (folder / "ILSVRC2012_img_train.tar").write_bytes(tar_bytes(inner))
    validation = {f"ILSVRC2012_val_{i:08}.JPEG": jpeg(i) for i in range(1, 5)}
    (folder / "ILSVRC2012_img_val.tar").write_bytes(tar_bytes(validation))
    meta = io.BytesIO()
    kind = np.dtype([("ILSVRC2012_ID", object), ("WNID", object), ("words", object)])
    savemat(meta, {"synsets": np.array([(i + 1, w, "word") for i, w in enumerate(WNIDS)], dtype=kind)[:, None]})
    inside = "ILSVRC2012_devkit_t12/data"
    truth = b"3\n1\n1\n2\n"
    devkit = {f"{inside}/meta.mat": meta.getvalue(), f"{inside}/ILSVRC2012_validation_ground_truth.txt": truth}
    (folder / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(tar_bytes(devkit, "w:gz"))


def imagenet_project(tmp_path):
    files = [f"ILSVRC2012_{part}" for part in ("img_train.tar", "img_val.tar", "devkit_t12.tar.gz")]
    source = {"kind": "manual", "place": "a", "how": "ask", "files": [{"name": name} for name in files]}
    entry = {"task": "classification", "layout": "imagenet", "source": source, "n": 6, "n_test": 4}
    root = make_project(tmp_path / "project", a=entry)
    (root / "data/sources").rmdir()
    imagenet_archives(root / "data/sources")
    return root


def test_imagenet_archives_become_an_image_folder(tmp_path):
    root = imagenet_project(tmp_path)
    manifest = prepare("a", 224, root=root)
    assert manifest.classes == WNIDS
    rows = (root / "data/prepared/a-224/test.tsv").read_text().split()
    assert rows[0::2] == [
        "n01440764/ILSVRC2012_val_00000002.JPEG",
        "n01440764/ILSVRC2012_val_00000003.JPEG",
        "n01443537/ILSVRC2012_val_00000004.JPEG",
        "n02084071/ILSVRC2012_val_00000001.JPEG",
    ]
    assert sorted(path.name for path in (root / "data/sources/a").iterdir()) == [UNPACKED_MARKER, "train", "val"]
    assert prepare("a", 224, root=root).sha256 == manifest.sha256, "the second preparation reads the extracted files"


def test_unpacking_imagenet_resumes(tmp_path, monkeypatch):
    root = imagenet_project(tmp_path)

    def killed_at_the_third(archive, target, *options):
        if target.name == WNIDS[2]:
            raise KeyboardInterrupt
        extract_archive(archive, target, *options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("bench.data.ilsvrc.extract_archive", killed_at_the_third)
        prepare("a", 224, root=root)
    assert not (root / "data/sources/a").exists()
    assert len(list((root / "data/sources/.a.part/.train.part").glob("n*"))) == 2
    first = (root / "data/sources/.a.part/.train.part/n01440764").stat().st_ino
    assert prepare("a", 224, root=root).n == 6
    assert (root / "data/sources/a/train/n01440764").stat().st_ino == first


def test_unpacking_imagenet_refuses_a_working_folder_with_other_files(tmp_path):
    root = imagenet_project(tmp_path)
    (root / "data/sources/.a.part").mkdir()
    (root / "data/sources/.a.part/thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"\.a\.part/thesis\.tex: is not part of"):
        prepare("a", 224, root=root)
    assert (root / "data/sources/.a.part/thesis.tex").read_text() == "mine"
