"""The only place that calls DVC."""

import os
import subprocess
import sys
from pathlib import Path

from bench.errors import InputError

SHIPPED = "shipped"
"""The remote inside the repository, asked by name: a checkout may have another default."""


def run_dvc(root: Path, command: str, *arguments: str) -> None:
    """`dvc COMMAND ARGUMENTS` in `root`: waits for DVC's lock, sends no analytics, never fails in silence."""
    line = [sys.executable, "-m", "dvc", "--wait-for-lock", command, *arguments]
    done = subprocess.run(
        line, cwd=root, env=os.environ | {"DVC_NO_ANALYTICS": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = [text[7:] for text in (done.stderr + done.stdout).splitlines() if text.startswith("ERROR")]
        reason = said[0] if said else f"failed with {done.returncode}: {done.stderr.strip()[-200:]}"
        raise InputError(f"dvc {command} {' '.join(arguments)}: {reason}")


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
