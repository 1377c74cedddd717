"""Runs the tiny suite once per test session in a separate network namespace. Each test module gets a copy."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

from filelock import FileLock

NAMESPACES = (("unshare", "--net"), ("unshare", "--user", "--map-root-user", "--net"))
PROBE = "import socket; socket.create_connection(('127.0.0.1', 9), timeout=1)"
FINISHED = "finished.json"


def no_network() -> tuple[str, ...] | None:
    """Return a command prefix that disables all networks, including loopback, for a command and its children."""
    for prefix in NAMESPACES:
        try:
            done = subprocess.run([*prefix, "true"], capture_output=True)
        except FileNotFoundError:
            return None
        if done.returncode == 0:
            return prefix
    return None


def shared_run(folder: Path, make_project) -> subprocess.CompletedProcess:
    """Run `snakemake tiny` in `folder`/project. Other pytest workers wait for the one that runs it."""
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / FINISHED).exists():
            shutil.rmtree(folder / "project", ignore_errors=True)
            result = _run_tiny(make_project(folder / "project"))
            (folder / FINISHED).write_text(json.dumps(vars(result)))
    return subprocess.CompletedProcess(**json.loads((folder / FINISHED).read_text()))


def _run_tiny(project) -> subprocess.CompletedProcess:
    prefix = no_network()
    if prefix is None:  # the run is not skipped, because it covers most of the code
        warnings.warn("network namespaces are not permitted; only the offline switch applies", stacklevel=1)
    else:
        probe = project.run(sys.executable, "-c", PROBE, prefix=prefix)
        assert "Network is unreachable" in probe.stderr
    command = (sys.executable, "-m", "snakemake", "tiny", "--cores", "2")
    result = project.run(*command, prefix=prefix or (), SLIM_BENCH_OFFLINE="1")
    assert result.returncode == 0, (result.stdout + result.stderr)[-8000:]
    return result


def session_folder(base: Path) -> Path:
    """Return the folder that all workers of a session share. `base` is the worker's folder."""
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny"
