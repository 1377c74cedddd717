"""DVC pointers: data/sources/FILE.dvc records the hash, the size and the source of data/sources/FILE.

A pointer that slim-bench writes has the following form. Commit the pointers, so that a commit determines the bytes that
were used.

    outs:
    - md5: ...
      size: 3027749
      hash: md5
      path: FILE
      desc: title of the dataset
      meta:
        source: https://...
        sha256: ...
        licence: ...

`dvc add` and `dvc import-url` write pointers without `meta.sha256`. slim-bench reads such pointers, and never rewrites
them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.errors import InputError
from bench.files import read_yaml, write_text


class _Dumper(yaml.SafeDumper):
    """Writer that quotes text such as 12e34, which `read_yaml` and DVC would read as a number."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^\d+[eE]\d+$"), list("0123456789"))


@dataclass(frozen=True)
class Pointer:
    """Content of a pointer.

    Attributes:
        md5: None if DVC did not record it, as after `dvc import-url --no-download`.
        meta: strings, such as `source` and `sha256`. Empty unless slim-bench wrote the pointer.
    """

    md5: str | None
    size: int | None
    desc: str
    meta: Mapping[str, str]

    @property
    def sha256(self) -> str | None:
        return self.meta.get("sha256")

    @property
    def is_ours(self) -> bool:
        """Whether slim-bench wrote the pointer, and may therefore update it."""
        return self.sha256 is not None and "source" in self.meta


def pointer_path(path: Path) -> Path:
    """Return the path of the pointer of the file `path`. The pointer may be missing."""
    return path.with_name(f"{path.name}.dvc")


def read_pointer(path: Path) -> Pointer:
    """Read a pointer with a single output. Raises InputError for any other content."""
    outputs = read_yaml(path).get("outs")
    if not isinstance(outputs, list) or len(outputs) != 1 or not isinstance(outputs[0], dict):
        raise InputError(f"{path}: outs: expected exactly one DVC output; `git checkout {path}` restores the file")
    output = outputs[0]
    meta = output.get("meta")
    return Pointer(
        _typed(output.get("md5"), str),
        _typed(output.get("size"), int),
        _typed(output.get("desc"), str) or "",
        {key: value for key, value in meta.items() if isinstance(value, str)} if isinstance(meta, dict) else {},
    )


def pointer_of(path: Path) -> Pointer | None:
    """Return the pointer of the file `path`, or None if DVC does not track it."""
    pointer = pointer_path(path)
    return read_pointer(pointer) if pointer.is_file() else None


def write_pointer(path: Path, pointer: Pointer) -> None:
    """Write the pointer of the file `path`, in the format of DVC."""
    fields = {"md5": pointer.md5, "size": pointer.size, "hash": "md5", "path": path.name}
    value = {"outs": [fields | {"desc": pointer.desc, "meta": dict(pointer.meta)}]}
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    write_text(pointer_path(path), text)


def _typed(value: Any, kind: type) -> Any:
    return value if isinstance(value, kind) else None
