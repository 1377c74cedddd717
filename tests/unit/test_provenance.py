"""The commit in a record is a commit of this project, or None."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bench import provenance

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def state(monkeypatch):
    """Return state(folder), the provenance that a project in `folder` would record."""

    def read_git_state(folder: Path) -> tuple[str | None, bool | None]:
        monkeypatch.setattr(provenance, "ROOT", folder)
        return provenance.git_state.__wrapped__()

    return read_git_state


def repository(folder: Path) -> str:
    """Create a repository with one file and one commit; return the hash of the commit."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").write_text("one\n")
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "one"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


@needs_git
def test_the_commit_of_the_project_and_whether_files_differ(state, tmp_path):
    commit = repository(tmp_path / "project")
    assert state(tmp_path / "project") == (commit, False)
    (tmp_path / "project/file").write_text("two\n")
    assert state(tmp_path / "project") == (commit, True)


@needs_git
def test_pointers_written_by_fetch_do_not_mark_the_commit_as_changed(state, tmp_path):
    pointer = tmp_path / "project/data/sources/a.zip.dvc"
    pointer.parent.mkdir(parents=True)
    pointer.write_text("outs: []\n")
    commit = repository(tmp_path / "project")
    pointer.write_text("outs: [changed]\n")
    pointer.with_name("new.zip.dvc").write_text("outs: []\n")
    subprocess.run(["git", "-C", str(tmp_path / "project"), "add", "--all"], check=True)
    assert state(tmp_path / "project") == (commit, False)
    pointer.with_name("catalogue.yaml").write_text("tracked\n")
    subprocess.run(["git", "-C", str(tmp_path / "project"), "add", "--all"], check=True)
    assert state(tmp_path / "project") == (commit, True)


@needs_git
def test_the_commit_of_a_repository_around_it_is_not_recorded(state, tmp_path):
    repository(tmp_path / "thesis")
    (tmp_path / "thesis/slim-bench").mkdir()
    assert state(tmp_path / "thesis/slim-bench") == (None, None)


@needs_git
def test_variables_of_another_repositorys_hook_are_ignored(state, tmp_path, monkeypatch):
    commit = repository(tmp_path / "project")
    repository(tmp_path / "thesis")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "thesis/.git"))
    assert state(tmp_path / "project") == (commit, False)


def test_provenance_has_no_commit_without_a_repository_or_git(state, tmp_path, monkeypatch):
    assert state(tmp_path) == (None, None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert state(tmp_path) == (None, None)
