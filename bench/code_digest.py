"""Digest of the code that makes an artefact: its syntax trees, so comments, docstrings and layout do not count.

The modules are found by following imports from where the work starts, without importing anything. Networks are
reached through the registry's strings, so a digest that covers them starts from their modules too. A network from
outside this repository counts with all that it imports of its own package. The files of a package's templates/ count
whole.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from bench.files import sha256_bytes, sha256_file
from bench.source import absolute_name, find_source, tree

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("slim", "baselines", "bench")


@cache
def code_digest(*starts: str, root: Path = ROOT) -> str:
    """sha256 over the modules reachable from `starts` (dotted names); without any, over all of the three packages."""
    if starts:
        found = _reachable(starts, root)
    else:
        files = [path for package in PACKAGES for path in (root / package).rglob("*.py")]
        found = {
            ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in files
        }
    paths = dict(sorted(found.items()))
    parts = [f"{name}\n{_fingerprint(path)}" for name, path in paths.items()]
    for package in [path.parent for path in paths.values() if path.name == "__init__.py"]:
        # what a package writes its pages from: text that acts, and no module
        templates = [file for file in sorted(package.glob("templates/*")) if file.is_file()]
        parts += [f"{file.name}\n{sha256_file(file)}" for file in templates]
    return sha256_bytes("\n".join(parts).encode())


def module_path(name: str, root: Path = ROOT) -> Path | None:
    """The file of a first-party module or package; None for anything else."""
    if name.split(".")[0] not in PACKAGES:
        return None
    path = root.joinpath(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _reachable(starts: tuple[str, ...], root: Path) -> dict[str, Path]:
    """Name -> file of the modules of this repository, and of the packages of those `starts` that are not its own."""
    outside = {start.partition(".")[0] for start in starts} - set(PACKAGES)
    found: dict[str, Path] = {}
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        path = find_source(name) if name.partition(".")[0] in outside else module_path(name, root)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += [*_imports(name, path), name.rpartition(".")[0]]  # a package's __init__ runs before its modules
    return found


@cache
def _imports(module: str, path: Path) -> tuple[str, ...]:
    """Dotted names a file imports, also inside functions; `from a import b` may mean the module a.b."""
    names: list[str] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = absolute_name(module, path, node)
            names += [source, *(f"{source}.{alias.name}" for alias in node.names)]
    return tuple(names)


@cache
def _fingerprint(path: Path) -> str:
    return sha256_bytes("\n".join(_lines(tree(path))).encode())


def _lines(node: ast.AST) -> Iterator[str]:
    """The tree in text that is equal on all Python versions: empty fields, which differ between them, are left out."""
    yield type(node).__name__
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            value = value if ast.get_docstring(node, clean=False) is None else value[1:]
        if value is None or value == []:
            continue
        yield f".{name}"
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                yield from _lines(item)
            else:
                yield repr(item)
    yield "end"
