"""`make` finds a suitable Python or names the needed version. It removes only environments that it created."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT

NEEDED = ("Makefile", "requirements.lock", "pyproject.toml", "tools/find_python.sh", "tools/setup.sh")
PROGRAMS = (
    "bash",
    "sh",
    "awk",
    "cat",
    "chmod",
    "find",
    "ls",
    "mkdir",
    "nproc",
    "rm",
    "rmdir",
    "sha256sum",
    "tail",
    "touch",
    "uname",
)
OLD = "echo Python 3.10.13 >&2; exit 1"
# creates an environment with stubs that only record their calls
FITS = """\
case "$1" in
    -c) echo "$0" ;;
    -m) mkdir -p "$3/bin" "$3/lib/python3.11/site-packages"; echo made >> made
        printf '#!/bin/sh\\n[ "$1" != -c ] || echo %s\\n' "$0" > "$3/bin/python"
        printf '#!/bin/sh\\n%s\\n' "$INSTALL" > "$3/bin/uv"
        chmod +x "$3/bin/python" "$3/bin/uv" ;;
esac"""


class Folder:
    """Copy of the files that `make setup` reads, with stubs of Python as the only programs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in NEEDED:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
        self.programs = path / "programs"
        self.programs.mkdir()
        for name in PROGRAMS:
            (self.programs / name).symlink_to(shutil.which(name))

    def program(self, name: str, script: str) -> Path:
        path = self.programs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        removed = ("PYTHON", "MAKEFLAGS", "PYENV_ROOT", "XDG_CACHE_HOME")
        env = {key: value for key, value in os.environ.items() if key not in removed}
        env |= {"PATH": str(self.programs), "HOME": str(self.path), "INSTALL": "exit 0"} | environment
        command = [shutil.which("make"), "--no-print-directory", *arguments]
        return subprocess.run(command, cwd=self.path, env=env, capture_output=True, text=True)

    def made(self) -> int:
        """Return the number of environments created so far."""
        path = self.path / "made"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def find(self, *versions: str, **environment: str) -> subprocess.CompletedProcess:
        env = {"PATH": str(self.programs), "HOME": str(self.path)} | environment
        return subprocess.run([self.path / "tools/find_python.sh", *versions], env=env, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "a folder")


def test_the_first_python_that_works_is_taken(folder):
    folder.program("python3.11", "exit 127")  # a shim of a version that is not selected
    last = folder.program("python3", FITS)
    assert folder.find("3.11", "3.12").stdout.strip() == str(last)
    wanted = folder.program("python3.12", FITS)
    assert folder.find("3.11", "3.12").stdout.strip() == str(wanted)


def test_a_python_of_pyenv_is_found_if_its_shim_fails(folder):
    folder.program("python3.12", "exit 127")
    kept = folder.program("../pyenv/versions/3.12.1/bin/python3.12", FITS)
    assert Path(folder.find("3.12", PYENV_ROOT=str(folder.path / "pyenv")).stdout.strip()).samefile(kept)


def test_an_active_environment_is_not_used_to_create_the_environment(folder, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "active"], check=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = folder.find(version, PYTHON=str(tmp_path / "active/bin/python")).stdout.strip()
    assert found and not Path(found).is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "none was found (python3 is Python 3.10.13)"),
        (["PYTHON=python3"], "PYTHON=python3 is Python 3.10.13"),
        (["PYTHON=nope"], "PYTHON=nope does not run"),
    ],
)
def test_the_error_names_the_required_version(folder, arguments, message):
    folder.program("python3", OLD)
    done = folder.make("setup", *arguments)
    assert done.returncode != 0
    first = done.stderr.splitlines()[0]
    remedy = "set PYTHON to the path of a supported Python"
    assert first == f"Python 3.11, 3.12 or 3.13 with venv is needed, but {message}; {remedy}"


def test_this_python_is_refused_if_another_version_is_required(folder):
    version = ".".join(map(str, sys.version_info[:3]))
    done = folder.find("3.10", "3.14", PYTHON=sys.executable)
    assert done.returncode == 1
    assert f"Python 3.10 or 3.14 with venv is needed, but PYTHON={sys.executable} is Python {version}" in done.stderr


def test_set_up_depends_on_content_and_path_not_time(folder):
    folder.program("python3", FITS)
    assert folder.make("setup").returncode == 0 and folder.made() == 1
    os.utime(folder.path / "requirements.lock", (2**32, 2**32))
    os.utime(folder.path / ".venv/.installed", (0, 0))
    folder.make("setup")
    assert folder.made() == 1
    (folder.path / "requirements.lock").open("a").write("# another\n")
    folder.make("setup")
    assert folder.made() == 2
    (folder.path / ".venv/bin/python").unlink()
    folder.make("setup")
    assert folder.made() == 3
    (folder.path / "made").unlink()
    moved = folder.path.rename(folder.path.with_name("renamed"))
    folder.path, folder.programs = moved, moved / "programs"
    folder.make("setup")
    assert folder.made() == 1


def test_set_up_resumes_after_a_failure_and_replaces_older_environments(folder):
    folder.program("python3", FITS)
    assert folder.make("setup", INSTALL="exit 1").returncode != 0
    assert not (folder.path / ".venv/.installed").exists()
    assert folder.make("setup").returncode == 0
    assert (folder.path / ".venv/.installed").exists()
    (folder.path / ".venv/.slim-bench").unlink()
    (folder.path / ".venv/.installed").write_text("")
    (folder.path / ".venv/left").touch()
    assert folder.make("setup").returncode == 0
    assert not (folder.path / ".venv/left").exists()


def test_naming_another_python_recreates_the_environment(folder):
    folder.program("python3.11", FITS)
    other = folder.program("python3.12", FITS)
    folder.make("setup")
    folder.make("setup", f"PYTHON={other}")
    assert folder.made() == 2
    folder.make("setup", f"PYTHON={other}")
    assert folder.made() == 2


@pytest.mark.parametrize("form", ["folder", "file", "link"])
def test_an_environment_of_the_user_is_neither_cleared_nor_removed(folder, form):
    folder.program("python3", FITS)
    venv, kept = folder.path / ".venv", folder.path / "kept"
    kept.mkdir()
    (kept / "thesis.txt").write_text("all of it")
    if form == "folder":
        kept.rename(venv)
    elif form == "file":
        venv.write_text("a name for pipenv")
    else:
        venv.symlink_to(kept)
    for target in ("setup", "clean"):
        done = folder.make(target)
        assert target == "clean" or (done.returncode != 0 and folder.made() == 0)
        assert target == "clean" or ".venv was not created by `make setup`; move it to another folder" in done.stderr
    if form == "file":
        assert venv.read_text() == "a name for pipenv"
    else:
        assert (venv / "thesis.txt").read_text() == "all of it"


def test_clean_removes_only_outputs_of_make(folder):
    folder.program("python3", FITS)
    folder.make("setup")
    for name in ("build/test-scipy/bin/python", "build/mine.txt", "other.egg-info/PKG-INFO"):
        (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / name).touch()
    assert folder.make("clean").returncode == 0
    left = {path.name for path in folder.path.iterdir()}
    assert ".venv" not in left and not (folder.path / "build/test-scipy").exists()
    assert (folder.path / "build/mine.txt").exists() and (folder.path / "other.egg-info/PKG-INFO").exists()


def test_programs_of_the_environment_set_their_cache_first(folder):
    folder.program("python3", FITS)
    folder.make("setup")
    (first,) = (folder.path / ".venv/lib").rglob("*.pth")
    code = f"exec(open({str(first)!r}).read()); import os; print(os.environ['XDG_CACHE_HOME'])"
    command = [sys.executable, "-S", "-c", code]
    env = {"HOME": "/dev/null", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.stdout.strip() == str(ROOT / "build/cache")
    moved = subprocess.run(command, env={"HOME": "/dev/null"}, cwd=folder.path, capture_output=True, text=True)
    assert moved.stderr.strip().endswith("KeyError: 'XDG_CACHE_HOME'")


@pytest.mark.parametrize("code", [0, 2])
def test_the_demo_ends_with_the_summary_and_the_page(folder, code):
    """Without a reference file, `slim-bench verify` ends with an error, but the demo does not."""
    folder.program("python3", FITS)
    folder.make("setup")
    folder.program("../.venv/bin/snakemake", "exit ${SNAKEMAKE_CODE:-0}")
    folder.program("../.venv/bin/slim-bench", f"echo score; echo summary of $*; echo why >&2; exit {code}")
    done = folder.make("demo")
    assert done.returncode == 0, done.stderr
    page = "report: results/demo/report/index.html"
    assert done.stdout.splitlines()[-2:] == ["summary of verify --scale demo", page] and "score\n" not in done.stdout
    failed = folder.make("demo", SNAKEMAKE_CODE="1")
    assert failed.returncode != 0 and page not in failed.stdout


@pytest.mark.parametrize("home", ["/proc/nohome", "/dev/null", ""])
def test_caches_are_in_build_without_a_home(folder, home):
    folder.program("python3", FITS)
    done = folder.make("setup", HOME=home, INSTALL="echo cache: $XDG_CACHE_HOME")
    assert done.returncode == 0, done.stderr
    assert f"cache: {folder.path / 'build/cache'}" in done.stdout


def test_the_package_and_the_makefile_name_the_same_versions():
    versions = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("VERSIONS := "))
    named = versions.removeprefix("VERSIONS := ").split()
    project = (ROOT / "pyproject.toml").read_text()
    assert project.count("Programming Language :: Python :: ") == len(named)
    assert all(f"Programming Language :: Python :: {version}" in project for version in named)
    after = f"3.{int(named[-1].split('.')[1]) + 1}"
    assert f'requires-python = ">={named[0]},<{after}"' in project


def test_the_number_of_jobs_is_that_of_the_processors_under_any_omp_num_threads():
    commands = [
        subprocess.run(
            ["make", "--dry-run", "demo"],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "977")
    ]
    assert commands[0] == commands[1] and "--cores" in commands[0]


def torch_calls(folder: Folder) -> list[str]:
    """Return the installing calls of uv, recorded by the stub."""
    return (folder.path / "calls").read_text().splitlines()


RECORD = 'echo "$@" >> calls'


def test_the_cpu_build_of_torch_replaces_torch_and_cuda(folder):
    folder.program("python3", FITS)
    assert folder.make("setup", "TORCH_BACKEND=cpu", INSTALL=RECORD).returncode == 0
    others, builds, project = torch_calls(folder)
    assert "--require-hashes --no-deps -r .venv/others.lock" in others and "--editable ." in project
    assert re.search(r"--no-deps --torch-backend cpu torch==[\d.]+ torchvision==[\d.]+$", builds)
    left = re.findall(r"^([a-z0-9-]+)==", (folder.path / ".venv/others.lock").read_text(), re.MULTILINE)
    whole = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    removed = set(whole) - set(left)
    assert {"torch", "torchvision", "triton"} < removed and {"nvidia-ml-py", "torchmetrics", "numpy"} <= set(left)
    assert all(name.startswith(("torch", "triton", "cuda-", "nvidia-")) for name in removed)


def test_the_torch_build_is_kept_until_another_is_selected(folder):
    folder.program("python3", FITS)
    for arguments, made in ((["TORCH_BACKEND=cpu"], 1), ([], 1), (["TORCH_BACKEND=cuda"], 2), ([], 2)):
        assert folder.make("setup", *arguments).returncode == 0
        assert folder.made() == made
    done = folder.make("setup", "TORCH_BACKEND=rocm")
    assert done.returncode != 0 and "TORCH_BACKEND=rocm: must be cpu" in done.stderr


def test_the_torch_build_is_kept_after_a_failure(folder):
    folder.program("python3", FITS)
    assert folder.make("setup", "TORCH_BACKEND=cpu", INSTALL="exit 1").returncode != 0
    assert folder.make("setup", INSTALL=RECORD).returncode == 0
    assert "--torch-backend cpu" in torch_calls(folder)[1]


def test_an_untested_platform_is_named(folder):
    folder.program("python3", FITS)
    (folder.programs / "uname").unlink()
    folder.program("uname", "echo Darwin arm64")
    assert "tested on Linux x86_64 only, and not on Darwin arm64" in folder.make("setup").stdout
