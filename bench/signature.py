"""Reads the arguments of a function or class from its source, so that planning validates them without torch.

    read_signature("slim.fastgan:generator").parameters["groups"] -> its type and its default

The reader resolves names through imports and aliases. For a function that another function returns
(`resnet50 = _imagenet(...)`), it reads the inner function. Types that YAML can represent are validated: int, float,
bool, str, None, Literal, tuple, list, dict, unions, and `Annotated[int, "> 0"]` with a limit as text. Other annotations
accept any value. `**options: Unpack[SomeTypedDict]` adds one argument per key, with the default of the function that
receives the options.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union

from pydantic import Field

from bench.errors import InputError, did_you_mean
from bench.source import absolute_name, find_source, parse_source

REQUIRED = ...
"""Marker of an argument without a default."""
BUILTIN_TYPES = {"float": float, "bool": bool, "str": str, "list": list, "tuple": tuple, "dict": dict, "None": None}
LIMITS = {">": "gt", ">=": "ge", "<": "lt", "<=": "le"}
INTEGER_BOUND = 2**53
"""Exclusive bound on the magnitude of integers. Larger integers are mistakes, and overflow in torch."""
MAX_DEPTH = 20


class Parameter(NamedTuple):
    """Type and default of an argument. `default` is None for an expression that only running the code can evaluate."""

    type: Any
    default: Any


@dataclass(frozen=True)
class Signature:
    """Arguments by name, in order. `takes_any`: whether any other keyword argument is accepted (an untyped `**`)."""

    parameters: dict[str, Parameter]
    takes_any: bool = False


class Scope(NamedTuple):
    """Module in which names are resolved, and the path of its source."""

    module: str
    path: Path


Found = tuple[Scope, ast.AST]


def read_signature(target: str) -> Signature:
    """Return the signature of `target` = "module:name". Raises InputError for a part that does not exist."""
    module, _, name = target.partition(":")
    scope = _scope(module)
    if scope is None:
        raise InputError(f"no module {module!r} in this folder or among the installed packages")
    try:
        found = _definition(scope, name)
        signature = _signature(*found) if found else None
    except SyntaxError as error:
        raise InputError(f"{error.filename}:{error.lineno}: {error.msg}") from None
    if found is None:
        nodes = _statements(parse_source(scope.path).body)
        names = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        raise InputError(f"{_relative_path(scope.path)} has no {name!r}{did_you_mean(name, names)}")
    if signature is None:
        raise InputError(
            f"{_relative_path(scope.path)}: {name!r} is not a function or class whose source defines its arguments"
        )
    return signature


def _relative_path(path: Path) -> str:
    cwd = Path.cwd()
    return str(path.relative_to(cwd) if path.is_relative_to(cwd) else path)


# ---- names -----------------------------------------------------------------------------------------------------------


def _scope(module: str) -> Scope | None:
    path = find_source(module)
    return None if path is None else Scope(module, path)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported, including those inside `if` and `try`."""
    for node in body:
        yield node
        for field in ("body", "orelse", "handlers", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield from _statements(getattr(node, field, []))


def _definition(scope: Scope, name: str, depth: int = 0) -> Found | None:
    """Return the definition of `name`, or its assigned expression, with the module that contains it."""
    found: Found | None = None
    for node in _statements(parse_source(scope.path).body):
        if isinstance(node, ast.ImportFrom):
            inner = [alias.name for alias in node.names if (alias.asname or alias.name) == name]
            source = _scope(absolute_name(*scope, node)) if inner and depth < MAX_DEPTH else None
            found = (source and _definition(source, inner[0], depth + 1)) or found
        elif name in _bound_names(node):
            assigned = isinstance(node, ast.Assign | ast.AnnAssign)
            found = scope, node.value if assigned and node.value else node
    return found


def _bound_names(node: ast.stmt) -> list[str | None]:
    """Return the names that a definition or an assignment binds."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [getattr(target, "id", None) for target in targets]


def _look_up(scope: Scope, node: ast.AST) -> Found | None:
    """Return the definition of a name, or of an attribute of a module."""
    if isinstance(node, ast.Name):
        return _definition(scope, node.id)
    module = _module(scope, node.value) if isinstance(node, ast.Attribute) else None
    source = _scope(module) if module else None
    return _definition(source, node.attr) if source else None


def _module(scope: Scope, node: ast.AST) -> str | None:
    """Return the dotted name of the module to which an expression refers."""
    if isinstance(node, ast.Attribute):
        above = _module(scope, node.value)
        return f"{above}.{node.attr}" if above else None
    for statement in _statements(parse_source(scope.path).body):
        names = statement.names if isinstance(statement, ast.Import | ast.ImportFrom) else []
        for alias in names:
            if isinstance(node, ast.Name) and (alias.asname or alias.name.split(".")[0]) == node.id:
                if isinstance(statement, ast.ImportFrom):
                    return f"{absolute_name(*scope, statement)}.{alias.name}"
                return alias.name if alias.asname else node.id
    return None


# ---- signatures ------------------------------------------------------------------------------------------------------


def _signature(scope: Scope, node: ast.AST, depth: int = 0) -> Signature | None:
    """Return the signature of a definition, or None if the source alone does not determine it."""
    if isinstance(node, ast.FunctionDef):
        return _of_function(scope, node, depth)
    if isinstance(node, ast.ClassDef):
        return _of_class(scope, node, depth)
    is_call = isinstance(node, ast.Call)
    found = _look_up(scope, node.func if is_call else node) if depth < MAX_DEPTH else None
    if found is None or not is_call:
        return found and _signature(*found, depth + 1)
    inner = _returned_function(found[1])
    return inner and _of_function(found[0], inner, depth + 1)


def _returned_function(node: ast.AST) -> ast.FunctionDef | None:
    """Return the inner function that a function returns, or None."""
    if not isinstance(node, ast.FunctionDef):
        return None
    inner = {child.name: child for child in node.body if isinstance(child, ast.FunctionDef)}
    returned = [getattr(child.value, "id", None) for child in node.body if isinstance(child, ast.Return)]
    return inner.get(returned[-1]) if returned else None


def _of_class(scope: Scope, node: ast.ClassDef, depth: int) -> Signature:
    """Return the signature of the constructor, or the signature of the first base class that defines one."""
    for child in node.body:
        if isinstance(child, ast.FunctionDef) and child.name == "__init__":
            signature = _of_function(scope, child, depth)
            own_names = list(signature.parameters)[1:]
            return Signature({name: signature.parameters[name] for name in own_names}, signature.takes_any)
    for base in node.bases if depth < MAX_DEPTH else []:
        found = _look_up(scope, base)
        if found and isinstance(found[1], ast.ClassDef):
            return _of_class(*found, depth + 1)
    return Signature({})


def _of_function(scope: Scope, node: ast.FunctionDef, depth: int) -> Signature:
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + given.defaults + given.kw_defaults
    parameters = {}
    for argument, default in zip([*positional, *given.kwonlyargs], defaults, strict=True):
        value = REQUIRED if default is None else _value(scope, default)
        parameters[argument.arg] = Parameter(_type(scope, argument.annotation), value)
    annotation = given.kwarg.annotation if given.kwarg else None
    if not (isinstance(annotation, ast.Subscript) and _last(annotation.value) == "Unpack"):
        return Signature(parameters, takes_any=given.kwarg is not None)
    options = _look_up(scope, annotation.slice)
    if options is None or not isinstance(options[1], ast.ClassDef):
        return Signature(parameters, takes_any=True)
    onward = _defaults_onward(scope, node, given.kwarg.arg, depth)
    for name, kind in _fields(*options).items():
        parameters[name] = Parameter(kind, onward.get(name))
    return Signature(parameters)


def _defaults_onward(scope: Scope, node: ast.FunctionDef, options: str, depth: int) -> dict[str, Any]:
    """Return the defaults of the function that receives `**options`."""
    for call in ast.walk(node):
        spread = call.keywords if isinstance(call, ast.Call) else []
        if any(keyword.arg is None and getattr(keyword.value, "id", None) == options for keyword in spread):
            found = _look_up(scope, call.func) if depth < MAX_DEPTH else None
            callee = _signature(*found, depth + 1) if found else None
            if callee is not None:
                return {name: parameter.default for name, parameter in callee.parameters.items()}
    return {}


def _fields(scope: Scope, node: ast.ClassDef) -> dict[str, Any]:
    """Return the keys of a TypedDict with their types, inherited keys first."""
    fields: dict[str, Any] = {}
    for base in node.bases:
        found = _look_up(scope, base)
        if found and isinstance(found[1], ast.ClassDef) and _last(base) != "TypedDict":
            fields |= _fields(*found)
    own = [child for child in node.body if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name)]
    return fields | {child.target.id: _type(scope, child.annotation) for child in own}


# ---- types and values ------------------------------------------------------------------------------------------------


def _last(node: ast.AST) -> str | None:
    """Return the last part of a dotted name, such as `Literal` for `typing.Literal`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)


def _value(scope: Scope, node: ast.AST) -> Any:
    """Return the value of a literal or of a module's constant, or None for any other expression."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        found = _look_up(scope, node)
        return _value(*found) if found and not isinstance(found[1], ast.FunctionDef | ast.ClassDef) else None


def _type(scope: Scope, node: ast.AST | None) -> Any:
    """Return the type of an annotation, or Any for an annotation that is not validated."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _type(scope, ast.parse(node.value, mode="eval").body)
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[_type(scope, node.left), _type(scope, node.right)]  # noqa: UP007 - | takes no types of Any
    if isinstance(node, ast.Subscript):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return _generic(scope, _last(node.value), parts)
    name = _last(node) if node is not None else None
    if name == "int":
        return Annotated[int, Field(gt=-INTEGER_BOUND, lt=INTEGER_BOUND)]
    if name in BUILTIN_TYPES:
        return BUILTIN_TYPES[name]
    found = _look_up(scope, node) if node is not None else None
    return _type(*found) if found and not isinstance(found[1], ast.FunctionDef | ast.ClassDef) else Any


def _generic(scope: Scope, name: str | None, parts: list[ast.expr]) -> Any:
    """Return the type `name[parts]`."""
    if name == "Literal":
        return Literal[tuple(_value(scope, part) for part in parts)]
    if name == "Annotated":
        return Annotated[_type(scope, parts[0]), Field(**_limits(scope, parts[1:]))]
    if name in ("Required", "NotRequired", "Final"):
        return _type(scope, parts[0])
    kinds = [... if getattr(part, "value", None) is ... else _type(scope, part) for part in parts]
    if name == "Optional":
        kinds.append(None)
    if name in ("Optional", "Union"):
        return Union[tuple(kinds)]  # noqa: UP007
    if name in ("tuple", "Tuple"):
        return tuple.__class_getitem__(tuple(kinds))
    if name in ("list", "List", "Sequence"):
        return list.__class_getitem__(kinds[0])
    return dict if name in ("dict", "Dict", "Mapping") else Any


def _limits(scope: Scope, marks: list[ast.expr]) -> dict[str, float]:
    """Convert limits such as `"> 0"` to pydantic's arguments, such as gt=0. Other annotations are ignored."""
    limits = {}
    for mark in marks:
        text = _value(scope, mark)
        for sign, number in re.findall(r"([<>]=?)\s*(-?[\d.]+)", text if isinstance(text, str) else ""):
            limits[LIMITS[sign]] = float(number) if "." in number else int(number)
    return limits
