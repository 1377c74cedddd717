"""The tiny suite, run for real once a test session, in a network namespace of its own; each test module has a copy."""

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
    """A prefix that cuts a command and all its children off any network, loopback included."""
    for prefix in NAMESPACES:
        try:
            done = subprocess.run([*prefix, "true"], capture_output=True)
        except FileNotFoundError:
            return None
        if done.returncode == 0:
            return prefix
    return None


def shared_run(folder: Path, make_project) -> subprocess.CompletedProcess:
    """`snakemake tiny` in `folder`/project; pytest's workers wait for the one that is at it."""
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / FINISHED).exists():
            shutil.rmtree(folder / "project", ignore_errors=True)
            result = _run_tiny(make_project(folder / "project"))
            (folder / FINISHED).write_text(json.dumps(vars(result)))
    return subprocess.CompletedProcess(**json.loads((folder / FINISHED).read_text()))


def _run_tiny(project) -> subprocess.CompletedProcess:
    prefix = no_network()
    if prefix is None:  # no reason to skip the longest way through the code
        warnings.warn("network namespaces are not permitted here: the run is only told to stay offline", stacklevel=1)
    else:
        probe = project.run(sys.executable, "-c", PROBE, prefix=prefix)
        assert "Network is unreachable" in probe.stderr
    command = (sys.executable, "-m", "snakemake", "tiny", "--cores", "2")
    result = project.run(*command, prefix=prefix or (), SLIM_BENCH_OFFLINE="1")
    assert result.returncode == 0, (result.stdout + result.stderr)[-8000:]
    return result


def session_folder(base: Path) -> Path:
    """The folder that all workers of a session see; `base` is the worker's own."""
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny"
