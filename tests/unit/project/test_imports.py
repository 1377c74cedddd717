"""Permitted imports: slim imports baselines, baselines and the core of slim need only torch, bench imports neither."""

import ast
from pathlib import Path

import pytest

from tests.helpers import ROOT

ALLOWED = {"slim": {"torch", "slim", "baselines"}, "baselines": {"torch", "torchvision", "baselines"}}
CORE = [f"slim/{name}.py" for name in ("skip", "same", "_branches", "_modulate", "_narrow_conv", "_spectral")]


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names.add(node.module)
    return names


def is_standard(name: str) -> bool:
    import sys

    return name.split(".")[0] in sys.stdlib_module_names


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_of_networks_import_only(package):
    for path in (ROOT / package).rglob("*.py"):
        outside = {n.split(".")[0] for n in imports(path) if not is_standard(n)} - ALLOWED[package]
        assert path.name == "timm_models.py" or not outside, f"{path.relative_to(ROOT)} imports {outside}"


@pytest.mark.parametrize("file", CORE)
def test_modules_import_only_torch(file):
    """Each module is short and imports only torch and other modules of this list."""
    own = {path.removesuffix(".py").replace("/", ".") for path in CORE}
    outside = {n for n in imports(ROOT / file) if not is_standard(n)} - own
    assert all(name.split(".")[0] == "torch" for name in outside), outside
    assert len((ROOT / file).read_text().splitlines()) < 200


def test_bench_refers_to_networks_by_name_only():
    for path in (ROOT / "bench").rglob("*.py"):
        known = {n for n in imports(path) if n.split(".")[0] in ("slim", "baselines")}
        assert not known, f"{path.relative_to(ROOT)} imports {known}"
