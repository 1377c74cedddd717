"""Projects in which tests run the workflow."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.project import Project, copy_project
from tests.helpers.tiny_suite import session_folder, shared_run


@pytest.fixture(scope="session")
def project_copy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def fresh_copy(tmp_path: Path) -> Project:
    """Copy the project for a test that changes it."""
    return copy_project(tmp_path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, subprocess.CompletedProcess]:
    """Return this module's copy of a project in which the tiny suite has run, and the output of that run."""
    folder = session_folder(tmp_path_factory.getbasetemp())
    result = shared_run(folder, copy_project)
    target = tmp_path_factory.mktemp("tiny") / "project"
    shutil.copytree(folder / "project", target, symlinks=True)
    return Project(target), result
