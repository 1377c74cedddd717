"""Names of classes and functions of bench are unique."""

import ast
from collections import defaultdict
from pathlib import Path

from tests.helpers import ROOT


def definitions(path: Path) -> list[str]:
    """Return the public classes and functions at the top level of a module."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, kinds)]
    return [name for name in found if not name.startswith("_")]


def test_a_name_is_defined_in_one_module():
    """Exceptions are command handlers, named after their command, and functions in `__init__.py` with late imports."""
    places = defaultdict(list)
    for path in sorted((ROOT / "bench").rglob("*.py")):
        if path.parent.name != "commands" and path.name != "__init__.py":
            for name in definitions(path):
                places[name].append(path.relative_to(ROOT).as_posix())
    assert len(places) > 300
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
