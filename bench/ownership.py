"""Recognises files that the commands wrote, by name and content. This module does not import torch.

A command replaces or removes a file only if a predicate of this module recognises it. If another file has the name of
an output, the command raises an error before any computation (`refuse_foreign`). In folders that contain only our
outputs, and for hidden records, the command renames such a file instead and continues (`move_if_foreign`). A full disk
or an interrupted copy can truncate a file. The predicates recognise a truncated file by its beginning.
"""

import errno
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.errors import InputError, storage_error
from bench.files import SOFTWARE, TEMPORARY, parse_json, read_json, read_mapping, read_text
from bench.score import score_path, scored_weights

FilePredicate = Callable[[Path], bool]

CHECKPOINT_MAGIC = b"slim-bench checkpoint 1\n"
CHECKPOINT_NAME = re.compile(r"step-\d{10}\.(ckpt|damaged)")
RUN_KEYS = {"scale", "task", "experiment", "dataset", "seed"}
RECORD_KEYS = {"status", "run_sha256"}
SCORE_KEYS = {"metric", "value", "protocol", "status", "run_sha256"}
HISTORY_COLUMNS = {"images_per_second", "seconds"}
MAX_HEADER_BYTES = 1 << 20
ATTENTION_KIND = "slim-bench attention 1"
"""Metadata value `kind` of a file with the recorded gates of a network (`bench.evaluate.attention`)."""


def refuse_foreign(path: Path, is_ours: FilePredicate, remedy: str) -> None:
    """Raise InputError with `remedy` if `path` exists and the predicate `is_ours` does not recognise it."""
    if not os.path.lexists(path):
        return
    if path.is_dir():
        raise InputError(f"{path}: is a folder, but a file must be written there; {remedy}")
    if path.is_file() and not os.access(path, os.R_OK):  # an unreadable file cannot be recognised
        raise storage_error(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), path)
    if not path.is_file() or not is_ours(path):
        raise InputError(f"{path}: is not a file that slim-bench wrote, and is not overwritten; {remedy}")


def move_to_aside(path: Path) -> Path:
    """Rename a file, folder or pipe at `path` to the first free NAME.aside-N, and return that path."""
    number = 1
    while os.path.lexists(target := path.with_name(f"{path.name}.aside-{number}")):
        number += 1
    os.rename(path, target)
    print(f"{path}: is damaged or was not written by slim-bench; moved to {target}", file=sys.stderr, flush=True)
    return target


def move_if_foreign(path: Path, is_ours: FilePredicate) -> None:
    """Rename a file at `path` that `is_ours` does not recognise. Use this only for names reserved for our outputs."""
    if os.path.lexists(path) and not (path.is_file() and is_ours(path)):
        move_to_aside(path)


def is_run(path: Path) -> bool:
    """Return whether a file is a run.json, including a manually edited one."""
    return read_mapping(path).keys() >= RUN_KEYS or is_truncated(path, '"schema_version": ')


def is_record(path: Path) -> bool:
    """Return whether a file is model.json or its copy."""
    return read_mapping(path).keys() >= RECORD_KEYS or is_truncated(path, '"status": "')


def is_score(path: Path) -> bool:
    """Return whether a file is a score whose name matches its metric and weights."""
    score = read_mapping(path)
    if not score.keys() >= SCORE_KEYS:
        return is_truncated(path, f'"metric": "{path.stem.partition("@")[0]}"')
    return path == score_path(path.parent, str(score["metric"]), scored_weights(score))


def is_score_of(path: Path, run: str, sha256: str | None) -> bool:
    """Return whether a file is a score of the run with this name and, if given, this hash."""
    score = read_mapping(path)
    return is_score(path) and score.get("run", run) == run and sha256 in (None, score.get("run_sha256", sha256))


def is_score_list(path: Path) -> bool:
    """Return whether a file is an output of `evaluate --samples --out`."""
    scores = _json(path)
    return isinstance(scores, list) and all(isinstance(item, dict) and item.keys() >= SCORE_KEYS for item in scores)


def is_weights(path: Path) -> bool:
    """Return whether a safetensors file names its network in the header, as `bench.export.save_weights` does."""
    return bool(_weights_header(path))


def is_complete_weights(path: Path) -> bool:
    """Return whether a weights file has the size that its header implies, without reading the tensors."""
    try:
        ends = [tensor["data_offsets"][1] for name, tensor in _weights_header(path).items() if name != "__metadata__"]
        length = int.from_bytes(read_head(path, 8), "little")
        return bool(ends) and path.stat().st_size == 8 + length + max(ends)
    except (OSError, KeyError, TypeError, IndexError):
        return False


def is_attention(path: Path) -> bool:
    """Return whether a file contains the recorded gates of a network."""
    try:
        return _safetensors_header(path)["__metadata__"]["kind"] == ATTENTION_KIND
    except (KeyError, TypeError):
        return False


def _weights_header(path: Path) -> dict[str, Any]:
    """Return the header of a weights file that slim-bench wrote; an empty dictionary for any other file."""
    header = _safetensors_header(path)
    try:
        spec = parse_json(header["__metadata__"]["model"], path)
        return header if {"name", "args"} <= spec.keys() else {}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _safetensors_header(path: Path) -> dict[str, Any]:
    """Return the header of a safetensors file; an empty dictionary for any other file."""
    start = read_head(path, 8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= MAX_HEADER_BYTES * 64:
        return {}
    try:
        header = parse_json(read_head(path, 8 + length)[8:].decode(), path)
    except ValueError:
        return {}
    return header if isinstance(header, dict) else {}


def is_history(path: Path) -> bool:
    """Return whether a file has the columns of a history.csv, or is empty and therefore has no content to lose."""
    start = read_head(path, MAX_HEADER_BYTES)
    columns = start.partition(b"\n")[0].decode("utf-8", "replace").strip().split(",")
    truncated = b"\n" not in start and b"step,".startswith(start[:5])  # truncated within its first line
    return not start.strip() or truncated or (columns[0] == "step" and set(columns) >= HISTORY_COLUMNS)


def is_png(path: Path) -> bool:
    return read_head(path, 8) == b"\x89PNG\r\n\x1a\n"


def is_image_grid(path: Path) -> bool:
    """Return whether a file is a PNG with the metadata that `bench.files.write_png` writes."""
    from PIL import Image

    if not is_png(path):
        return False
    try:
        with Image.open(path) as image:
            return image.info.get("Software") == SOFTWARE
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def is_checkpoint(path: Path) -> bool:
    """Return whether a file is a checkpoint, including one truncated within its first line."""
    return CHECKPOINT_MAGIC.startswith(read_head(path, len(CHECKPOINT_MAGIC)))


def is_temporary(path: Path, names: Callable[[str], bool]) -> bool:
    """Return whether a file is a partially written temporary file whose final name matches `names`."""
    match = TEMPORARY.fullmatch(path.name)
    return match is not None and names(match["name"]) and path.is_file()


def is_truncated(path: Path, start: str) -> bool:
    """Return whether a file is a truncated output of `write_json` whose line after the brace begins with `start`."""
    first = f"{{\n {start}".encode()
    return first.startswith(read_head(path, len(first))) and _json(path) is None


def read_head(path: Path, size: int) -> bytes:
    """Return the first `size` bytes of a file.

    Return `?` for an unreadable file. Return `?` also for a pipe or device, because reading it could block.
    """
    if not path.is_file():
        return b"?"
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b"?"


def read_text_or_empty(path: Path) -> str:
    """Return the text of a file; an empty string if the file is not readable as text."""
    try:
        return read_text(path)
    except InputError:
        return ""


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except InputError:
        return None
