"""Provenance of an artefact: versions, commit, code digest and command. This module does not import torch."""

import os
import platform
import re
import shlex
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.code_digest import ROOT, code_digest
from bench.terminal import one_line

POINTERS = "data/sources/*.dvc"


def provenance(*modules: str) -> dict[str, Any]:
    """Return the fields of every model.json and score: versions, commit, dirty, code_sha256, command.

    `modules`: modules from which the code digest follows imports; if empty, the digest covers all code.
    """
    commit, dirty = git_state()
    return {
        "versions": versions(),
        "commit": commit,
        "dirty": dirty,
        "code_sha256": code_digest(*modules),
        "command": one_line(shlex.join(["slim-bench", *sys.argv[1:]])),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of Python and the numerical packages.

    If torch has been imported and has a GPU, the result also contains the GPU, CUDA and driver.
    """
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("torch", "torchvision", "numpy", "scipy", "slim-bench"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["cuda"] = torch.version.cuda
        found["gpu"] = torch.cuda.get_device_name()
        found["driver"] = _driver()
    return found


def machine() -> dict[str, Any]:
    """Return the operating system, the CPU with its number of cores, and the memory of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "os": platform.platform(),
        "cpu": f"{processor_name()}, {os.cpu_count()} cores",
        "memory": f"{memory / 2**30:.1f} GiB",
    }


def processor_name() -> str:
    """Return the model name of the CPU, or its architecture if the system does not report a name."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(\S.*)", info.read_text()) if info.exists() else None
    return found.group(1) if found else platform.processor() or platform.machine()


def slug(text: str) -> str:
    """Return `text` in a form valid in file names and protocol ids."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _driver() -> str | None:
    try:
        import pynvml

        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except Exception:  # the driver library may be unavailable; the record is written anyway
        return None


@cache
def git_state() -> tuple[str | None, bool | None]:
    """Return (commit, whether tracked files are modified) of this project; (None, None) without a repository.

    DVC pointers in data/sources are ignored, because `fetch` writes them. Every score records the hash of its data.
    """
    try:
        top, commit = _git("rev-parse", "--show-toplevel", "HEAD").split("\n")
        if not ROOT.samefile(top):  # this project was extracted from an archive into another repository
            return None, None
        return commit, bool(_git("status", "--porcelain", "--untracked-files=no", "--", ".", f":(exclude){POINTERS}"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    # git sets variables GIT_* in hooks
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30, env=environment)
    return done.stdout.strip()
