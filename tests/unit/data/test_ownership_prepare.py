"""`prepare` replaces only files that an earlier preparation wrote, in every output folder."""

import os
import shutil

import numpy as np
import pytest

from bench.cli import main
from bench.data.manifest import read_manifest
from tests.helpers.data_project import image_folder, random_image


@pytest.fixture
def workdir(project, monkeypatch):
    monkeypatch.chdir(project)
    image_folder(project / "photos", 3)
    return project


def prepare(source, out, *more):
    return main(["prepare", "p", "--size", "16", "--folder", f"p={source}", "--out", str(out), *more])


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def last_line(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("slim-bench: error: ")
    return lines[-1]


@pytest.mark.parametrize("out", ["photos", "photos/prepared", "."])
def test_an_output_folder_that_overlaps_with_the_source_is_refused(workdir, capsys, out):
    before = content(workdir)
    assert prepare("photos", out) == 2
    assert "overlaps with the source" in last_line(capsys)
    assert content(workdir) == before


def test_an_output_folder_that_is_a_link_to_the_source_is_refused(workdir, capsys):
    (workdir / "link").symlink_to("photos")
    before = content(workdir / "photos")
    assert prepare("photos", "link") == 2
    assert "overlaps with the source" in last_line(capsys)
    assert content(workdir / "photos") == before and (workdir / "link").is_symlink()


@pytest.mark.parametrize("name", ["my work", "my.work"])
def test_other_files_in_the_folder_are_kept(workdir, name):
    (workdir / name / "chapters").mkdir(parents=True)
    (workdir / name / "chapters/1.tex").write_text("a thesis")
    (workdir / name / "train.tsv").write_text("a\tb")  # a file name of another layout
    before = content(workdir / name)
    for _ in range(2):
        assert prepare("photos", name) == 0
        assert content(workdir / name).items() >= before.items()
        assert read_manifest(workdir / name).n == 3
    left = {path.name for path in (workdir / name).iterdir()}
    assert left == {"chapters", "train.tsv", "images.npy", "manifest.json"}


@pytest.mark.parametrize("name", ["images.npy", "manifest.json", ".slim-bench-prepare.json"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_unrelated_file_at_an_output_path_is_refused_before_decoding(workdir, capsys, monkeypatch, name, kind):
    (workdir / "out").mkdir()
    if kind == "file":
        (workdir / "out" / name).write_text('{"name": "of a web application"}')
    else:
        (workdir / "out" / name).mkdir()
        (workdir / "out" / name / "note.txt").write_text("mine")
    before = content(workdir / "out")
    monkeypatch.setattr("bench.data.prepare.fit_image", None)
    assert prepare("photos", "out") == 2
    assert f"out/{name}: is " in last_line(capsys)
    assert content(workdir / "out") == before


def test_the_error_names_a_damaged_manifest_and_not_its_arrays(workdir, capsys):
    assert prepare("photos", "out") == 0
    (workdir / "out/manifest.json").write_text("[]")
    assert prepare("photos", "out") == 2
    assert "out/manifest.json: is not a file that slim-bench wrote" in last_line(capsys)


def test_a_changed_array_is_refused_because_prepare_did_not_write_it(workdir, capsys):
    assert prepare("photos", "out") == 0
    images = np.load(workdir / "out/images.npy")
    np.save(workdir / "out/images.npy", 255 - images)
    before = content(workdir / "out")
    assert prepare("photos", "out") == 2
    assert "out/images.npy: is not a file that slim-bench wrote" in last_line(capsys)
    assert content(workdir / "out") == before


def test_a_file_as_output_folder_gives_a_one_line_error(workdir, capsys):
    (workdir / "thesis.pdf").write_text("x")
    assert prepare("photos", "thesis.pdf") == 2
    assert "thesis.pdf: is a file" in last_line(capsys)
    assert (workdir / "thesis.pdf").read_text() == "x"


def test_a_link_as_output_folder_is_kept_and_points_to_the_data(workdir):
    (workdir / "disk").mkdir()
    (workdir / "disk/note.txt").write_text("mine")
    (workdir / "out").symlink_to("disk")
    (workdir / "new").symlink_to("disk2")
    for name in ("out", "new"):
        assert prepare("photos", name) == 0 and prepare("photos", name) == 0
        assert (workdir / name).is_symlink() and read_manifest(workdir / name).n == 3
    assert (workdir / "disk/note.txt").read_text() == "mine"


def test_an_open_memory_map_of_the_old_array_remains_valid(workdir):
    assert prepare("photos", "out") == 0
    old = np.load(workdir / "out/images.npy", mmap_mode="r")
    before = np.array(old)
    random_image(16, 16, seed=9).save(workdir / "photos/0.png")
    assert prepare("photos", "out") == 0
    np.testing.assert_array_equal(old, before)
    assert not np.array_equal(np.load(workdir / "out/images.npy"), before)


def test_arrays_of_another_layout_are_removed(workdir):
    arrays = {f"{split}_images": np.zeros((4, 16, 16), np.uint8) for split in ("train", "test")}
    arrays |= {f"{split}_labels": np.arange(4) % 2 for split in ("train", "test")}
    np.savez(workdir / "set.npz", **arrays)
    assert prepare("photos", "out") == 0
    (workdir / "out/note.txt").write_text("mine")
    assert prepare("{path: set.npz, task: classification}", "out") == 0
    assert not (workdir / "out/images.npy").exists() and (workdir / "out/note.txt").read_text() == "mine"
    assert read_manifest(workdir / "out").kind == "classification"


class KilledError(BaseException):
    """Raised in place of a SIGKILL, with cleanup disabled."""


@pytest.mark.parametrize("moment", [0, 1])
def test_prepare_that_was_killed_while_replacing_files_loses_no_file_and_can_be_repeated(workdir, monkeypatch, moment):
    assert prepare("photos", "out") == 0
    (workdir / "out/note.txt").write_text("mine")
    random_image(16, 16, seed=9).save(workdir / "photos/3.png")
    replaced, replace, rmtree = [], os.replace, shutil.rmtree

    def killed(source, target):
        if target in (workdir / "out/images.npy", workdir / "out/manifest.json"):
            if len(replaced) == moment:
                raise KilledError
            replaced.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(KilledError):
        prepare("photos", "out")
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    assert not (workdir / "out/manifest.json").exists(), "a partly replaced dataset does not count as finished"
    assert (workdir / "out/note.txt").read_text() == "mine"
    assert prepare("photos", "out") == 0
    assert sorted(path.name for path in (workdir / "out").iterdir()) == ["images.npy", "manifest.json", "note.txt"]
    assert read_manifest(workdir / "out").n == 4


def test_the_default_folder_needs_no_manifest(workdir):
    """Snakemake deletes manifest.json, a declared output, before it prepares again."""
    command = ["prepare", "p", "--size", "16", "--folder", "p=photos"]
    assert main(command) == 0
    (workdir / "data/prepared/p-16/manifest.json").unlink()
    assert main(command) == 0
    assert read_manifest(workdir / "data/prepared/p-16").n == 3


def test_a_truncated_manifest_is_rewritten_in_the_default_folder(workdir):
    command = ["prepare", "p", "--size", "16", "--folder", "p=photos"]
    assert main(command) == 0
    path = workdir / "data/prepared/p-16/manifest.json"
    before = path.read_bytes()
    for size in (len(before) // 2, 3, 0):
        path.write_bytes(before[:size])
        assert main(command) == 0
        assert path.read_bytes() == before


def test_hidden_folders_of_the_user_are_kept(workdir):
    for name in (".out.backup.part", ".out.old_copy.old", ".out.abcd1234.part", ".out.abcd1234.old"):
        (workdir / name).mkdir()
        (workdir / name / "thesis.tex").write_text("mine")
    (workdir / ".out.old_copy.old/images.npy").write_text("mine")
    (workdir / ".out.lock").write_text("mine")
    before = content(workdir)
    assert prepare("photos", "out") == 0
    assert content(workdir).items() >= before.items()


def test_files_of_a_killed_preparation_are_removed(workdir):
    from bench.data.staging import make_temporary

    left = make_temporary(workdir, "out")
    (left / ".unpacked").mkdir()
    (left / ".unpacked/a.png").write_bytes(b"x")
    assert prepare("photos", "out") == 0
    assert not left.exists()
