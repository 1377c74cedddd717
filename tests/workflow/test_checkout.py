"""The project as an archive without git, inside another repository, and with Windows line endings."""

import shutil
import subprocess
import sys

import pytest

from tests.helpers.project import copy_files, make_repository

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
COMMIT = "from bench.provenance import git_state; print(git_state())"


def without_git(folder):
    """Return a folder for PATH without git."""
    folder.mkdir()
    for name in ("bash", "sh", "tee", "ln", "env"):
        (folder / name).symlink_to(shutil.which(name))
    return {"PATH": f"{sys.executable.rpartition('/')[0]}:{folder}"}


def test_an_archive_fetches_and_prepares_where_git_is_not_installed(tmp_path):
    project = copy_files(tmp_path / "slim-bench-main")
    target = "data/prepared/fluent-emoji-100-32/manifest.json"
    command = (sys.executable, "-m", "snakemake", "--cores", "1", target)
    result = project.run(*command, **without_git(tmp_path / "programs"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert (project.path / target).exists()
    assert (project.path / ".dvc/config.local").read_text() == "[core]\n    no_scm = true\n"


@pytest.mark.parametrize("home", ["/proc/nohome", "/dev/null"])
def test_data_are_fetched_without_a_home(fresh_copy, home):
    result = fresh_copy.run("slim-bench", "fetch", "fluent-emoji-100", HOME=home)
    assert result.returncode == 0, result.stderr


@needs_git
def test_an_archive_inside_another_repository_does_not_change_it(tmp_path):
    outer = tmp_path / "thesis"
    outer.mkdir()
    (outer / "thesis.txt").write_text("all of it\n")
    make_repository(outer)
    project = copy_files(outer / "slim-bench-main")
    result = project.run("slim-bench", "fetch", "fluent-emoji-100")
    assert result.returncode == 0, result.stderr
    listed = subprocess.run(["git", "-C", str(outer), "status", "--short"], capture_output=True, text=True).stdout
    assert listed == "?? slim-bench-main/\n"
    assert project.run(sys.executable, "-c", COMMIT).stdout.strip() == "(None, None)"


@needs_git
def test_a_clone_on_windows_has_the_same_bytes(tmp_path):
    """With `core.autocrlf=true`, changed line endings would change the hashes of lock file, data and code."""
    project = copy_files(tmp_path / "project")
    make_repository(project.path)
    clone = tmp_path / "clone"
    command = ["git", "clone", "--quiet", "--config", "core.autocrlf=true", str(project.path), str(clone)]
    subprocess.run(command, check=True, capture_output=True)
    names = subprocess.run(["git", "-C", str(clone), "ls-files", "-z"], capture_output=True, text=True, check=True)
    files = [name for name in names.stdout.split("\0") if name]
    assert "requirements.lock" in files
    differ = [name for name in files if (project.path / name).read_bytes() != (clone / name).read_bytes()]
    assert differ == []
