"""Reads and writes files. Writes are atomic, and every read error has a one-line message."""

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import yaml

from bench.errors import InputError, storage_error, writing

if TYPE_CHECKING:
    from PIL.Image import Image

SOFTWARE = "slim-bench"
"""Value of the text chunk `Software` in every PNG that this module writes. Commands recognise these files by it."""
MAX_INTEGER_DIGITS = 1000
"""Maximum number of digits of an integer in an input file; no field needs more than 16."""
MAX_TEXT_BYTES, MAX_JSON_BYTES, MAX_YAML_BYTES = 2**30, 2**26, 2**20
"""Maximum sizes in bytes of a table, a JSON record and a YAML configuration file. The largest record is the receipt of
a folder of 200,000 images, and the largest configuration file of this project has 24 KB."""
MAX_NODES = 50_000
"""Maximum number of values in a YAML file, including repetitions by aliases."""
TEMPORARY = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.part")
"""Name pattern of temporary files of `atomic_file`."""


@contextlib.contextmanager
def atomic_file(path: Path, size: int | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file next to `path`. On success, flush and fsync it, rename it to `path`, and fsync the folder.

    An error removes the temporary file, and an OSError becomes an InputError. `size`: bytes to write, if known.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except FileExistsError as error:
        raise InputError(f"{error.filename}: {os.strerror(errno.ENOTDIR)}") from None
    except OSError as error:
        raise storage_error(error, path, size) from error
    with writing(path, size):
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            try:
                os.chmod(name, 0o666 & ~umask)  # mkstemp creates private files, but groups share results
                os.replace(name, path)
            except OSError as error:  # the original error names the temporary file
                raise storage_error(error, path, size) from error
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        sync(path.parent)


def sync(path: Path) -> None:
    """Flush the content of a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot sync folders
            raise
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    with atomic_file(path, len(data)) as file:
        file.write(data)


def link_or_copy(source: Path, target: Path) -> None:
    """Create `target` as a hard link to `source`, or as a copy if links are not supported. A link needs no space."""
    source = Path(os.path.realpath(source))
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.samefile(source):
        return
    name = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        os.link(source, name)
    except OSError:
        with source.open("rb") as content, atomic_file(target, source.stat().st_size) as file:
            shutil.copyfileobj(content, file)
        return
    try:
        os.replace(name, target)
    except OSError as error:
        os.unlink(name)
        raise storage_error(error, target) from error


def write_png(path: Path, image: "Image") -> None:
    from PIL.PngImagePlugin import PngInfo

    mark = PngInfo()
    mark.add_text("Software", SOFTWARE)
    content = io.BytesIO()
    image.save(content, "PNG", pnginfo=mark)
    write_bytes(path, content.getvalue())


def check_regular(path: Path) -> None:
    """Raise InputError unless `path` is a regular file. Opening a pipe would block, and a device can be endless."""
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


def read_text(path: Path, largest: int = MAX_TEXT_BYTES) -> str:
    """Read a UTF-8 file of at most `largest` bytes, with or without a byte order mark. Raises InputError."""
    check_regular(path)
    try:
        with Path(path).open("rb") as file:
            fits = os.fstat(file.fileno()).st_size <= largest  # tested first, because a sparse file can be huge
            data = file.read(largest + 1 if fits else 1)
        fits = fits and len(data) <= largest
        text = data.decode("utf-8-sig") if fits else ""
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if not fits:
        raise InputError(f"{path}: larger than {largest / 2**20:.0f} MiB, the limit for such files")
    if "\0" in text:  # UTF-16 without a byte order mark can be valid UTF-8 with NULs
        raise InputError(f"{path}: not UTF-8 text; save it in the encoding UTF-8")
    return text


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON with keys in the given order. NaN is an error, because JSON has no NaN."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    check_regular(path)
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5_bytes(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def md5_file(path: Path) -> str:
    """Return the md5 of a file, which is the name of the file in DVC's cache."""
    check_regular(path)
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def sha256_json(value: Any) -> str:
    """Return the hash of the canonical JSON form: sorted keys, no spaces."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())


def read_json(path: Path) -> Any:
    """Return the value in a JSON file. Raises InputError with the file name for any problem."""
    return parse_json(read_text(path, MAX_JSON_BYTES), path)


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; {} if the file is missing, truncated, or contains something else."""
    try:
        value = read_json(path)
    except InputError:
        return {}
    return value if isinstance(value, dict) else {}


def parse_json(text: str, source: Path | str) -> Any:
    """Return the value of `text`. Raises InputError, beginning with `source`, for any problem, even a duplicate key."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_int=_integer)
        _check_values(value)
        return value
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
        raise _RefusedError(f"key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice; remove one")
    for key, value in pairs:
        _check_finite(value, key)
    return found


def _integer(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:  # Python's own limit has a message that users would not understand
        raise _RefusedError(f"an integer of {len(text)} digits, more than {MAX_INTEGER_DIGITS}")
    return int(text)


def _check_finite(value: Any, key: str) -> None:
    """Reject NaN and infinity (such as 1e999) if `value`, the value of `key`, is or contains one of them."""
    if isinstance(value, list):
        for inner in value:
            _check_finite(inner, key)
    elif isinstance(value, float) and not math.isfinite(value):
        raise _RefusedError(f"{key}: {value} is not a finite number")


def _check_values(value: Any) -> None:
    """Reject lone surrogates, such as from the escape \\ud800, which files and terminals cannot represent."""
    _check_finite(value, "value")
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        raise _RefusedError(f"lone surrogate: \\u{ord(error.object[error.start]):04x}") from None


class _YamlLoader(yaml.SafeLoader):
    """Loader of YAML 1.1 with three changes: keys are unique strings, 1e-4 is a number, and numbers are finite."""

    composed = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.composed += 1
        if self.composed > MAX_NODES:
            raise _RefusedError(f"more than {MAX_NODES:,} values")
        return super().compose_node(parent, index)


def _mapping(loader: _YamlLoader, node: yaml.MappingNode) -> dict[str, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.tag not in (yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG, "tag:yaml.org,2002:merge"):
            shown = f"key {key.value!r}" if isinstance(key, yaml.ScalarNode) else "a key"
            problem = f"{shown} is not a string; put it in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        if key.value in seen:
            problem = f"key {key.value!r} occurs twice; remove one"
            raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        seen.add(key.value)
    loader.flatten_mapping(node)  # merged keys of `<<` come first, so explicit keys take precedence
    found = {loader.construct_object(key): loader.construct_object(value, deep=True) for key, value in node.value}
    for key, value in found.items():
        _check_finite(value, key)
    return found


def _yaml_integer(loader: _YamlLoader, node: yaml.ScalarNode) -> int:
    if len(node.value) > MAX_INTEGER_DIGITS:
        problem = f"an integer of {len(node.value)} digits, more than {MAX_INTEGER_DIGITS}"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    return loader.construct_yaml_int(node)


def _count_nodes(node: yaml.Node, counted: dict[int, int]) -> int:
    """Count the values in `node`, including repetitions by aliases. `counted` maps ids of visited nodes to counts."""
    if id(node) not in counted:
        # the value until the node has been counted, because a node that contains an alias to itself would be infinite
        counted[id(node)] = MAX_NODES
        inner = [] if isinstance(node, yaml.ScalarNode) else node.value
        parts = [part for pair in inner for part in (pair if isinstance(pair, tuple) else (pair,))]
        counted[id(node)] = 1 + sum(_count_nodes(part, counted) for part in parts)
    return counted[id(node)]


_YamlLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_YamlLoader.add_constructor("tag:yaml.org,2002:int", _yaml_integer)
_YamlLoader.add_implicit_resolver(  # 1e-4 is a number, as in YAML 1.2, not a string
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a YAML mapping; {} for an empty file. Raises InputError with file and position for any problem."""
    value = parse_yaml(read_text(path, MAX_YAML_BYTES), path)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a mapping, found {type(value).__name__}")
    return value


def parse_yaml(text: str, source: Path | str) -> Any:
    """Return the value of `text`. Raises InputError, beginning with `source`, for any problem, even a duplicate key."""
    try:
        loader = _YamlLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _count_nodes(node, {}) > MAX_NODES:
            raise _RefusedError(f"more than {MAX_NODES:,} values after expanding aliases (*name)")
        value = loader.construct_document(node)
        _check_values(value)
        return value
    except RecursionError:
        raise InputError(f"{source}: nested too deeply") from None
    except _RefusedError as error:
        raise InputError(f"{source}: {error}") from None
    except yaml.constructor.ConstructorError as error:
        raise InputError(f"{source}: {error.problem} (line {error.problem_mark.line + 1})") from None
    except (KeyError, AttributeError):
        raise InputError(f"{source}: not YAML (a value does not match its tag)") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # e.g. a date with month 13
        raise InputError(f"{source}: not YAML ({' '.join(str(error).split())})") from None
