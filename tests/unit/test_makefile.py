"""`make` finds a Python that fits by itself, or says which one is needed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def make(tmp_path):
    """make(*arguments, python3=...): in a folder of its own, with programs that succeed or fail and no others."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy2(ROOT / name, tmp_path / name)

    def run(*arguments: str, **programs: bool) -> subprocess.CompletedProcess:
        (tmp_path / "bin").mkdir(exist_ok=True)
        for name, fits in programs.items():
            program = tmp_path / "bin" / name.replace("_", ".")
            line = f'exec {sys.executable} "$@"' if fits else "exit 1"
            program.write_text(f"#!/bin/sh\n{line}\n")
            program.chmod(0o755)
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHON", "MAKEFLAGS")}
        environment["PATH"] = str(tmp_path / "bin")
        command = [shutil.which("make"), "--no-print-directory", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def test_the_first_python_that_fits_is_taken(make):
    assert "python3.12 -m venv" in make("--dry-run", "setup", python3=False, python3_11=False, python3_12=True).stdout
    assert "python3.11 -m venv" in make("--dry-run", "setup", python3=True, python3_11=True, python3_12=True).stdout


@pytest.mark.parametrize(
    ("arguments", "named"), [([], "any of python3.11 python3.12 python3"), (["PYTHON=python3"], "python3")]
)
def test_without_one_it_says_what_is_needed(make, arguments, named):
    done = make("setup", *arguments, python3=False)
    assert done.returncode != 0
    assert f"Python 3.11 or 3.12 with venv is needed, not {named}: run make" in done.stderr
