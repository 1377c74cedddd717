"""Switches in environment variables, and the user's cache folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import caches
from bench.cli import main
from bench.data.catalogue import Weights
from bench.data.weights import find_weights_file
from bench.errors import InputError
from bench.metrics.cache import cache_folder
from bench.runtime.environment import OFFLINE, is_enabled, user_cache
from tests.helpers import ROOT


@pytest.mark.parametrize("value", ["1", "true", "YES", " on "])
def test_true_values_enable_a_switch(monkeypatch, value):
    monkeypatch.setenv(OFFLINE, value)
    assert is_enabled(OFFLINE)


@pytest.mark.parametrize("value", [None, "", "0", "False", "no", "OFF"])
def test_false_values_disable_a_switch(monkeypatch, value):
    monkeypatch.delenv(OFFLINE, raising=False)
    if value is not None:
        monkeypatch.setenv(OFFLINE, value)
    assert not is_enabled(OFFLINE)


def test_an_unknown_value_is_refused_before_a_command_runs(monkeypatch, capsys):
    monkeypatch.setenv(OFFLINE, "offline")
    with pytest.raises(
        InputError, match=r"SLIM_BENCH_OFFLINE=offline: use 1, true, yes, on to enable it, or 0, false, no, off"
    ):
        is_enabled(OFFLINE)
    assert main(["plan"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "SLIM_BENCH_OFFLINE=offline" in captured.err


def test_an_empty_variable_is_ignored(monkeypatch):
    """An empty value would otherwise mean the current folder."""
    monkeypatch.setenv("SLIM_BENCH_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder().parts[-2:] == ("results", "cache")
    assert user_cache() == Path("~/.cache").expanduser()


def test_a_tilde_in_a_variable_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SLIM_BENCH_CACHE", "~/features")
    assert cache_folder() == tmp_path / "features"


def test_weights_are_searched_in_the_users_cache_folder(monkeypatch, tmp_path):
    entry = Weights(title="t", file="w.pth", sha256="0" * 64, licence="none", used_by="a test")
    monkeypatch.delenv("SLIM_BENCH_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert find_weights_file(entry, tmp_path) is None
    path = tmp_path / "caches/slim-bench/weights/w.pth"
    path.parent.mkdir(parents=True)
    path.touch()
    assert find_weights_file(entry, tmp_path) == path


@pytest.mark.parametrize("home", ["/proc/nohome", "/dev/null"])
def test_caches_are_in_the_project_if_the_home_is_read_only(home):
    assert cache_home(HOME=home) == str(ROOT / "build/cache")


def test_a_writable_home_and_a_given_cache_folder_are_used(tmp_path):
    assert cache_home(HOME=str(tmp_path)) == "None"
    assert cache_home(HOME="/dev/null", XDG_CACHE_HOME="/given") == "/given"


def test_a_numeric_user_gets_a_name_and_a_home(monkeypatch):
    """`docker run --user 12345` provides neither."""

    def unknown(_):
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")  # so that all variables are restored at the end
        monkeypatch.delenv(name)
    monkeypatch.setenv("MPLCONFIGDIR", "given")
    caches.set_cache_home()
    assert os.environ["HOME"] == os.environ["XDG_CACHE_HOME"] == str(ROOT / "build/cache")
    assert os.environ["LOGNAME"] == str(os.getuid())


def cache_home(**environment: str) -> str:
    """Return the XDG_CACHE_HOME that a new process sets for programs in .venv."""
    env = {key: value for key, value in os.environ.items() if key != "XDG_CACHE_HOME"} | {"PYTHONPATH": str(ROOT)}
    code = "import os, bench.caches; print(os.environ.get('XDG_CACHE_HOME'))"
    done = subprocess.run([sys.executable, "-c", code], env=env | environment, capture_output=True, text=True)
    return done.stdout.strip()
