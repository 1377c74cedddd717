"""Computes a digest of the code that produces an artefact, as a hash of syntax trees without comments and layout.

The digest also omits docstrings, and the strings that describe the constant or field above them. It covers the modules
that the caller names and all modules that they import, directly or indirectly. The import statements are read without
importing anything. The registry refers to networks by name, so the caller also names the modules of the networks. For
an external network, the digest covers all modules that are imported from the network's own package. The files in
templates/ of a package are hashed byte by byte.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from bench.files import sha256_bytes, sha256_file
from bench.source import absolute_name, find_source, parse_source

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("slim", "baselines", "bench")


@cache
def code_digest(*starts: str, root: Path = ROOT) -> str:
    """Return the sha256 of `starts` (dotted names) and all modules that they import, or of all PACKAGES by default."""
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
        # page templates are text files that contain code
        templates = [file for file in sorted(package.glob("templates/*")) if file.is_file()]
        parts += [f"{file.name}\n{sha256_file(file)}" for file in templates]
    return sha256_bytes("\n".join(parts).encode())


def module_path(name: str, root: Path = ROOT) -> Path | None:
    """Return the file of a module or package in PACKAGES, or None for any other name."""
    if name.split(".")[0] not in PACKAGES:
        return None
    path = root.joinpath(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _reachable(starts: tuple[str, ...], root: Path) -> dict[str, Path]:
    """Return name -> file of the modules reachable from `starts`, in PACKAGES and the packages of external `starts`."""
    outside = {start.partition(".")[0] for start in starts} - set(PACKAGES)
    found: dict[str, Path] = {}
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        path = find_source(name) if name.partition(".")[0] in outside else module_path(name, root)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += [*_imports(name, path), name.rpartition(".")[0]]  # the __init__ of a package runs before its modules
    return found


@cache
def _imports(module: str, path: Path) -> tuple[str, ...]:
    """Return the dotted names that a file imports, including a.b for `from a import b`, where b may be a module."""
    names: list[str] = []
    for node in ast.walk(parse_source(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = absolute_name(module, path, node)
            names += [source, *(f"{source}.{alias.name}" for alias in node.names)]
    return tuple(names)


@cache
def _fingerprint(path: Path) -> str:
    return sha256_bytes("\n".join(_lines(parse_source(path))).encode())


def _lines(node: ast.AST) -> Iterator[str]:
    """Yield a syntax tree as lines that are equal on all Python versions.

    Docstrings are omitted. Empty fields are omitted too, because they differ between Python versions.
    """
    yield type(node).__name__
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            value = [item for item in value if not _is_bare_string(item)]
        if value is None or value == []:
            continue
        yield f".{name}"
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                yield from _lines(item)
            else:
                yield repr(item)
    yield "end"


def _is_bare_string(node: object) -> bool:
    """Return whether the statement is only a string: a docstring, or the description below a constant or a field."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
