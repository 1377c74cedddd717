"""model.json as everything but the training reads it: fields with types, whatever version wrote it. No torch."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bench.files import read_json
from bench.schema import parse_strict


class _Lenient(BaseModel):
    """Keys of other versions pass; the known ones have their types."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class Rollback(_Lenient):
    """One time that a training went back to a checkpoint."""

    reason: str
    step: int


class Training(_Lenient):
    """How a training went, as far as the plan and the report show it."""

    seconds: float | None = None
    images_per_second: float | None = None
    energy_joules: float | None = None
    peak_memory_bytes: int | None = None
    device: str | None = None
    precision: str | None = None
    compile: bool | None = None
    rollbacks: tuple[Rollback, ...] = ()
    events: tuple[str, ...] = ()


class Trained(_Lenient):
    """The record of a training that ended, well or not."""

    status: Literal["ok", "failed"]
    reason: str | None = None
    run_sha256: str | None = None
    data_sha256: str | None = None
    model_sha256: str | None = None
    code_sha256: str | None = None
    training: Training | None = None
    versions: dict[str, str | None] | None = None
    commit: str | None = None
    dirty: bool | None = None
    command: str | None = None
    description: dict[str, Any] | None = None


def read_trained(path: Path) -> Trained:
    """Read model.json; any fault is an InputError naming file and key."""
    return parse_strict(Trained, read_json(path), path)
