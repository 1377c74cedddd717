"""Finds and parses modules without importing them, because planning must load neither torch nor user code."""

import ast
import importlib.util
import sys
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path


def add_search_path(folder: Path) -> None:
    """Add `folder` to the module search path, after installed packages."""
    path = str(Path(folder).resolve())
    if path not in sys.path:
        sys.path.append(path)


def find_source(module: str) -> Path | None:
    """Return the source file of a module or package by its dotted name; None if it has no Python source.

    Unlike `importlib.util.find_spec`, this function does not import parent packages.
    """
    first, *parts = module.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except ValueError:  # for __main__ and for an empty name
        return None
    name = first
    for part in parts:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, spec.submodule_search_locations)
    found = spec.origin if spec is not None else None
    return Path(found) if found and found.endswith(".py") else None


@cache
def parse_source(path: Path) -> ast.Module:
    """Return the syntax tree of a file. Raises SyntaxError if it is not Python."""
    return ast.parse(path.read_bytes(), str(path))


def absolute_name(module: str, path: Path, node: ast.ImportFrom) -> str:
    """Return the absolute name of the module that `node`, an import in `module` with file `path`, imports from."""
    if not node.level:
        return node.module or ""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    above = package[: len(package) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])
