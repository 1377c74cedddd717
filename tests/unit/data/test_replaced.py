"""`prepare` uses a replaced source even if name, size and modification time are equal."""

import gzip
import io
import os
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from bench.data.catalogue import load_catalogue
from bench.data.content import UNPACKED_MARKER, describe_installed
from bench.data.fetch import fetch, fetch_dataset, source_content
from bench.data.ilsvrc import unpack_imagenet
from bench.data.prepare import prepare
from bench.data.present import installed_path
from bench.data.unpacking import source_folder
from bench.errors import InputError
from tests.helpers.data_project import make_project, random_image, tar_bytes

TIME = 1_700_000_000_000_000_000


def image(seed, kind="BMP"):
    """Return an image whose size in bytes does not depend on the seed."""
    buffer = io.BytesIO()
    random_image(8, 8, seed=seed).save(buffer, kind)
    return buffer.getvalue()


def put(path, data):
    """Write a file, or replace it, with the modification time TIME."""
    new = path.with_name("new")
    new.write_bytes(data)
    os.utime(new, ns=(TIME, TIME))
    new.replace(path)


def zip_bytes(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def class_members(classes, seed=0):
    return {
        f"{split}/{name}/0.bmp": image(seed + index) for split in ("train", "val") for index, name in enumerate(classes)
    }


def project(root, layout, path, **options):
    task = "fewshot" if layout == "images" else "classification"
    entry = {"task": task, "layout": layout, "source": {"kind": "folder", "path": str(path)}}
    return make_project(root / "project", a=entry | options)


@pytest.mark.parametrize("pack", [zip_bytes, tar_bytes])
def test_a_replaced_archive_of_class_folders_is_prepared_again(tmp_path, pack):
    archive = tmp_path / "pets"
    put(archive, pack(class_members(("cat", "dog"))))
    size = archive.stat().st_size
    root = project(tmp_path, "imagefolder", archive)
    fetch("a", root)
    hashes = {prepare("a", 8, root=root).sha256}
    assert prepare("a", 8, root=root).sha256 in hashes
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("a")] == ["a"], "extracted once"
    for seed in (0, 5):
        put(archive, pack(class_members(("cow", "pig"), seed)))
        assert (archive.stat().st_size, archive.stat().st_mtime_ns) == (size, TIME)
        manifest = prepare("a", 8, root=root)
        assert manifest.classes == ("cow", "pig") and manifest.sha256 not in hashes
        hashes.add(manifest.sha256)
    assert (tmp_path / "a/train/cat/0.bmp").exists(), "nothing is deleted"


def test_a_folder_of_the_user_is_not_mistaken_for_the_extracted_archive(tmp_path, capsys):
    put(tmp_path / "pets.zip", zip_bytes(class_members(("cat", "dog"))))
    (tmp_path / "a/train/mine").mkdir(parents=True)
    root = project(tmp_path, "imagefolder", tmp_path / "pets.zip")
    assert prepare("a", 8, root=root).classes == ("cat", "dog")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["train"]
    assert "was not extracted from pets.zip, and is kept" in capsys.readouterr().err
    (other,) = tmp_path.glob("a-*")
    (other / UNPACKED_MARKER).unlink()
    with pytest.raises(InputError, match=rf"{other}: exists, but was not extracted.*move it"):
        prepare("a", 8, root=root)


def test_a_folder_is_used_unchanged(tmp_path):
    with source_folder(SimpleNamespace(sources=[tmp_path])) as folder:
        assert folder == tmp_path


def test_problems_in_an_archive_of_class_folders_name_the_archive(tmp_path):
    archive = tmp_path / "pets.zip"
    root = project(tmp_path, "imagefolder", archive)
    put(archive, zip_bytes(class_members(("cat", "dog")) | {"train/cat/notes.txt": b"x"}))
    with pytest.raises(InputError, match=rf"^{archive}: train/cat/notes\.txt: not an image"):
        prepare("a", 8, root=root)
    put(archive, zip_bytes({"pets/0.bmp": image(0), "README": b""}))
    with pytest.raises(InputError, match=rf"^{archive}: pets: .*train/ and val/"):
        prepare("a", 8, root=root)


def test_a_replaced_archive_of_images_is_prepared_again(tmp_path):
    root, hashes = project(tmp_path, "images", tmp_path / "set.zip"), set()
    for seed in (0, 1):
        put(tmp_path / "set.zip", zip_bytes({"0.bmp": image(seed)}))
        hashes.add(prepare("a", 8, root=root).sha256)
    assert len(hashes) == 2


def arrays(seed):
    images, labels = (
        np.random.default_rng(seed).integers(0, 256, (2, 8, 8), dtype=np.uint8),
        np.arange(2, dtype=np.uint8),
    )
    return {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}


def test_a_replaced_npz_is_prepared_again(tmp_path):
    root, hashes, contents = project(tmp_path, "npz", tmp_path / "set.npz"), set(), set()
    for seed in (0, 1):
        buffer = io.BytesIO()
        np.savez(buffer, **arrays(seed))
        put(tmp_path / "set.npz", buffer.getvalue())
        fetch("a", root)
        manifest = prepare("a", 8, root=root)
        hashes.add(manifest.sha256)
        contents.add(manifest.made_from.content_sha256)
    assert len(hashes) == len(contents) == 2


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(s.to_bytes(4, "big") for s in array.shape) + array.tobytes()


@pytest.mark.parametrize("packed", [True, False])
def test_replaced_idx_files_are_prepared_again(tmp_path, packed):
    root, hashes, contents = project(tmp_path, "idx", tmp_path / "set"), set(), set()
    (tmp_path / "set").mkdir()
    for seed in (0, 1):
        parts = arrays(seed)
        for split, part in (("train", "train"), ("test", "t10k")):
            for kind, mark in (("images", "images-idx3"), ("labels", "labels-idx1")):
                data = idx(parts[f"{split}_{kind}"])
                put(tmp_path / f"set/{part}-{mark}-ubyte", gzip.compress(data, 0) if packed else data)
        fetch("a", root)
        manifest = prepare("a", 8, root=root)
        hashes.add(manifest.sha256)
        contents.add(manifest.made_from.content_sha256)
    assert len(hashes) == len(contents) == 2


def test_replaced_shards_are_prepared_again(tmp_path):
    source = {"kind": "manual", "place": "a", "how": "ask"}
    entry = {"task": "classification", "layout": "imagefolder", "source": source, "classes": 2}
    root = make_project(tmp_path, a=entry)
    hashes, contents = set(), set()
    for seed in (0, 5):
        members = {"0.png": image(0, "PNG"), "0.cls": b"0", "1.png": image(1, "PNG"), "1.cls": b"1"}
        members["note"] = b"%d" % seed
        for split in ("train", "val"):
            (root / "data/sources/a" / split).mkdir(parents=True, exist_ok=True)
            put(root / f"data/sources/a/{split}/0.tar", tar_bytes(members))
        fetch_dataset("a", load_catalogue(root), root, replaces=True)
        manifest = prepare("a", 8, root=root)
        hashes.add(manifest.sha256)
        contents.add(manifest.made_from.content_sha256)
    assert len(hashes) == len(contents) == 2


def test_a_replaced_image_of_a_class_folder_is_prepared_again(tmp_path):
    for name, data in class_members(("cat", "dog")).items():
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        put(tmp_path / "set" / name, data)
    root = project(tmp_path, "imagefolder", tmp_path / "set")
    fetch("a", root)
    before = prepare("a", 8, root=root)
    put(tmp_path / "set/train/cat/0.bmp", image(9))
    after = prepare("a", 8, root=root)
    assert after.sha256 != before.sha256 and after.made_from != before.made_from


def test_a_manually_replaced_download_is_prepared_again(tmp_path):
    files = [{"name": "set.zip", "url": "http://localhost/set.zip"}]
    root = make_project(tmp_path, a={"source": {"kind": "download", "files": files}})
    hashes = set()
    for seed in (0, 1):
        put(root / "data/sources/set.zip", zip_bytes({"0.bmp": image(seed)}))
        fetch_dataset("a", load_catalogue(root), root, replaces=True)
        hashes.add(prepare("a", 8, root=root).sha256)
    assert len(hashes) == 2
    pinned = prepare("a", 8, root=root).made_from.content_sha256
    put(root / "data/sources/set.zip", zip_bytes({"0.bmp": image(2)}))
    assert source_content("a", root, load_catalogue(root)) != pinned, "without a fetch and with an old receipt"


def imagenet(folder, classes, seed):
    from scipy.io import savemat

    inner = {f"{name}.tar": tar_bytes({f"{name}_0.JPEG": image(seed + i)}) for i, name in enumerate(classes)}
    meta = io.BytesIO()
    kind = np.dtype([("ILSVRC2012_ID", object), ("WNID", object)])
    savemat(meta, {"synsets": np.array([(i + 1, name) for i, name in enumerate(classes)], dtype=kind)[:, None]})
    kit = {"k/data/meta.mat": meta.getvalue(), "k/data/ILSVRC2012_validation_ground_truth.txt": b"1\n2\n"}
    put(folder / "t.tar", tar_bytes(inner))
    put(folder / "v.tar", tar_bytes({f"v{i}.JPEG": image(seed + i) for i in range(2)}))
    put(folder / "d.tar.gz", tar_bytes(kit, "w:gz"))


def test_replaced_imagenet_archives_are_extracted_again(tmp_path):
    files = [{"name": name} for name in ("t.tar", "v.tar", "d.tar.gz")]
    source = {"kind": "manual", "place": "a", "how": "ask", "files": files}
    root = make_project(tmp_path, a={"task": "classification", "layout": "imagenet", "source": source})
    sources, catalogue = root / "data/sources", load_catalogue(root)
    imagenet(sources, ("n1", "n2"), 0)
    first = {path: path.read_bytes() for path in sources.iterdir()}
    fetch("a", root)
    before = prepare("a", 8, root=root)
    imagenet(sources, ("n3", "n4"), 0)
    assert prepare("a", 8, root=root).classes == ("n3", "n4")
    for path, data in first.items():
        put(path, data)
    again = prepare("a", 8, root=root)
    assert (again.sha256, again.made_from) == (before.sha256, before.made_from)
    assert installed_path(root, catalogue.dataset("a")) is None
    (sources / "t.tar").unlink()
    assert installed_path(root, catalogue.dataset("a")) == sources / "a", (
        "archives may be deleted after their extraction"
    )
    assert (
        describe_installed(sources / "a", catalogue.dataset("a"))["content_sha256"] == before.made_from.content_sha256
    )


def test_the_extraction_of_other_archives_is_not_resumed(tmp_path):
    imagenet(tmp_path, ("n1", "n2"), 0)
    old = tmp_path / ".out.part/.train.part/n1"
    old.mkdir(parents=True)
    (old / "old.JPEG").touch()
    (tmp_path / ".out.part" / UNPACKED_MARKER).write_text('{"content_sha256": "another"}')
    unpack_imagenet(*(tmp_path / name for name in ("t.tar", "v.tar", "d.tar.gz")), tmp_path / "out", "this")
    assert [path.name for path in (tmp_path / "out/train/n1").iterdir()] == ["n1_0.JPEG"]
