"""Compares run.json with the configuration to decide whether run.json is up to date. Does not import torch.

Users may edit keys of `compute` in a run.json under results/, and the run remains up to date. If `compute` has changed
in the configuration, run.json is outdated. To distinguish these cases, `freeze` records the `compute` that it wrote.
"""

from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.files import read_mapping, write_json
from bench.run import Run, read_run, training_hash, write_run

FROZEN = ".frozen.json"
"""File next to a run.json under results/. It contains the `compute` of the configuration at the time of freezing."""


def write_frozen(folder: Path, run: Run) -> None:
    """Write run.json of a run under results/. FROZEN is written first, so that run.json never exists without it."""
    write_json(folder / FROZEN, {"compute": _compute(run)})
    write_run(folder / "run.json", run)


def outdated_reason(planned: Run, folder: Path) -> str | None:
    """Return why run.json in `folder` is outdated; None if it is up to date or missing."""
    path = folder / "run.json"
    if not path.exists():
        return None
    try:
        found = read_run(path)
    except InputError as error:
        return str(error)
    if found == planned:
        return None
    section = _first_difference(found, planned)
    if section != "compute":
        return f"{path} differs from the configuration in {section}"
    recorded = read_mapping(folder / FROZEN).get("compute")
    if isinstance(recorded, dict) and recorded != _compute(planned):
        return f"{path} differs from the configuration in compute"
    return None


def as_frozen(planned: Run, folder: Path) -> Run:
    """Return the run description that the jobs of `planned` read.

    This is run.json, whose `compute` may be edited, if that file is up to date, and `planned` otherwise.
    """
    path = folder / "run.json"
    if not path.exists() or outdated_reason(planned, folder):
        return planned
    return read_run(path)


def accepted_hashes(description: dict[str, Any], folder: Path) -> frozenset[str]:
    """Return the hashes of `description` with its own `compute` and with that of FROZEN. Scores may record either."""
    recorded = read_mapping(folder / FROZEN).get("compute")
    as_written = description | {"compute": recorded} if isinstance(recorded, dict) else description
    return frozenset({training_hash(description), training_hash(as_written)})


def current_hashes(planned: Run, folder: Path) -> frozenset[str]:
    """Return the run hashes that model and scores may record.

    These are the hash of the planned run and, if run.json is up to date, the hash of run.json.
    """
    return frozenset({planned.hash, as_frozen(planned, folder).hash})


def _compute(run: Run) -> dict[str, object]:
    return run.compute.model_dump(mode="json")


def _first_difference(found: Run, planned: Run) -> str:
    """Return the first key in which the runs differ, or `compute` if all other keys are equal."""
    keys = [key for key in Run.model_fields if getattr(found, key) != getattr(planned, key)]
    return next((key for key in keys if key != "compute"), "compute")
