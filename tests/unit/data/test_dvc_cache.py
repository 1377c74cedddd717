"""The DVC cache: links for files of slim-bench, copies for files of the user, and DVC's own view of both."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.data import dvc_cache
from bench.data.dvc import allow_without_git, run_dvc
from bench.data.dvc_cache import default_remote, merged_configuration, open_cache
from bench.data.pointers import Pointer, pointer_of, pointer_path, write_pointer
from bench.errors import InputError
from bench.files import md5_file
from tests.helpers import ROOT

DATA = b"an archive" * 1000


def dvc_project(root: Path) -> Path:
    """Create a project with this project's DVC configuration, without git."""
    (root / ".dvc").mkdir(parents=True)
    (root / "data/sources").mkdir(parents=True)
    (root / ".dvc/config").write_text((ROOT / ".dvc/config").read_text())
    return root


def tracked_file(root: Path, name: str = "a.zip", data: bytes = DATA) -> tuple[Path, str]:
    """Write a file with its pointer. Return its path and md5."""
    path = root / "data/sources" / name
    path.write_bytes(data)
    md5 = md5_file(path)
    meta = {"source": f"https://example.org/{name}", "sha256": "0" * 64, "licence": "CC0: öffentlich"}
    write_pointer(path, Pointer(md5, len(data), "a title: with a colon", meta))
    return path, md5


def test_a_pointer_is_unchanged_by_writing_and_reading(tmp_path):
    path, md5 = tracked_file(dvc_project(tmp_path))
    found = pointer_of(path)
    assert (found.md5, found.size, found.desc, found.is_ours) == (md5, len(DATA), "a title: with a colon", True)
    assert found.meta["licence"] == "CC0: öffentlich"
    assert pointer_of(path.with_name("b.zip")) is None
    pointer_path(path).write_text(f"outs:\n- md5: {md5}\n  path: a.zip\n")  # as `dvc add` writes it
    assert (pointer_of(path).md5, pointer_of(path).size, pointer_of(path).is_ours) == (md5, None, False)


@pytest.mark.parametrize("md5", ["1" * 32, "12e" + "3" * 29, "0x" + "1" * 30, "true", "~"])
def test_a_hash_that_looks_like_a_number_is_kept_as_text(tmp_path, md5):
    path = tmp_path / "a.zip"
    write_pointer(path, Pointer(md5, 5, "2024", {"source": "1e5", "sha256": md5}))
    assert pointer_of(path) == Pointer(md5, 5, "2024", {"source": "1e5", "sha256": md5})


def test_a_file_of_slim_bench_is_linked_and_read_only(tmp_path):
    root = dvc_project(tmp_path)
    path, md5 = tracked_file(root)
    cache = open_cache(root)
    assert cache.add(path, md5, own=True)
    stored = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    assert stored.read_bytes() == DATA and stored.stat().st_mode & 0o777 == 0o444
    assert not stored.samefile(path) or path.stat().st_mode & 0o777 == 0o444, "no link, if the file system clones files"
    assert cache.add(path, md5, own=True) and cache.contains(md5, len(DATA)) and not cache.contains(md5, 1)


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o444])
def test_a_file_of_the_user_is_not_modified(tmp_path, mode):
    root = dvc_project(tmp_path)
    path, md5 = tracked_file(root)
    path.chmod(mode)
    before = path.stat()
    assert open_cache(root).add(path, md5, own=False)
    assert path.stat() == before, "also its number of links and its times"
    stored = open_cache(root).object_path(md5)
    assert stored.read_bytes() == DATA and not stored.samefile(path)


def test_the_target_of_the_users_link_is_not_modified(tmp_path):
    root = dvc_project(tmp_path / "project")
    (tmp_path / "shared.zip").write_bytes(DATA)
    path = root / "data/sources/a.zip"
    path.symlink_to(tmp_path / "shared.zip")
    before = (tmp_path / "shared.zip").stat()
    assert open_cache(root).add(path, md5_file(path), own=False)
    assert path.is_symlink() and (tmp_path / "shared.zip").stat() == before
    stored = open_cache(root).object_path(md5_file(path))
    assert stored.read_bytes() == DATA and not stored.is_symlink()


def test_dvc_adds_the_file_if_links_are_impossible(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    root = dvc_project(tmp_path)
    path, md5 = tracked_file(root)
    monkeypatch.setattr(dvc_cache.os, "link", refused)
    monkeypatch.setattr(dvc_cache.fcntl, "ioctl", refused)
    assert not open_cache(root).add(path, md5, own=True)
    assert not list((root / ".dvc/cache").rglob("*.part")), "no temporary file is left"
    (root / ".dvc/config.local").write_text('[cache]\n    type = "copy"\n')
    assert open_cache(root).add(path, md5, own=True)


def test_restore_verifies_the_object(tmp_path):
    root = dvc_project(tmp_path)
    path, md5 = tracked_file(root)
    cache = open_cache(root)
    assert cache.add(path, md5, own=False)
    path.unlink()
    assert cache.restore(path, md5) and path.read_bytes() == DATA
    path.unlink()
    stored = cache.object_path(md5)
    stored.chmod(0o644)
    stored.write_bytes(b"X" + DATA[1:])
    assert not cache.restore(path, md5) and not path.exists()
    assert not stored.exists(), "a damaged object is removed, as DVC does"


def test_configuration_is_merged_as_by_dvc(tmp_path, monkeypatch):
    root = dvc_project(tmp_path / "project")
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "user").mkdir()
    (tmp_path / "user/config").write_text("[core]\n    remote = everywhere\n[cache]\n    dir = /nowhere\n")
    assert default_remote(root) == "shipped"
    (root / ".dvc/config.local").write_text("[core]\n    remote = lab\n[cache]\n    dir = ../../shared\n")
    assert default_remote(root) == "lab"
    assert open_cache(root).object_path("0123").resolve() == tmp_path / "shared/files/md5/01/23"
    assert merged_configuration(root)['remote "shipped"']["url"] == "../data/shipped"
    (root / ".dvc/config.local").write_text("[core\n")
    with pytest.raises(InputError, match=r"config\.local: .*correct the file"):
        default_remote(root)
    assert open_cache(tmp_path) is None


def test_dvc_commands_of_the_user_work_without_git(tmp_path):
    root = dvc_project(tmp_path)
    allow_without_git(root)
    assert merged_configuration(root)["core"]["no_scm"] == "true"
    (root / ".dvc/config.local").write_text("[core]\n    remote = lab\n")
    allow_without_git(root)
    assert (root / ".dvc/config.local").read_text() == "[core]\n    remote = lab\n", "the user's file is not changed"
    (root / ".dvc/config.local").unlink()
    (root / ".git").mkdir()
    allow_without_git(root)
    assert not (root / ".dvc/config.local").exists()


def dvc(root: Path, *arguments: str) -> str:
    """Run DVC as a user would. Return its output."""
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_dvc_status_push_and_pull_keep_the_file_of_the_user(tmp_path):
    root = dvc_project(tmp_path / "project")
    (root / ".dvc/config.local").write_text("[core]\n    no_scm = true\n['remote \"lab\"']\n    url = ../../lab\n")
    fetched, md5 = tracked_file(root)
    mine, mine_md5 = tracked_file(root, "mine.zip", b"of the user")
    cache = open_cache(root)
    assert cache.add(fetched, md5, own=True) and cache.add(mine, mine_md5, own=False)
    before, pointers = mine.stat(), [pointer_path(path).read_bytes() for path in (fetched, mine)]
    assert "up to date" in dvc(root, "status")
    assert "2 files pushed" in dvc(root, "push", "-r", "lab")
    dvc(root, "pull", "-r", "lab")
    assert mine.stat() == before
    fetched.unlink()
    cache.object_path(md5).unlink()
    stored = tmp_path / "lab/files/md5" / md5[:2] / md5[2:]
    stored.chmod(0o644)
    stored.write_bytes(b"X" + DATA[1:])
    with pytest.raises(InputError, match="failed to pull"):  # although the user did not set verify
        run_dvc(root, "pull", "--remote", "lab", "data/sources/a.zip.dvc")
    assert not fetched.exists()
    stored.write_bytes(DATA)
    assert "1 file added" in dvc(root, "pull", "-r", "lab")
    assert fetched.read_bytes() == DATA
    assert [pointer_path(path).read_bytes() for path in (fetched, mine)] == pointers
