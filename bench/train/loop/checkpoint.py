"""Checkpoints that survive killed processes, full disks and damaged files. The last two are kept, each with a checksum.

A file consists of one magic line, one line with the sha256 of all following bytes, one line of JSON (step, hashes of
run and data, versions), and a torch.save archive of tensors and plain types, which is read with weights_only=True.
"""

import contextlib
import hashlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field

from bench.errors import InputError, first_line
from bench.files import atomic_file, check_regular, parse_json
from bench.ownership import CHECKPOINT_MAGIC, CHECKPOINT_NAME, is_checkpoint
from bench.schema import parse_strict

MAGIC = CHECKPOINT_MAGIC
ARCHIVE_END_BYTES = 22
"""Size of the last record of a torch.save archive. The record begins with a signature, so it is never all zeros."""


class LoadedCheckpoint(NamedTuple):
    """Result of `load_latest`: completed steps, training state, and the environment in which the state was computed."""

    step: int
    state: dict[str, Any]
    environment: dict[str, Any]


class DamagedError(Exception):
    """Error for a checkpoint whose bytes differ from the bytes that were written."""


class Checkpoints:
    """Checkpoints of one run on one dataset, in `folder`."""

    def __init__(self, folder: Path, run_sha256: str, data_sha256: str, keep: int = 2):
        self.folder, self.keep = Path(folder), keep
        self.run_sha256, self.data_sha256 = run_sha256, data_sha256
        self.folder.mkdir(parents=True, exist_ok=True)

    def files(self) -> list[Path]:
        """Return the checkpoint files, oldest first."""
        return sorted(path for path in self.folder.glob("step-*.ckpt") if CHECKPOINT_NAME.fullmatch(path.name))

    def save(self, step: int, state: dict[str, Any], environment: dict[str, Any] | None = None) -> Path:
        """Write a checkpoint atomically, then remove all but the newest `keep` checkpoints.

        Raises InputError if the disk is full.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        header = {
            "step": step,
            "run_sha256": self.run_sha256,
            "data_sha256": self.data_sha256,
            "torch": torch.__version__,
            "environment": environment or {},
        }
        head = json.dumps(header, sort_keys=True).encode() + b"\n"
        digest = hashlib.sha256(head)
        with buffer.getbuffer() as content:
            digest.update(content)
            size = content.nbytes
        path = self.folder / f"step-{step:010d}.ckpt"
        try:
            with atomic_file(path, size) as file:
                file.write(MAGIC + digest.hexdigest().encode() + b"\n" + head)
                with buffer.getbuffer() as content:  # an exception must not keep the view alive
                    file.write(content)
        except InputError as error:
            files = self.files()
            fallback = f"{files[-1].name} is intact" if files else "no checkpoint exists yet"
            raise InputError(f"{error}; no space for a checkpoint of {size / 1e6:.1f} MB ({fallback})") from error
        for old in self.files()[: -self.keep]:
            if is_checkpoint(old):
                old.unlink()
        return path

    def load_latest(self) -> LoadedCheckpoint | None:
        """Return the newest undamaged checkpoint, or None if no checkpoint is usable.

        Raises InputError if the checkpoint belongs to another run, other data or another version of torch.
        """
        for path in reversed(self.files()):
            try:
                header, payload = _read(path)
            except DamagedError as error:
                print(f"{path}: damaged ({error}) and renamed; resuming from the previous checkpoint", file=sys.stderr)
                with contextlib.suppress(FileNotFoundError):  # another process of this run renamed the file first
                    path.rename(path.with_suffix(".damaged"))
                continue
            self._check(path, header)
            try:
                content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
            except MemoryError:
                raise
            except Exception as error:  # torch.load raises many exception types for a crafted archive
                reason = first_line(error)
                raise InputError(
                    f"{path}: refused, because it contains objects other than tensors and plain types ({reason}); "
                    f"delete {self.folder} to train from scratch"
                ) from None
            if not isinstance(content, dict):
                raise InputError(f"{path}: contains no training state; delete {self.folder} to train from scratch")
            return LoadedCheckpoint(header.step, content, header.environment)
        return None

    def _check(self, path: Path, header: "CheckpointHeader") -> None:
        remedy = f"delete {self.folder} to train from scratch, or restore the version that wrote the checkpoint"
        for key, name, current in (
            ("run_sha256", "run.json", self.run_sha256),
            ("data_sha256", "dataset", self.data_sha256),
            ("torch", "torch version", torch.__version__),
        ):
            if getattr(header, key) != current:
                raise InputError(f"{path}: {name} was {getattr(header, key)}, but is now {current}; {remedy}")


class CheckpointHeader(BaseModel):
    """Header of a checkpoint: the line of JSON before the state."""

    model_config = ConfigDict(strict=True)
    step: int = Field(ge=0)
    run_sha256: str
    data_sha256: str
    torch: str
    environment: dict[str, str | int]


def _ends_in_zeros(file: BinaryIO) -> bool:
    """Return whether a file ends in zeros. Only the end is read, because a sparse file can be terabytes long."""
    position = file.tell()
    file.seek(max(position, os.fstat(file.fileno()).st_size - ARCHIVE_END_BYTES))
    end = file.read(ARCHIVE_END_BYTES)
    file.seek(position)
    return bool(end) and not end.strip(b"\0")


def _read(path: Path) -> tuple[CheckpointHeader, memoryview]:
    try:
        check_regular(path)
    except InputError as error:
        raise DamagedError(str(error).removeprefix(f"{path}: ")) from None
    start = len(MAGIC) + 65
    with path.open("rb") as file:  # the state, which can be large, is read only if the magic line matches
        data = memoryview(file.read(start))
        if bytes(data[: len(MAGIC)]) == MAGIC:
            if _ends_in_zeros(file):
                raise DamagedError("extended by zeros")
            data = memoryview(bytes(data) + file.read())
    if bytes(data[: len(MAGIC)]) != MAGIC:
        raise DamagedError("not a checkpoint of this version")
    if bytes(data[len(MAGIC) : start - 1]) != hashlib.sha256(data[start:]).hexdigest().encode():
        raise DamagedError("checksum differs")
    head, newline, _ = bytes(data[start : start + 65536]).partition(b"\n")
    try:
        header = parse_strict(CheckpointHeader, parse_json(head.decode(), path), path)
    except ValueError:  # InputError is a ValueError
        raise DamagedError("its header cannot be read") from None
    return header, data[start + len(head) + len(newline) :]
