"""Strict Pydantic models, which report an unknown key in one line that suggests the nearest valid key.

This module does not import torch.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bench.errors import InputError, did_you_mean

M = TypeVar("M", bound=BaseModel)


def _check_unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = [value for index, value in enumerate(values) if value in values[:index]]
    if twice:
        raise ValueError(f"{twice[0]} occurs twice")
    return values


Positive = Annotated[int, Field(gt=0, lt=2**53)]
Steps = Annotated[int, Field(gt=0, le=10**9)]
Images = Annotated[int, Field(gt=0, le=10**6)]
BatchSize = Annotated[int, Field(gt=0, le=2**16)]
Pixels = Annotated[int, Field(gt=0, le=2**14)]
Threads = Annotated[int, Field(gt=0, le=1024)]
"""Types of recipe values with upper limits. Larger numbers are mistakes, because the run would never end or run out of
memory."""
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**53)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(_check_unique)]
Metrics = Annotated[tuple[str, ...], AfterValidator(_check_unique)]
Names = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_check_unique)]
Task = Literal["fewshot", "oneshot", "classification"]
NAME = r"[a-z0-9][a-z0-9-]{0,79}"
"""Pattern of scale, experiment, dataset and suite names, which are also names of folders, files and rules."""


def valid_name(name: str, where: str) -> str:
    """Return `name` if it is a valid name of a scale, experiment, dataset or suite. Otherwise raise InputError."""
    if not re.fullmatch(NAME, name):
        raise InputError(f"{where}: {name!r}: a name may contain only a-z, 0-9 and -, and at most 80 characters")
    return name


Name = Annotated[str, Field(pattern=f"^{NAME}$")]


def whole_number(text: str) -> int | None:
    """Return the number that `text` represents with at most 16 decimal digits; None for any other text."""
    return int(text) if text.isdecimal() and len(text) <= 16 else None


LITERALS = {"true": True, "false": False, "null": None}


def parse_cli_value(value: Any) -> Any:
    """Convert command-line words to values. Snakemake passes words inside lists and mappings as text."""
    if isinstance(value, list):
        return tuple(parse_cli_value(part) for part in value)
    if not isinstance(value, str):
        return value
    number = whole_number(value)
    return LITERALS.get(value.lower(), value) if number is None else number


class Strict(BaseModel):
    """Base model: unknown keys are errors, values are immutable, numbers are finite and never parsed from strings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def parse_strict(model: type[M], value: Any, source: Path | str) -> M:
    """Validate `value`. Raises InputError for the first problem, with source, key, problem and nearest valid key."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError) as error:  # YAML has dates, bytes and sets, but JSON does not
        raise InputError(f"{source}: {error}; put it in quotes") from None
    except RecursionError:
        raise InputError(f"{source}: nested too deeply") from None
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        problems = error.errors()
        # a mistyped key often also leaves a required field missing; report the mistyped key
        first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
        key = ".".join(str(part) for part in first["loc"])
        hint = ""
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(str(first["loc"][-1]), _valid_keys(model, first["loc"][:-1]))
        location = f"{source}: {key}" if key else str(source)
        raise InputError(f"{location}: {first['msg'].removeprefix('Value error, ')}{hint}") from None


def _valid_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the field names of the Pydantic classes at `path`, skipping list indices, mapping keys and union tags."""
    models = [model]
    for part in path:
        tagged = [m for m in models if "task" in m.model_fields and m.model_fields["task"].default == part]
        inner = [n for m in models if part in m.model_fields for n in _models_in(m.model_fields[part].annotation)]
        models = tagged or inner or models
    return [name for m in models for name in m.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
