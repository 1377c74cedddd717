"""Settings shared by all tests that could affect their results, and an editable copy of the configuration."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT

# before torch is imported; one thread, so that parallel tests do not slow each other down
os.environ.setdefault("OMP_NUM_THREADS", "1")
# settings of the user, and variables of a git hook or of torchrun around the tests
for name in [name for name in os.environ if name.startswith("SLIM_BENCH_")]:
    del os.environ[name]
for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "WORLD_SIZE", "RANK", "LOCAL_RANK"):
    os.environ.pop(name, None)
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"  # servers of the tests


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with a copy of config/, for tests that change it."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path


@pytest.fixture
def edit(project: Path):
    """Return edit(file, old, new), which replaces the only occurrence of `old` in a file of the copied project."""

    def replace(file: str, old: str, new: str) -> None:
        path = project / "config" / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))

    return replace


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Seed the global generators, so that unseeded draws do not depend on earlier tests."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the workflow tests first. They take longest, and cores would be idle at the end otherwise."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)
