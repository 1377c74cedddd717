"""The record of an audit counts every kind of problem, and problems of a dataset do not make the command fail."""

import os

import numpy as np
import pytest
from PIL import Image

from bench.cli import main
from bench.data.audit_job import record_audit
from bench.data.audit_record import audit_outdated_reason, audit_path, read_audit, thumbnails_path
from bench.data.catalogue import load_catalogue
from bench.data.prepare import prepare
from bench.errors import InputError
from bench.files import sha256_file
from tests.helpers import ROOT
from tests.helpers.data_project import image_folder, make_project, random_image

ENTRY = {"source": {"kind": "folder", "path": "../images"}, "n": 7, "citation": "A. Author. A dataset. 2020"}


def counts(record):
    return {kind: check.count for kind, check in record.checks.items() if check.count}


@pytest.fixture
def folder(tmp_path):
    return image_folder(tmp_path / "images", 3, (20, 20))


def test_every_kind_of_problem_is_counted(tmp_path, folder):
    root = make_project(tmp_path / "project", a=ENTRY)
    (folder / "notes.txt").write_text("hello")
    random_image(20, 12, seed=9).save(folder / "small.png")
    random_image(20, 20, seed=1).save(folder / "copy.bmp")
    Image.new("I;16", (20, 20)).save(folder / "deep.png")
    data = bytearray((folder / "2.png").read_bytes())
    data[60:90] = bytes(30)
    (folder / "broken.png").write_bytes(data)
    for suffix in ("jpg", "bmp", "gif"):
        random_image(64, 64, seed=5).save(folder / f"truncated.{suffix}")
        whole = (folder / f"truncated.{suffix}").read_bytes()
        (folder / f"truncated.{suffix}").write_bytes(whole[: len(whole) * 2 // 3])
    out = audit_path(root / "data/prepared/a-16")
    record_audit("a", 16, out, root)
    record = read_audit(out)
    assert counts(record) == {
        "truncated": 3,
        "corrupt": 1,
        "not an image": 1,
        "wrong mode": 1,
        "too small": 1,
        "wrong count": 1,
        "exact duplicate": 1,
    }
    assert record.images == {"images": 4} and record.expected == {"images": 7} and record.errors == 8
    assert record.checks["exact duplicate"].examples == ("copy.bmp: has the same pixels as 1.png",)
    assert (record.licence, record.citation) == ("none", "A. Author. A dataset. 2020")
    with Image.open(thumbnails_path(out)) as image:
        assert image.size == (4 * 80, 80)


def test_the_audit_changes_no_prepared_file(tmp_path, folder):
    root = make_project(tmp_path / "project", a=ENTRY | {"n": 3})
    prepared = root / "data/prepared/a-16"
    prepare("a", 16, root=root)
    before = {path.name: sha256_file(path) for path in prepared.iterdir()}
    record_audit("a", 16, audit_path(prepared), root)
    assert {path.name: sha256_file(path) for path in prepared.iterdir()} == before
    assert counts(read_audit(audit_path(prepared))) == {}


def test_arrays_are_read_from_the_prepared_dataset_while_it_is_current(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    labels = np.array([0, 1, 0, 1, 0, 1])
    arrays = {"train_images": images, "train_labels": labels, "test_images": images[4:], "test_labels": labels[4:]}
    np.savez(tmp_path / "set.npz", **arrays)
    entry = {"task": "classification", "layout": "npz", "source": {"kind": "folder", "path": "../set.npz"}}
    root = make_project(tmp_path / "project", a=entry)
    prepare("a", 28, root=root)
    out = audit_path(root / "data/prepared/a-28")
    monkeypatch.setattr("bench.data.audit.prepare", lambda *_, **__: pytest.fail("prepared again"))
    record_audit("a", 28, out, root)
    record = read_audit(out)
    assert record.images == {"train": 6, "test": 2} and record.modes == {"L": 8}
    assert counts(record) == {"test image equal to a training image": 2}
    assert record.contact == ("training images", "test images")
    monkeypatch.undo()
    np.savez(tmp_path / "set.npz", **arrays | {"test_images": 255 - images[:2]})
    record_audit("a", 28, out, root)
    assert counts(read_audit(out)) == {}


def test_a_dataset_that_cannot_be_read_is_recorded(tmp_path):
    root = make_project(tmp_path / "project", a={"source": {"kind": "folder", "path": "../missing"}})
    out = tmp_path / "a.audit.json"
    record_audit("a", None, out, root)
    assert read_audit(out).failure.endswith("missing: no such file or folder")
    assert not thumbnails_path(out).exists()


def test_another_file_is_never_overwritten(tmp_path, folder):
    root = make_project(tmp_path / "project", a=ENTRY)
    out = tmp_path / "a.json"
    out.write_text("{}")
    with pytest.raises(InputError, match="is not a file that slim-bench wrote"):
        record_audit("a", 16, out, root)
    out.unlink()
    random_image().save(thumbnails_path(out))
    with pytest.raises(InputError, match="is not a file that slim-bench wrote"):
        record_audit("a", 16, out, root)


def test_a_record_is_outdated_with_its_source_and_its_entry(tmp_path, folder):
    root = make_project(tmp_path / "project", a=ENTRY, b=ENTRY | {"licence": "MIT"})
    out = tmp_path / "a.audit.json"
    record_audit("a", 16, out, root)
    datasets, content = load_catalogue(root).datasets, read_audit(out).content_sha256
    assert audit_outdated_reason(out, datasets["a"], content) is None
    assert "config/datasets.yaml has changed" in audit_outdated_reason(out, datasets["b"], content)
    assert "files of a have changed" in audit_outdated_reason(out, datasets["a"], "0" * 64)
    out.write_text("{")
    assert str(out) in audit_outdated_reason(out, datasets["a"], content)


def test_names_that_are_not_utf8_are_recorded(tmp_path, folder):
    root = make_project(tmp_path / "project", a=ENTRY)
    (folder / os.fsdecode(b"bad\xff\x1b[31m.png")).write_bytes(b"x")
    record_audit("a", 16, tmp_path / "a.json", root)
    assert read_audit(tmp_path / "a.json").checks["other problem"].count == 1


def test_the_command_records_problems_and_succeeds(tmp_path, folder, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (folder / "notes.txt").write_text("hello")
    given = ["audit", "mine", "--folder", f"mine={folder}", "--size", "16"]
    assert main(given) == 2
    assert main([*given, "--out", str(tmp_path / "a.json")]) == 0
    assert "error: notes.txt: " in capsys.readouterr().out
    assert main([*given, "--out", str(tmp_path / "a.txt")]) == 2
