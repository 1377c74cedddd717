"""Arguments, types, limits and defaults of a callable are read from its source without importing it."""

import importlib
import inspect
import subprocess
import sys

import pytest

from bench.errors import InputError
from bench.registry import MODELS, arguments
from bench.schema import parse_strict
from bench.signature import REQUIRED, read_signature
from bench.source import add_search_path, find_source

MINE = """
raise RuntimeError("planning imports nothing")
import typing as t
from typing import Annotated, Literal, Optional, TypedDict, Unpack
from .kinds import Kind as Sort
from methods_pkg import kinds

WIDTH = 12
Share = Annotated[float, ">= 0, <= 1"]

class Options(TypedDict, total=False):
    depth: int
    share: Share

class Base:
    def __init__(self, *, low_channels: int, high_channels: int, scale: "float" = 1.0): ...

class Inherits(Base): ...

class Gate:
    def __init__(
        self, low_channels, high_channels, *, kind: Sort = "a", width: int = WIDTH, **options: Unpack[Options]
    ):
        inner(**options)

def inner(depth: int = -3, share: Share = 0.5): ...

def factory(size):
    def build(*, width: Optional[int] = None, blocks: tuple[int, ...] = (1, 2), more: t.Literal[True, 3] = 3): ...
    return build

made = factory(3)
other_name = made
by_module: object = kinds.helper
takes_any = None
def takes_any(x: list[int], y: set[int] = set(), **rest): ...
number = 3
"""
KINDS = 'from typing import Literal\nKind = Literal["a", "b"]\ndef helper(q: bool = False): ...\n'


@pytest.fixture(scope="module", autouse=True)
def methods_pkg(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    (folder / "methods_pkg").mkdir()
    for name, text in {"__init__": "", "mine": MINE, "kinds": KINDS, "broken": "def f(:\n"}.items():
        (folder / "methods_pkg" / f"{name}.py").write_text(text)
    add_search_path(folder)
    yield folder
    sys.path.remove(str(folder))


def defaults(name: str) -> dict[str, object]:
    return {key: value.default for key, value in read_signature(f"methods_pkg.mine:{name}").parameters.items()}


@pytest.mark.parametrize("name", MODELS)
def test_the_signature_equals_that_of_inspect(name):
    module, function = MODELS[name].target.split(":")
    called = inspect.signature(getattr(importlib.import_module(module), function)).parameters
    expected = {key: p.default for key, p in called.items() if p.kind is p.KEYWORD_ONLY}
    read = {key: value.default for key, value in read_signature(MODELS[name].target).parameters.items()}
    assert expected and expected.items() <= read.items()
    assert all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in called.values())


@pytest.mark.parametrize("name", ["fastgan-slim", "singan-slim"])
def test_forwarded_options_have_the_defaults_of_skip_layer_slim(name):
    from slim import SkipLayerSLIM
    from slim.options import SlimOptions

    own = inspect.signature(SkipLayerSLIM).parameters
    read = read_signature(MODELS[name].target).parameters
    assert SlimOptions.__annotations__.keys() <= read.keys()
    assert all(read[key].default == own[key].default for key in SlimOptions.__annotations__)


def test_functions_classes_and_aliases_are_resolved():
    assert defaults("Inherits") == {"low_channels": REQUIRED, "high_channels": REQUIRED, "scale": 1.0}
    gate = {"low_channels": REQUIRED, "high_channels": REQUIRED, "kind": "a", "width": 12, "depth": -3, "share": 0.5}
    assert defaults("Gate") == gate
    assert defaults("made") == defaults("other_name") == {"width": None, "blocks": (1, 2), "more": 3}
    assert defaults("by_module") == {"q": False}
    assert read_signature("methods_pkg.mine:takes_any").takes_any
    assert not read_signature("methods_pkg.mine:Gate").takes_any


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "c"}, "kind: Input should be 'a' or 'b'"),
        ({"width": 1.5}, "width: .*integer"),
        ({"width": 10**30}, "width: .*less than"),
        ({"share": 1.5}, "share: .*less than or equal to 1"),
        ({"share": -1}, "share: .*greater than or equal to 0"),
        ({"widht": 3}, r"widht: .*\(did you mean 'width'\?\)"),
        ({"low_channels": 3}, "low_channels: "),
    ],
)
def test_values_are_checked_before_anything_is_imported(given, message):
    with pytest.raises(InputError, match=f"^where: {message}") as caught:
        parse_strict(arguments("methods_pkg.mine:Gate"), given, "where")
    assert "\n" not in str(caught.value)


def test_valid_values_are_accepted():
    given = {"kind": "b", "width": 3, "depth": 2, "share": 1, "base_channels": 8}
    parsed = parse_strict(arguments("methods_pkg.mine:Gate"), given, "where")
    assert {name: getattr(parsed, name) for name in given} == given
    made = parse_strict(arguments("methods_pkg.mine:made"), {"blocks": [3, 4], "width": None, "more": True}, "where")
    assert made.blocks == (3, 4) and made.more is True


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("methods_pkg.nowhere:Gate", "no module 'methods_pkg.nowhere' in this folder"),
        ("methods_pkg.mine:Gat", r"mine.py has no 'Gat' \(did you mean 'Gate'\?\)"),
        ("methods_pkg.mine:number", "mine.py: 'number' is not a function or class"),
        ("methods_pkg.broken:f", "broken.py:1: invalid syntax"),
    ],
)
def test_an_unknown_target_gives_a_one_line_error(target, message):
    with pytest.raises(InputError, match=message) as caught:
        read_signature(target)
    assert "\n" not in str(caught.value)


def test_a_source_is_found_without_importing_its_package(methods_pkg):
    assert find_source("methods_pkg.mine") == methods_pkg / "methods_pkg/mine.py"
    assert find_source("methods_pkg") == methods_pkg / "methods_pkg/__init__.py"
    assert find_source("math") is None and find_source("no_such_package.x") is None
    code = (
        "from bench.registry import MODELS, arguments; import sys; "
        "[arguments(name) for name in MODELS]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
