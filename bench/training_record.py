"""Reads model.json of every version into typed records for all code outside training. Does not import torch."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bench.files import read_json
from bench.schema import parse_strict


class _Lenient(BaseModel):
    """Base model that accepts unknown keys of other versions, and validates the types of known keys."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class Rollback(_Lenient):
    """One rollback of a run to a checkpoint."""

    reason: str
    step: int


class Training(_Lenient):
    """Fields of the section `training` that the plan and the report use."""

    steps: int | None = None
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
    """Record of a run whose training has succeeded or failed."""

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
    """Read model.json. Raises InputError with file and key for any problem."""
    return parse_strict(Trained, read_json(path), path)
