"""Reading and writing files: nothing half-written is ever taken for finished, every fault of a reader is one line."""

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import yaml

from bench.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

SOFTWARE = "slim-bench"
"""The text chunk `Software` of every PNG written here, by which it is recognised later."""
LONGEST_INTEGER = 1000
"""Digits of an integer in a file that is read; no field of ours takes more than 16."""
TEMPORARY = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.part")
"""Name of a file that `atomic_file` has not finished."""


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; on a clean exit flush, fsync, rename onto `path`, fsync the folder."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename) from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # the name that was asked for
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp makes it private; a lab shares its results
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Have a file's or folder's content on disk before anything is said of it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_png(path: Path, image: "Image") -> None:
    from PIL.PngImagePlugin import PngInfo

    mark = PngInfo()
    mark.add_text("Software", SOFTWARE)
    with atomic_file(path) as file:
        image.save(file, "PNG", pnginfo=mark)


def check_regular(path: Path) -> None:
    """InputError unless `path` is a regular file: to open a pipe waits for ever, a device has no end."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: {os.strerror(errno.EISDIR)}")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: not a regular file but a pipe, socket or device; copy its content into a file")


def read_text(path: Path) -> str:
    """Text of a file that users edit: UTF-8, with or without a byte order mark; any fault is one line naming it."""
    check_regular(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if "\0" in text:  # UTF-16 without a mark is valid UTF-8
        raise InputError(f"{path}: not UTF-8 text; save it in the encoding UTF-8")
    return text


def write_text(path: Path, text: str) -> None:
    with atomic_file(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Indented, keys as given, NaN refused (JSON has none)."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    check_regular(path)
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hash of the canonical JSON form: sorted keys, no spaces."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())


def read_json(path: Path) -> Any:
    """The value in a JSON file; any fault is one line that names the file."""
    return parse_json(read_text(path), path)


def read_mapping(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none: no file, cut off by a full disk, something else."""
    try:
        value = read_json(path)
    except InputError:
        return {}
    return value if isinstance(value, dict) else {}


def parse_json(text: str, source: Path | str) -> Any:
    """The value of `text`; a key given twice, like any fault, is one line that begins with `source`."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_int=_integer)
    except _RefusedError as error:
        raise InputError(f"{source}: {error}") from None
    except RecursionError:
        raise InputError(f"{source}: nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{source}: not JSON ({' '.join(str(error).split())})") from None


class _RefusedError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _RefusedError(f"key {next(key for key in keys if keys.count(key) > 1)!r} given twice; remove one")
    return found


def _integer(text: str) -> int:
    if len(text) > LONGEST_INTEGER:  # Python's own limit raises as well, but with advice for programmers
        raise _RefusedError(f"an integer of {len(text)} digits")
    return int(text)


class _YamlLoader(yaml.SafeLoader):
    """YAML 1.1 with these departures: keys are words and unique, 1e-4 is a number, integers are not endless."""


def _mapping(loader: _YamlLoader, node: yaml.MappingNode) -> dict[str, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.tag not in (yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG, "tag:yaml.org,2002:merge"):
            told = f"key {key.value!r}" if isinstance(key, yaml.ScalarNode) else "a key"
            fault = f"{told} is not a word; put it in quotes"
            raise yaml.constructor.ConstructorError(None, None, fault, key.start_mark)
        if key.value in seen:
            fault = f"key {key.value!r} given twice; remove one"
            raise yaml.constructor.ConstructorError(None, None, fault, key.start_mark)
        seen.add(key.value)
    loader.flatten_mapping(node)  # what `<<` brings comes first: own keys win
    return {loader.construct_object(key): loader.construct_object(value, deep=True) for key, value in node.value}


def _yaml_integer(loader: _YamlLoader, node: yaml.ScalarNode) -> int:
    if len(node.value) > LONGEST_INTEGER:
        fault = f"an integer of {len(node.value)} digits"
        raise yaml.constructor.ConstructorError(None, None, fault, node.start_mark)
    return loader.construct_yaml_int(node)


_YamlLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_YamlLoader.add_constructor("tag:yaml.org,2002:int", _yaml_integer)
_YamlLoader.add_implicit_resolver(  # 1e-4 is a number, as in YAML 1.2, not a string
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, {} of an empty file; any fault is one line that names the file and place."""
    value = parse_yaml(read_text(path), path)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{path}: a mapping was expected, found {type(value).__name__}")
    return value


def parse_yaml(text: str, source: Path | str) -> Any:
    """The value of `text`; a key given twice, like any fault, is one line that begins with `source`."""
    try:
        return yaml.load(text, Loader=_YamlLoader)
    except RecursionError:
        raise InputError(f"{source}: nested too deeply") from None
    except yaml.constructor.ConstructorError as error:
        raise InputError(f"{source}: {error.problem} (line {error.problem_mark.line + 1})") from None
    except (KeyError, AttributeError):
        raise InputError(f"{source}: not YAML (a value does not fit its tag)") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date of month 13
        raise InputError(f"{source}: not YAML ({' '.join(str(error).split())})") from None
