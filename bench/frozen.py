"""run.json against the configuration: what counts as the present description of a run. No torch.

Keys of `compute` may be edited by hand in a run.json of the results, and such a run stays current. A configuration
whose `compute` has changed renews it. To tell the two apart, `freeze` records the `compute` that it wrote.
"""

from pathlib import Path

from bench.errors import InputError
from bench.files import read_mapping, write_json
from bench.run import Run, read_run, write_run

FROZEN = ".frozen.json"
"""Next to a run.json of the results: the configuration's `compute` at the time of freezing."""


def write_frozen(folder: Path, run: Run) -> None:
    """Write run.json of a run of the results; the record first, since run.json tells that both are there."""
    write_json(folder / FROZEN, {"compute": _compute(run)})
    write_run(folder / "run.json", run)


def frozen_fault(planned: Run, folder: Path) -> str | None:
    """Why run.json in `folder` is not what the configuration asks for; None where it is, or where there is no file."""
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
    """The run as its jobs read it: with the `compute` that was edited by hand, where run.json is current."""
    path = folder / "run.json"
    if not path.exists() or frozen_fault(planned, folder):
        return planned
    return read_run(path)


def _compute(run: Run) -> dict[str, object]:
    return run.compute.model_dump(mode="json")


def _first_difference(found: Run, planned: Run) -> str:
    """The first key of run.json that differs; `compute` only where all others are equal."""
    keys = [key for key in Run.model_fields if getattr(found, key) != getattr(planned, key)]
    return next((key for key in keys if key != "compute"), "compute")
