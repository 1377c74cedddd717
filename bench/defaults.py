"""Recorded defaults for run hashes. The file bench/defaults-N.json contains the defaults of schema_version N.

A hash excludes every value equal to its recorded default. New keys are added to the file with their defaults. A
recorded default never changes. A different default requires a new schema_version with a new file, and an entry in
CHANGELOG.md. This module does not import torch.
"""

from typing import Any

from bench.errors import InputError
from bench.files import write_json
from bench.registry import MODELS, arguments
from bench.run import (
    RECIPES,
    SCHEMA_VERSION,
    Compute,
    DataSpec,
    Evaluation,
    defaults_file,
    defaults_of,
    recorded_defaults,
)


def present_defaults() -> dict[str, Any]:
    """Return every current default of run.json and of the networks, in the structure of defaults-N.json."""
    return {
        "data": dict(defaults_of(DataSpec)),
        "recipe": {task: dict(defaults_of(recipe)) for task, recipe in RECIPES.items()},
        "evaluation": dict(defaults_of(Evaluation)),
        "compute": dict(defaults_of(Compute)),
        "model": {name: dict(defaults_of(arguments(name))) for name in MODELS},
    }


def check_defaults(present: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    """Return the keys that `recorded` lacks. Raises InputError for a changed recorded default or a removed key."""
    now, then = _flat(present), _flat(recorded)
    changed = next((key for key, value in then.items() if key not in now or now[key] != value), None)
    if changed is not None:
        found = f"is now {now[changed]!r}" if changed in now else "was removed"
        raise InputError(
            f"{defaults_file(SCHEMA_VERSION)}: {changed}: the default {then[changed]!r} {found}; raise SCHEMA_VERSION "
            "in bench/run.py and add an entry to CHANGELOG.md, because the hashes of all runs change"
        )
    return [key for key in now if key not in then]


def record_defaults() -> None:
    """Add the defaults of new keys to the file of the current schema_version."""
    present = present_defaults()
    if check_defaults(present, recorded_defaults(SCHEMA_VERSION)):
        write_json(defaults_file(SCHEMA_VERSION), present)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for key, value in tree.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
