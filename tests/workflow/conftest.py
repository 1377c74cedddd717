"""A copy of the project as it stands, changes included, so that no test touches data or results of this folder."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TORCHLESS = "raise ImportError('planning must not import torch')\n"


@dataclass(frozen=True)
class Project:
    """`run` starts a program of the environment in the copy, which is also what it imports."""

    path: Path

    def run(self, *command: str, prefix: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTEST"))}
        env |= {"PYTHONPATH": str(self.path), "PYTHONUNBUFFERED": "1"} | environment
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        return subprocess.run([*prefix, *command], cwd=self.path, env=env, capture_output=True, text=True, timeout=1800)

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return self.run(sys.executable, "-m", "snakemake", *arguments, **environment)

    def plan_only(self, *arguments: str) -> subprocess.CompletedProcess:
        """A dry run in which importing torch fails."""
        return self.snakemake("--dry-run", *arguments, PYTHONPATH=f"{self.path / 'torchless'}:{self.path}")


def copy_project(target: Path) -> Project:
    """Tracked and new files of the working tree, as a repository of their own (DVC and provenance look for one)."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    git = ["git", "-C", str(target), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "copy"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    for name in ("torch", "torchvision"):
        (target / "torchless").mkdir(exist_ok=True)
        (target / "torchless" / f"{name}.py").write_text(TORCHLESS)
    return Project(target)


@pytest.fixture(scope="session")
def project_copy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def fresh_copy(tmp_path: Path) -> Project:
    """For a test that changes the project."""
    return copy_project(tmp_path)
