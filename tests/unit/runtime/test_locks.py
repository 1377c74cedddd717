"""Locks are released when their process ends. Waiting prints one line. Content of existing files is not changed."""

import os
import subprocess
import sys

import pytest

from bench.errors import InputError
from bench.runtime import locks
from bench.runtime.locks import hold_lock, is_locked, lock_file

HOLD = """
import sys
from pathlib import Path
from bench.runtime.locks import lock_file
lock = lock_file(Path(sys.argv[1]))
print(lock is not None, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Start a process that holds the lock on tmp_path/x/.a.lock until it is killed."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "x/.a.lock")], **pipes) as process:
        assert process.stdout.readline().strip() == "True"
        yield process
        process.kill()


def test_a_lock_is_released_when_its_process_ends(tmp_path, holder):
    assert lock_file(tmp_path / "x/.a.lock") is None
    holder.kill()
    holder.wait()
    lock = lock_file(tmp_path / "x/.a.lock")
    assert lock is not None
    lock.release()


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "loop"])
def test_a_path_that_cannot_be_locked_is_an_error_with_a_remedy(tmp_path, kind):
    path = tmp_path / ".a.lock"
    make = {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "device": lambda: path.symlink_to("/dev/zero")}
    make.get(kind, lambda: path.symlink_to(path.name))()
    with pytest.raises(InputError, match=r"\.a\.lock: is not a regular file, but .*; move it away$"):
        lock_file(path)
    assert not is_locked(path)


def test_waiting_is_printed_once(tmp_path, holder, monkeypatch, capsys):
    naps = []

    def fake_sleep(_seconds):
        naps.append(1)
        if len(naps) == 3:
            holder.kill()
            holder.wait()

    monkeypatch.setattr(locks.time, "sleep", fake_sleep)
    with hold_lock(tmp_path / "x/.a.lock", "another process creates a; waiting"):
        assert lock_file(tmp_path / "x/.a.lock") is None
    assert len(naps) == 3
    assert capsys.readouterr().err == "another process creates a; waiting\n"
    with hold_lock(tmp_path / "x/.a.lock", "free again"):
        assert capsys.readouterr().err == ""


def test_the_lock_is_released_if_the_block_fails(tmp_path):
    with pytest.raises(KeyError), hold_lock(tmp_path / "a.lock", ""):
        raise KeyError
    lock = lock_file(tmp_path / "a.lock")
    assert lock is not None
    lock.release()


def test_the_content_of_a_lock_file_is_kept(tmp_path):
    path = tmp_path / ".a.lock"
    path.write_text("mine")
    with hold_lock(path, ""):
        assert path.read_text() == "mine"
    assert path.read_text() == "mine"


def test_a_lock_file_removed_by_its_owner_is_not_a_lock(tmp_path, monkeypatch):
    path = tmp_path / "a.lock"
    first = lock_file(path)

    def fake_sleep(_seconds):
        path.unlink()
        first.release()

    monkeypatch.setattr(locks.time, "sleep", fake_sleep)
    with hold_lock(path, ""):
        assert path.exists() and lock_file(path) is None


def test_a_lock_is_detected_without_write_permission(tmp_path):
    path = tmp_path / "x/.a.lock"
    assert not is_locked(path) and not path.parent.exists()
    held = lock_file(path)
    path.chmod(0o400)
    assert is_locked(path)
    held.release()
    assert not is_locked(path)


def test_a_pipe_in_place_of_a_lock_is_not_a_lock(tmp_path):
    """Opening it would block."""
    os.mkfifo(tmp_path / "lock")
    assert not is_locked(tmp_path / "lock")
    with pytest.raises(InputError, match="lock: is not a regular file"):
        lock_file(tmp_path / "lock")
