"""torch.compile gets the first folder that is writable and has space. Without one, the error is one line."""

import os
import tempfile

import pytest

from bench.errors import InputError
from bench.runtime.compile_cache import FOLDER, choose_compile_cache
from tests.helpers.full_disk import files_in, largest_file, mounted


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(FOLDER, str(tmp_path / "given"))
    return tmp_path


def test_a_folder_that_can_be_written_is_kept(folders, capsys):
    choose_compile_cache()
    assert os.environ[FOLDER] == str(folders / "given") and not files_in(folders)
    assert capsys.readouterr().err == ""


def test_a_file_system_without_reservation_is_supported(folders, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: None)
    choose_compile_cache()
    assert os.environ[FOLDER] == str(folders / "given")


@pytest.mark.parametrize("options", ["ro", "size=1m"])
def test_a_folder_that_is_full_or_read_only_is_replaced(folders, capsys, options):
    with mounted(folders / "given", options):
        choose_compile_cache()
    assert os.environ[FOLDER] == str(folders / "temporary" / f"slim-bench-compile-{os.getuid()}")
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith(f"{FOLDER} is not used, so compiled code is cached in ")
    assert f" instead: {folders / 'given'}" in message


def test_no_writable_cache_folder_gives_a_one_line_error(folders):
    with (
        largest_file(1_000_000),
        pytest.raises(InputError, match=r"File too large.*or compute.compile to false$") as caught,
    ):
        choose_compile_cache()
    assert "\n" not in str(caught.value)
