"""Datasets are recorded with DVC: pointers, pins on first use, installed folders as archives, ImageNet as a list."""

import hashlib
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from bench.data import download as downloading
from bench.data.catalogue import load_catalogue
from bench.data.checks import dataset_problems
from bench.data.content import describe_installed, entry_sha256
from bench.data.fetch import fetch, fetch_dataset
from bench.data.fetch_job import FetchJob
from bench.data.installed import used_members
from bench.data.pointers import pointer_of, pointer_path
from bench.data.prepare import prepare
from bench.data.receipts import read_receipt
from bench.data.record import INSTALLED, source_text
from bench.data.sources import DataSettings, Hub, SourceFile
from bench.errors import InputError
from bench.files import read_yaml, sha256_bytes
from tests.helpers import ROOT
from tests.helpers.data_project import image_folder, make_project, random_image, serve

DATA = np.random.default_rng(0).bytes(50_000)
SHA256, MD5 = sha256_bytes(DATA), hashlib.md5(DATA).hexdigest()
TRUST = DataSettings(trust_first_use=True)


@pytest.fixture(autouse=True)
def online(monkeypatch):
    monkeypatch.delenv(downloading.OFFLINE, raising=False)


@pytest.fixture
def server():
    with serve(DATA) as running:
        yield running


def init_dvc(root: Path) -> Path:
    (root / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", root / ".dvc/config")
    return root


def project(root: Path, server, **pins) -> Path:
    file = {"name": "a.zip", "url": f"{server.url}/a.zip"} | pins
    return init_dvc(make_project(root, a={"source": {"kind": "download", "files": [file]}}))


def manual_project(root: Path, **fields) -> Path:
    return init_dvc(make_project(root, a={"source": {"kind": "manual", "place": "mine", "how": "ask for it"}} | fields))


def refetch(root: Path, replaces: bool = False):
    return fetch_dataset("a", load_catalogue(root), root, settings=TRUST, replaces=replaces)


def stored(root: Path, md5: str) -> Path:
    return root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


@pytest.mark.parametrize("pins", [{"sha256": SHA256}, {"md5": MD5}, {}])
def test_a_download_is_recorded_with_hash_size_and_source(tmp_path, server, pins):
    root = project(tmp_path, server, **pins)
    fetch("a", root, settings=TRUST)
    path = root / "data/sources/a.zip"
    (out,) = read_yaml(pointer_path(path))["outs"]
    meta = {"source": f"{server.url}/a.zip", "sha256": SHA256, "licence": "none"}
    assert out == {"md5": MD5, "size": len(DATA), "hash": "md5", "path": "a.zip", "desc": "a test set", "meta": meta}
    assert stored(root, MD5).read_bytes() == DATA
    pointer, requests = pointer_path(path).read_bytes(), len(server.requests)
    assert refetch(root).origin is None
    assert (pointer_path(path).read_bytes(), len(server.requests)) == (pointer, requests)
    path.unlink()
    refetch(root)
    assert path.read_bytes() == DATA and len(server.requests) == requests, "restored from the DVC cache"


def test_the_first_download_is_pinned_and_other_content_is_refused(tmp_path, server):
    root = project(tmp_path, server)
    fetch("a", root, settings=TRUST)
    path, pointer = root / "data/sources/a.zip", root / "data/sources/a.zip.dvc"
    before = pointer.read_bytes()
    server.data = b"changed" + DATA
    path.unlink()
    shutil.rmtree(root / ".dvc/cache")
    with pytest.raises(InputError, match=rf"sha256 is .*{SHA256} is expected"):
        refetch(root)
    assert not path.exists() and pointer.read_bytes() == before
    assert fetch_dataset("a", load_catalogue(root), root, replaces=True).origin is not None
    assert pointer_of(path).sha256 == sha256_bytes(server.data)


def test_a_pointer_from_another_machine_replaces_trust_first_use(tmp_path, server):
    first, second = (project(tmp_path / name, server) for name in ("first", "second"))
    fetch("a", first, settings=TRUST)
    shutil.copy(first / "data/sources/a.zip.dvc", second / "data/sources")  # committed, and pulled by another user
    fetch("a", second)
    assert (second / "data/sources/a.zip").read_bytes() == DATA
    third = project(tmp_path / "third", server)
    with pytest.raises(InputError, match=r"trust_first_use"):
        fetch("a", third)


def test_a_replaced_file_is_refused_until_it_is_pinned(tmp_path, server):
    root = project(tmp_path, server)
    path = root / "data/sources/a.zip"
    path.write_bytes(b"a copy of the user")
    before = path.stat()
    refetch(root)
    assert path.stat() == before and pointer_of(path).meta["source"] == "installed manually"
    path.write_bytes(b"another copy")
    with pytest.raises(InputError, match=r"data pin a --replace"):
        refetch(root)
    refetch(root, replaces=True)
    assert path.read_bytes() == b"another copy" and pointer_of(path).sha256 == sha256_bytes(b"another copy")
    refetch(root)


def test_a_new_checksum_in_the_catalogue_updates_the_pointer(tmp_path, server):
    root = project(tmp_path / "old", server, sha256=SHA256)
    fetch("a", root)
    server.data = b"a new release"
    new = project(tmp_path / "new", server, sha256=sha256_bytes(server.data))
    shutil.copy(new / "config/datasets.yaml", root / "config/datasets.yaml")
    (root / "data/sources/a.zip").unlink()
    fetch("a", root)
    assert (root / "data/sources/a.zip").read_bytes() == b"a new release"
    assert pointer_of(root / "data/sources/a.zip").sha256 == sha256_bytes(server.data)


def test_pins_of_earlier_versions_are_read_until_they_are_recorded(tmp_path, server, capsys):
    root = project(tmp_path, server)
    (root / "data/pins.yaml").write_text(f'a.zip: "{"0" * 64}"\n')
    with pytest.raises(InputError, match="0000 is expected"):
        fetch("a", root)
    (root / "data/pins.yaml").write_text(f'a.zip: "{SHA256}"\n')
    fetch("a", root)
    assert "a.zip is now recorded in data/sources/a.zip.dvc; delete data/pins.yaml" in capsys.readouterr().err
    assert pointer_of(root / "data/sources/a.zip").sha256 == SHA256
    (root / "data/pins.yaml").write_text(f'a.zip: "{"0" * 64}"\n')
    refetch(root)


def test_the_receipt_remains_valid_without_a_sha256_in_the_pointer(tmp_path, server):
    root = project(tmp_path, server)
    fetch("a", root, settings=TRUST)
    assert read_receipt("a", root)["entry_sha256"] == entry_sha256(load_catalogue(root), "a", root)
    (root / "data/sources/a.zip.dvc").write_text(f"outs:\n- md5: {MD5}\n  path: a.zip\n")  # as `dvc add` writes it
    assert read_receipt("a", root)["entry_sha256"] == entry_sha256(load_catalogue(root), "a", root)


def test_an_installed_folder_is_packed_into_an_archive_for_other_machines(tmp_path):
    root = manual_project(tmp_path / "first")
    folder = image_folder(root / "data/sources/mine")
    (folder / "sub").mkdir()
    random_image(seed=9).save(folder / "sub/9.png")
    before = {path: path.stat() for path in folder.rglob("*")}
    fetch("a", root)
    assert {path: path.stat() for path in folder.rglob("*")} == before, "the user's files are not changed"
    archive = root / "data/sources/a-installed.tar"
    with tarfile.open(archive) as tar:
        assert tar.getnames() == ["0.png", "1.png", "2.png", "sub/9.png"]
        assert {(member.mtime, member.uid) for member in tar} == {(0, 0)}
    assert pointer_of(archive).meta["source"] == "installed manually"
    sha256 = prepare("a", 16, root=root).sha256
    other = manual_project(tmp_path / "second")
    for name in ("a-installed.tar", "a-installed.tar.dvc"):  # as git and `dvc pull` do
        shutil.copy(root / "data/sources" / name, other / "data/sources")
    fetch("a", other)
    assert prepare("a", 16, root=other).sha256 == sha256
    assert read_receipt("a", root)["entry_sha256"] == entry_sha256(load_catalogue(root), "a", root)


def test_other_images_in_an_installed_folder_are_refused_until_they_are_pinned(tmp_path):
    root = manual_project(tmp_path)
    folder = image_folder(root / "data/sources/mine")
    fetch("a", root)
    pointer = root / "data/sources/a-installed.tar.dvc"
    before = pointer.read_bytes()
    random_image(seed=5).save(folder / "0.png")
    with pytest.raises(InputError, match=r"the images in .*mine differ .*data pin a --replace"):
        fetch("a", root)
    assert pointer.read_bytes() == before
    fetch_dataset("a", load_catalogue(root), root, replaces=True)
    assert pointer.read_bytes() != before
    fetch("a", root)


def test_each_dataset_of_a_shared_folder_has_its_own_record(tmp_path):
    source = {"kind": "manual", "place": "mine", "how": "ask for it"}
    entries = {name: {"source": source, "task": "oneshot", "preparation": {"members": f"{name}.*"}} for name in "ab"}
    root = init_dvc(make_project(tmp_path, **entries))
    (root / "data/sources/mine").mkdir()
    random_image(seed=1).save(root / "data/sources/mine/a.png")
    fetch("a", root)
    random_image(seed=2).save(root / "data/sources/mine/b.png")
    fetch("a", root)
    fetch("b", root)
    with tarfile.open(root / "data/sources/b-installed.tar") as tar:
        assert tar.getnames() == ["b.png"]


def test_only_the_images_that_the_dataset_uses_are_packed(tmp_path):
    root = manual_project(tmp_path, preparation={"first": 2, "members": "*.png"})
    folder = image_folder(root / "data/sources/mine")
    (folder / "0-notes.txt").write_text("not an image")
    catalogue = load_catalogue(root)
    job = FetchJob(root, catalogue, "a", catalogue.dataset("a"))
    described = describe_installed(folder, job.dataset)
    assert [member["name"] for member in used_members(job, folder, described)] == ["0.png", "1.png"]


def test_a_file_of_the_user_with_the_name_of_the_archive_is_not_replaced(tmp_path):
    root = manual_project(tmp_path)
    image_folder(root / "data/sources/mine")
    (root / "data/sources/a-installed.tar").write_bytes(b"of the user")
    with pytest.raises(InputError, match=r"a-installed\.tar: exists"):
        fetch("a", root)
    assert (root / "data/sources/a-installed.tar").read_bytes() == b"of the user"


def imagenet_project(root: Path, **fields) -> Path:
    return manual_project(root, layout="imagenet", task="classification", **fields)


def test_an_imagenet_folder_is_listed_and_never_copied(tmp_path):
    root = imagenet_project(tmp_path / "project")
    for split in ("train", "val"):
        image_folder(tmp_path / f"imagenet/{split}/n01440764", 2)
    (root / "data/sources/mine").symlink_to(tmp_path / "imagenet")
    fetch("a", root)
    lines = (root / "data/sources/a-files.tsv").read_text().splitlines()
    assert [line.partition("\t")[2] for line in lines] == [
        f"{s}/n01440764/{i}.png" for s in ("train", "val") for i in (0, 1)
    ]
    cached = [path for path in (root / ".dvc/cache").rglob("*") if path.is_file()]
    assert [path.read_text().splitlines() for path in cached] == [lines]
    fetch("a", root)
    (tmp_path / "imagenet/val/n01440764/1.png").unlink()
    with pytest.raises(InputError, match=r"3 files differ .*a-files\.tsv\.dvc.*data pin a --replace"):
        fetch("a", root)


def test_imagenet_archives_are_listed_and_never_copied(tmp_path):
    files = [{"name": "train.tar", "md5": MD5}]
    root = imagenet_project(tmp_path, source={"kind": "manual", "place": "mine", "how": "ask for it", "files": files})
    (root / "data/sources/train.tar").write_bytes(DATA)
    before = (root / "data/sources/train.tar").stat()
    fetch("a", root)
    assert (root / "data/sources/a-archives.tsv").read_text() == f"{len(DATA)}\t{MD5}\ttrain.tar\n"
    assert (root / "data/sources/train.tar").stat() == before
    assert not stored(root, MD5).exists() and not (root / "data/sources/train.tar.dvc").exists()


def test_a_full_cache_gives_a_message_and_the_dataset_can_be_used(tmp_path, server, capsys):
    root = project(tmp_path, server, sha256=SHA256)
    (root / ".dvc/cache").write_text("not a folder")
    fetch("a", root)
    assert "a.zip: not added to the DVC cache" in capsys.readouterr().err
    assert (root / "data/sources/a.zip").read_bytes() == DATA
    os.unlink(root / ".dvc/cache")
    refetch(root)
    assert not stored(root, MD5).exists(), "a later fetch does not try again"
    fetch_dataset("a", load_catalogue(root), root, completes=True)
    assert stored(root, MD5).read_bytes() == DATA


def test_an_interrupted_record_is_completed(tmp_path, server, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    root = project(tmp_path / "file", server, sha256=SHA256)
    folder = manual_project(tmp_path / "folder")
    image_folder(folder / "data/sources/mine")
    with monkeypatch.context() as patch:
        patch.setattr("bench.data.record.write_pointer", killed)
        for interrupted in (root, folder):
            with pytest.raises(KeyboardInterrupt):
                fetch("a", interrupted)
    fetch("a", root)
    assert stored(root, MD5).read_bytes() == DATA and pointer_of(root / "data/sources/a.zip").md5 == MD5
    fetch("a", folder)
    assert pointer_of(folder / "data/sources/a-installed.tar") is not None
    assert problems(folder) == []


def test_pin_packs_a_missing_archive_again(tmp_path):
    root = manual_project(tmp_path)
    image_folder(root / "data/sources/mine")
    fetch("a", root)
    archive = root / "data/sources/a-installed.tar"
    data, pointer = archive.read_bytes(), pointer_path(archive).read_bytes()
    archive.unlink()
    fetch_dataset("a", load_catalogue(root), root, completes=True)
    assert (archive.read_bytes(), pointer_path(archive).read_bytes()) == (data, pointer)


# ---- checks ----------------------------------------------------------------------------------------------------------


def problems(root: Path) -> list[str]:
    catalogue = load_catalogue(root)
    return dataset_problems(FetchJob(root, catalogue, "a", catalogue.dataset("a")))


def test_check_reads_the_files_again(tmp_path, server):
    root = project(tmp_path, server)
    assert problems(root) == ["not here; run `slim-bench data fetch a`"]
    fetch("a", root, settings=TRUST)
    assert problems(root) == []
    path = root / "data/sources/a.zip"
    status = path.stat()
    path.unlink()
    path.write_bytes(b"X" + DATA[1:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [f"{SHA256} is expected" in problem for problem in problems(root)] == [True]
    path.write_bytes(DATA)
    shutil.rmtree(root / ".dvc/cache")
    assert ["`dvc push` does not upload it" in problem for problem in problems(root)] == [True]
    pointer_path(path).unlink()
    assert ["data pin a" in problem for problem in problems(root)] == [True]
    pointer_path(path).write_text("outs: []")
    assert ["outs: expected exactly one DVC output" in problem for problem in problems(root)] == [True]


def test_check_of_an_installed_folder(tmp_path):
    root = manual_project(tmp_path)
    folder = image_folder(root / "data/sources/mine")
    assert ["not recorded" in problem for problem in problems(root)] == [True]
    fetch("a", root)
    assert problems(root) == []
    random_image(seed=7).save(folder / "1.png")
    assert ["differ from the record" in problem for problem in problems(root)] == [True]


def test_check_compares_imagenet_with_its_record(tmp_path):
    files = [{"name": "train.tar", "md5": MD5}]
    source = {"kind": "manual", "place": "mine", "how": "ask for it", "files": files}
    root = imagenet_project(tmp_path / "archives", source=source)
    (root / "data/sources/train.tar").write_bytes(DATA)
    fetch("a", root)
    assert problems(root) == []
    (root / "data/sources/train.tar").write_bytes(b"X" + DATA[1:])
    assert [f"{MD5} is expected" in problem for problem in problems(root)] == [True]
    root = imagenet_project(tmp_path / "folder")
    image_folder(root / "data/sources/mine/train/n01440764", 2)
    fetch("a", root)
    assert problems(root) == []
    image_folder(root / "data/sources/mine/train/n01440764", 3)
    assert ["differ from the record" in problem for problem in problems(root)] == [True]


def test_the_origin_of_a_file_names_the_commit():
    source = Hub(kind="hub", repo="o/r", revision="a" * 40, files=(SourceFile(name="x", path="data/x"),))
    assert source_text(source, source.files[0]) == f"hf://datasets/o/r@{'a' * 40}/data/x"
    assert source_text(None, source.files[0]) == INSTALLED
