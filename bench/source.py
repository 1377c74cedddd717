"""Modules as files, found and parsed without importing them: planning loads neither torch nor a user's code."""

import ast
import importlib.util
import sys
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path


def search_in(folder: Path) -> None:
    """Let modules be found in `folder` too, after everything that is installed."""
    place = str(Path(folder).resolve())
    if place not in sys.path:
        sys.path.append(place)


def find_source(module: str) -> Path | None:
    """The file of a module or package by its dotted name; None where there is none, or none of Python source.

    Packages around it are not imported, as `importlib.util.find_spec` would do.
    """
    first, *parts = module.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except ValueError:  # __main__, and an empty name
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
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file; SyntaxError where it is no Python."""
    return ast.parse(path.read_bytes(), str(path))


def absolute_name(module: str, path: Path, node: ast.ImportFrom) -> str:
    """Dotted name of the module that a `from ... import` in the file `path` of `module` names, relative ones too."""
    if not node.level:
        return node.module or ""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    above = package[: len(package) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])
