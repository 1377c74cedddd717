"""Checkpoints that survive kills, full disks and damaged files. The last two are kept, each with a checksum.

A file consists of one magic line, one line with the sha256 of the rest, one line of JSON (step, hashes of run and data,
versions), and a torch.save archive of tensors and plain types, which is read with weights_only=True.
"""

import contextlib
import hashlib
import io
import json
import pickle
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bench.errors import InputError
from bench.files import atomic_file
from bench.ownership import CHECKPOINT_MAGIC, CHECKPOINT_NAME, is_checkpoint

MAGIC = CHECKPOINT_MAGIC


class Saved(NamedTuple):
    """Result of `load_latest`: steps done, state, and the environment in which it was computed."""

    step: int
    state: dict[str, Any]
    environment: dict[str, Any]


class DamagedError(Exception):
    """Raised for a checkpoint whose bytes are not those that were written."""


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
        """Write a checkpoint atomically, then remove all but the newest `keep`. InputError if the disk is full."""
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
        digest.update(buffer.getbuffer())
        path = self.folder / f"step-{step:010d}.ckpt"
        size = buffer.getbuffer().nbytes
        try:
            with atomic_file(path, size) as file:
                file.write(MAGIC + digest.hexdigest().encode() + b"\n" + head)
                file.write(buffer.getbuffer())
        except InputError as error:
            files = self.files()
            kept = f"{files[-1].name} is intact" if files else "no checkpoint exists yet"
            raise InputError(f"{error}; no space for a checkpoint of {size / 1e6:.1f} MB, {kept}") from error
        for old in self.files()[: -self.keep]:
            if is_checkpoint(old):
                old.unlink()
        return path

    def load_latest(self) -> Saved | None:
        """Return the newest undamaged checkpoint, or None. InputError if its run, data or torch version differs."""
        for path in reversed(self.files()):
            try:
                header, payload = _read(path)
            except DamagedError as error:
                print(f"{path}: damaged ({error}), renamed; trying the previous checkpoint", file=sys.stderr)
                with contextlib.suppress(FileNotFoundError):  # another process of the group renamed it first
                    path.rename(path.with_suffix(".damaged"))
                continue
            self._check(path, header)
            try:
                content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
            except (pickle.UnpicklingError, RuntimeError) as error:
                reason = str(error).strip().splitlines()[0]
                raise InputError(
                    f"{path}: refused, because it contains more than tensors and plain types ({reason})"
                ) from None
            return Saved(header["step"], content, header["environment"])
        return None

    def _check(self, path: Path, header: dict[str, Any]) -> None:
        remedy = f"delete {self.folder} to train from scratch, or restore the version that wrote the checkpoint"
        for key, name, mine in (
            ("run_sha256", "run.json", self.run_sha256),
            ("data_sha256", "dataset", self.data_sha256),
            ("torch", "torch version", torch.__version__),
        ):
            if header[key] != mine:
                raise InputError(f"{path}: {name} differs: checkpoint {header[key]}, now {mine}; {remedy}")


def _read(path: Path) -> tuple[dict[str, Any], memoryview]:
    data = memoryview(path.read_bytes())
    start = len(MAGIC) + 65
    if bytes(data[: len(MAGIC)]) != MAGIC:
        raise DamagedError("not a checkpoint of this version")
    if bytes(data[len(MAGIC) : start - 1]) != hashlib.sha256(data[start:]).hexdigest().encode():
        raise DamagedError("checksum differs")
    end = start + bytes(data[start : start + 65536]).index(b"\n") + 1
    return json.loads(bytes(data[start:end])), data[end:]
