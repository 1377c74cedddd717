"""The only place that calls DVC."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import InputError
from bench.files import read_yaml

SHIPPED = "shipped"
"""The remote inside the repository, asked by name: a checkout may have another default."""


def run_dvc(root: Path, command: str, *arguments: str) -> None:
    """`dvc COMMAND ARGUMENTS` in `root`: waits for DVC's lock, sends no analytics, never fails in silence."""
    line = [sys.executable, "-m", "dvc", "--wait-for-lock", command, *arguments]
    with _settings(Path(root)) as settings:
        done = subprocess.run(
            line, cwd=root, env=os.environ | settings, capture_output=True, text=True, check=False, errors="replace"
        )
    if done.returncode != 0:
        said = [text[7:] for text in (done.stderr + done.stdout).splitlines() if text.startswith("ERROR")]
        reason = said[0] if said else f"failed with {done.returncode}: {done.stderr.strip()[-200:]}"
        raise InputError(f"dvc {command} {' '.join(arguments)}: {reason}")


@contextmanager
def _settings(root: Path) -> Iterator[dict[str, str]]:
    """Environment variables for DVC, which reads files in the home.

    Without git's folder (the repository unpacked from an archive) DVC must be told not to look for one: it would fail,
    or take a repository that contains this folder. It reads that from configuration files only. Those of the checkout
    belong to git and to the user, so the system-wide one is copied and extended.
    """
    found = {"DVC_NO_ANALYTICS": "1"}
    with tempfile.TemporaryDirectory(prefix="slim-bench-dvc-") as folder:
        if not os.path.isdir(os.path.expanduser("~")):
            found["HOME"] = folder
        if not (root / ".git").exists():
            from configobj import ConfigObj
            from dvc.dirs import system_config_dir

            config = ConfigObj(str(Path(system_config_dir()) / "config"), encoding="utf-8")
            config.setdefault("core", {})["no_scm"] = "true"
            config.filename = str(Path(folder) / "config")
            config.write()
            found["DVC_SYSTEM_CONFIG_DIR"] = folder
        yield found


def pointer_md5(pointer: Path) -> str | None:
    """The md5 that a .dvc file records for its one output; None where it records none, as an import may."""
    outputs = read_yaml(pointer).get("outs")
    if not isinstance(outputs, list) or len(outputs) != 1 or not isinstance(outputs[0], dict):
        raise InputError(f"{pointer}: outs: one output of DVC is expected; `git checkout {pointer}` restores the file")
    return outputs[0].get("md5")


def pulled(root: Path, path: Path) -> bool:
    """Whether a DVC remote of this checkout brought `path`: asked where the file is tracked, for a lab's own copies."""
    pointer = path.with_name(f"{path.name}.dvc")
    if not (root / pointer).exists():
        return False
    try:
        run_dvc(root, "pull", pointer.as_posix())
    except InputError:
        return False
    return (root / path).is_file()
