"""Fetching, preparing and auditing on a full disk give a one-line error with the folder, and can be resumed."""

import hashlib
import subprocess
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest

from bench.data import download as downloading
from bench.data.audit import audit
from bench.data.dvc import run_dvc
from bench.data.fetch import fetch
from bench.data.prepare import prepare
from bench.errors import InputError
from tests.helpers.data_project import image_folder, make_project, serve, tar_bytes
from tests.helpers.full_disk import files_in, fill, free, largest_file, mounted

DATA = np.random.default_rng(0).bytes(700_000)


def one_line(call, *arguments, **options) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pass_free_space_check(monkeypatch):
    """Make the check of the free space pass, as if another process used the space before the write."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**9))


def project_with_images(root, **entry):
    """Create a project with 12 images of 200 x 200, which are 1.4 MB as an array."""
    image_folder(root / "pictures", 12, (200, 200))
    return make_project(root / "project", a={"source": {"kind": "folder", "path": "../pictures"}} | entry)


def test_prepare_on_a_full_disk_gives_a_one_line_error(tmp_path, monkeypatch):
    root = project_with_images(tmp_path)
    with mounted(root / "data/prepared") as disk:
        message = one_line(prepare, "a", 200, root=root)
        assert message.startswith(f"{disk}: No space left on device for images.npy (1.4 MB needed, 1.0 MB free); free")
        assert not files_in(disk)
        monkeypatch.setattr("os.posix_fallocate", lambda *_: None)  # no space is reserved, so writing a row fails
        assert one_line(prepare, "a", 200, root=root).startswith(f"{disk}: No space left on device for images.npy (")
        assert not files_in(disk)
        assert prepare("a", 100, root=root).n == 12
        assert "a-100/manifest.json" in files_in(disk)


def test_prepare_on_a_full_disk_keeps_the_previous_arrays(tmp_path):
    root = project_with_images(tmp_path)
    with mounted(root / "data/prepared") as disk:
        before = prepare("a", 100, root=root)
        content = files_in(disk)
        fill(disk)
        assert one_line(prepare, "a", 100, root=root).startswith(f"{disk}/a-100: No space left on device for ")
        assert files_in(disk) == content
        free(disk)
        assert prepare("a", 100, root=root) == before


def test_prepare_beyond_the_file_size_limit_gives_a_one_line_error(tmp_path):
    root = project_with_images(tmp_path)
    with largest_file(1_000_000):
        message = one_line(prepare, "a", 200, root=root)
    assert "images.npy: File too large (the limit is 1.0 MB)" in message
    assert not files_in(root / "data/prepared")


def test_prepare_of_an_npz_file_on_a_full_disk_gives_a_one_line_error(tmp_path, monkeypatch):
    arrays = {f"{split}_images": np.zeros((40, 100, 100, 3), np.uint8) for split in ("train", "test")}
    arrays |= {f"{split}_labels": np.arange(40) % 2 for split in ("train", "test")}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    entry = {"task": "classification", "layout": "npz", "source": {"kind": "folder", "path": "../a.npz"}}
    root = make_project(tmp_path / "project", a=entry)
    with mounted(root / "data/prepared") as disk:
        assert str(disk) in one_line(prepare, "a", None, root=root)
        pass_free_space_check(monkeypatch)
        message = one_line(prepare, "a", None, root=root)
        assert message.startswith(f"{disk}: No space left on device for train_images.npy (1.2 MB needed")
        assert not files_in(disk)


def test_a_download_on_a_full_disk_is_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.data.connection.time.sleep", lambda _: None)
    monkeypatch.delenv(downloading.OFFLINE, raising=False)
    with serve(DATA) as server, mounted(tmp_path / "disk") as disk:
        file = {"name": "a.zip", "url": f"{server.url}/a.zip", "md5": hashlib.md5(DATA).hexdigest()}
        root = make_project(disk / "project", a={"source": {"kind": "download", "files": [file]}})
        fill(disk, leave=300_000)
        message = one_line(fetch, "a", root)
        assert str(root / "data/sources") in message and "700000 bytes" in message
        pass_free_space_check(monkeypatch)
        message = one_line(fetch, "a", root)
        assert message.startswith(f"{root / 'data/sources'}: No space left on device for a.zip (700.0 kB needed")
        assert not (root / "data/sources/a.zip").exists()
        free(disk)
        fetch("a", root)
        assert (root / "data/sources/a.zip").read_bytes() == DATA
        assert server.requests[-1].startswith("bytes=2"), "the received bytes were kept"


def test_dvc_on_a_full_disk_names_the_folder_and_leaves_no_temporary_file(tmp_path, monkeypatch):
    def fail(*_, **__):
        (sources / f".{'x' * 22}.tmp").touch()
        return subprocess.CompletedProcess([], 255, "", "ERROR: failed to pull data from the cloud\n")

    with mounted(tmp_path / "disk") as root:
        sources = root / "data/sources"
        sources.mkdir(parents=True)
        (root / ".dvc").mkdir()
        (sources / f".{'y' * 22}.tmp").write_text("file of another process")
        (sources / "a.tar.dvc").write_text("outs:\n- md5: 0\n  size: 500000\n  path: a.tar\n")
        monkeypatch.setattr("bench.data.dvc.subprocess", SimpleNamespace(run=fail))
        assert one_line(run_dvc, root, "pull", "data/sources/a.tar.dvc").endswith("failed to pull data from the cloud")
        fill(root)
        message = one_line(run_dvc, root, "pull", "data/sources/a.tar.dvc")
        assert message.startswith(f"{sources}: No space left on device for a.tar (500.0 kB needed, 0 bytes free)")
        assert {path.name for path in sources.iterdir()} == {"a.tar.dvc", f".{'y' * 22}.tmp"}


def test_audit_with_a_full_temporary_folder_gives_a_one_line_error(tmp_path, monkeypatch):
    image_folder(tmp_path / "pictures", 1, (200, 200))
    content = {"0.png": (tmp_path / "pictures/0.png").read_bytes()}
    (tmp_path / "a.tar").write_bytes(tar_bytes(content))
    root = make_project(tmp_path / "project", a={"source": {"kind": "folder", "path": "../a.tar"}})
    with mounted(tmp_path / "disk") as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        fill(disk, leave=8192)
        assert str(disk) in one_line(audit, "a", root=root)
        assert not files_in(disk)
        free(disk)
        assert audit("a", root=root).ok and not files_in(disk)
