"""A copy of the project with uncommitted changes, so that tests do not touch its data and results."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from tests.helpers import ROOT

TORCHLESS = "raise ImportError('planning must not import torch')\n"


@dataclass(frozen=True)
class Project:
    """Copy of the project. `run` starts a program of the environment in it with the code of the copy."""

    path: Path

    def run(self, *command: str, prefix: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTEST"))}
        env |= {"PYTHONPATH": str(self.path), "PYTHONUNBUFFERED": "1"} | environment
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        return subprocess.run([*prefix, *command], cwd=self.path, env=env, capture_output=True, text=True, timeout=1800)

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return self.run(sys.executable, "-m", "snakemake", *arguments, **environment)

    def plan_only(self, *arguments: str) -> subprocess.CompletedProcess:
        """Do a dry run in which importing torch fails."""
        return self.snakemake("--dry-run", *arguments, PYTHONPATH=f"{self.path / 'torchless'}:{self.path}")


def own_files(folder: Path) -> Iterator[Path]:
    """Return the files of the working tree that git would list, without git, because the project may be an archive."""
    ignored: dict[Path, GitIgnoreSpec] = {}
    for place, folders, files in os.walk(folder):
        current = Path(place)
        if (current / ".gitignore").exists():
            ignored[current] = GitIgnoreSpec.from_lines((current / ".gitignore").read_text().splitlines())
        specs = [(top, ignored[top]) for top in (current, *current.parents) if top in ignored]

        def kept(path: Path, end: str = "", specs: list = specs) -> bool:
            """Return whether the path is not ignored. The nearest .gitignore takes precedence."""
            decisions = [spec.check_file(f"{path.relative_to(top)}{end}").include for top, spec in specs]
            return next((not found for found in decisions if found is not None), True)

        folders[:] = [name for name in folders if name != ".git" and kept(current / name, "/")]
        yield from (current / name for name in files if kept(current / name))


def make_repository(folder: Path) -> None:
    """Commit all files in `folder` to a new repository."""
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    nobodys = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}  # no hooks, no signature
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "copy"]):
        subprocess.run([*git, *command], env=nobodys, check=True, capture_output=True)


def copy_files(target: Path) -> Project:
    """Copy tracked and new files of the working tree."""
    for path in own_files(ROOT):
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    return Project(target)


def copy_project(target: Path) -> Project:
    """Copy the project with a torch that cannot be imported, and make it a repository if git is installed."""
    copy_files(target)
    if shutil.which("git"):
        make_repository(target)
    for name in ("torch", "torchvision"):
        (target / "torchless").mkdir(exist_ok=True)
        (target / "torchless" / f"{name}.py").write_text(TORCHLESS)
    return Project(target)
