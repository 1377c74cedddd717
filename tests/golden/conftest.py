"""Option --golden-dir. `pytest tests/golden --golden-dir DIR` checks any folder of golden files."""

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden-dir", type=Path, default=None, help="folder of golden files (default: tests/golden/data)"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden_file" not in metafunc.fixturenames:
        return
    # the option is unknown if this file is loaded late, as in a run of the whole suite
    folder = metafunc.config.getoption("--golden-dir", default=None) or Path(__file__).parent / "data"
    files = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    metafunc.parametrize("golden_file", files or [None], ids=[path.name for path in files] or [f"{folder} is empty"])
