"""Shared by all tests: one thread, so that tests side by side do not slow each other, and a configuration to edit."""

import os
import shutil
from pathlib import Path

from tests.helpers import ROOT

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import pytest


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a copy of config/, for tests that change it."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path


@pytest.fixture
def edit(project: Path):
    """edit(file, old, new): replace the one occurrence of `old` in a file of the copied configuration."""

    def replace(file: str, old: str, new: str) -> None:
        path = project / "config" / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))

    return replace


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The workflow's tests are the longest: they start first, so that no core waits for them at the end."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)
