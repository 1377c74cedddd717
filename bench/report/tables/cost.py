"""Tables of cost per task and claim, and a table for the compute form of conferences.

Costs are never added across devices.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from bench.claims import Claim, ReportSettings
from bench.report.read.costs import SUPERSEDED, RunCost
from bench.report.read.names import format_bytes, format_energy
from bench.report.tables.table import Head, Table, TableCell

COST_NOTE = (
    "Hours are device-hours of all started runs, including failed and superseded runs. Superseded runs include the "
    "first attempts of repeated runs. A run that several claims use is counted in each of them. Energy is measured on "
    "GPUs only. "
)
COMPUTE_NOTE = (
    "Preliminary runs were superseded by a later run of the same name. Runs of other scales are in the tables "
    "of these scales. "
)
STATES = {"failed": "failed runs", SUPERSEDED: "preliminary (superseded) runs", "unfinished": "unfinished runs"}


def cost_records(costs: Sequence[RunCost], settings: ReportSettings, scale: str) -> list[dict[str, Any]]:
    """Return the summed costs in full precision, with one record per part (task, claim or total) and device."""
    found = []
    for kind, name, part in _parts(costs, settings, scale):
        for device in dict.fromkeys(cost.device for cost in part):
            found.append({"kind": kind, "part": name} | _sum([cost for cost in part if cost.device == device]))
    return found


def _parts(costs: Sequence[RunCost], settings: ReportSettings, scale: str) -> Iterator[tuple[str, str, list[RunCost]]]:
    for task, task_settings in settings.tasks.items():
        yield "task", task_settings.title, [cost for cost in costs if cost.task == task]
    for claim in settings.claims:
        used = _runs_of(claim, settings, scale)
        part = [c for c in costs if (c.experiment, c.dataset) in used or (c.experiment, "") in used]
        yield "claim", claim.title, part
    yield "total", "all runs", list(costs)


def _runs_of(claim: Claim, settings: ReportSettings, scale: str) -> set[tuple[str, str]]:
    """Return the (experiment, dataset) pairs that a claim compares.

    At scales without verdicts, the dataset is empty text, which means all datasets.
    """
    if scale == settings.verdict_scale:
        return {(name, data) for c in claim.comparisons for name in (c.slim, c.baseline) for data in c.sets}
    return {(name, "") for task in claim.tasks for p in settings.tasks[task].pairs for name in (p.slim, p.baseline)}


def _sum(costs: Sequence[RunCost]) -> dict[str, Any]:
    """Return the summed cost of runs on one device.

    Runs of unknown cost are named, and the known parts of their cost are included.
    """
    superseded = [cost for cost in costs if cost.state == SUPERSEDED]
    repeated = {(c.experiment, c.dataset, c.name.rpartition("/")[2].rpartition("-")[0]) for c in superseded}
    peaks = [cost.peak_memory_bytes for cost in costs if cost.peak_memory_bytes]
    energies = [cost.energy_joules for cost in costs if cost.energy_joules is not None]
    return {
        "device": (costs[0].device if costs else "") or "unknown",
        "runs": len(costs),
        "failed": sum(cost.state == "failed" for cost in costs),
        "unfinished": sum(cost.state == "unfinished" for cost in costs),
        "superseded": len(superseded),
        "repeated": len(repeated),
        "training_hours": sum(cost.train_seconds or 0.0 for cost in costs) / 3600,
        "scoring_hours": sum(cost.score_seconds or 0.0 for cost in costs) / 3600,
        "peak_memory_bytes": max(peaks, default=None),
        "energy_joules": sum(energies) if energies else None,
        "energy_runs": len(energies),
        "storage_bytes": sum(cost.storage for cost in costs),
        "unknown": "; ".join(cost.name for cost in costs if not cost.is_known),
    }


def cost_table(records: Sequence[dict[str, Any]]) -> Table:
    """Return the table of `cost_records`."""
    counts = ("runs", "failed", "superseded", "repeated")
    names = ("part", "device", *counts, "training", "scoring", "peak memory", "energy", "unknown cost")
    head = tuple(Head(name, numeric=index > 1) for index, name in enumerate(names))
    rows = tuple(
        (
            TableCell(record["part"], record["kind"] if record["kind"] != "total" else ""),
            *(TableCell(str(record[key])) for key in ("device", "runs", "failed", "superseded", "repeated")),
            *_amounts(record),
            _unknown(record),
        )
        for record in records
    )
    return Table("Cost", head, rows, COST_NOTE + _unknown_note(records))


def compute_records(costs: Sequence[RunCost], settings: ReportSettings) -> list[dict[str, Any]]:
    """Return the rows of the compute form per device: tasks, failed, superseded and unfinished runs, and the total."""
    found = []
    for device in dict.fromkeys(cost.device for cost in costs):
        on_device = [cost for cost in costs if cost.device == device]
        parts = [(t.title, [c for c in on_device if c.task == task]) for task, t in settings.tasks.items()]
        states = [(f"of these: {words}", [c for c in on_device if c.state == state]) for state, words in STATES.items()]
        parts = [*parts, *states, ("total", on_device)]
        found += [{"part": name} | _sum(part) for name, part in parts if part]
    return found


def compute_table(records: Sequence[dict[str, Any]]) -> Table:
    """Return the table of `compute_records`, for the compute form of conferences."""
    names = ("experiments", "device", "runs", "training", "scoring", "peak memory", "energy", "storage", "unknown cost")
    head = tuple(Head(name, numeric=index > 1) for index, name in enumerate(names))
    rows = tuple(
        (
            *(TableCell(str(record[key])) for key in ("part", "device", "runs")),
            *_amounts(record),
            TableCell(format_bytes(record["storage_bytes"])),
            _unknown(record),
        )
        for record in records
    )
    return Table("Compute", head, rows, COMPUTE_NOTE + _unknown_note(records))


def _amounts(record: dict[str, Any]) -> tuple[TableCell, ...]:
    energy = format_energy(record["energy_joules"])
    partial = f"{record['energy_runs']} of {record['runs']} runs" if energy else ""
    return (
        TableCell(format_hours(record["training_hours"])),
        TableCell(format_hours(record["scoring_hours"])),
        TableCell(format_bytes(record["peak_memory_bytes"]) or "–"),
        TableCell(energy or "not recorded", partial if record["energy_runs"] != record["runs"] else ""),
    )


def _unknown(record: dict[str, Any]) -> TableCell:
    count = len(record["unknown"].split("; ")) if record["unknown"] else 0
    return TableCell(f"{count} run{'' if count == 1 else 's'}" if count else "–", css_class="partial" if count else "")


def _unknown_note(records: Sequence[dict[str, Any]]) -> str:
    """Return a sentence that names all runs of unknown cost."""
    names = dict.fromkeys(name for record in records for name in record["unknown"].split("; ") if name)
    return f"The hours exclude the unknown cost of these runs: {', '.join(names)}." if names else ""


def format_hours(hours: float) -> str:
    """Format device-hours: 0.0393 -> 0.039 h."""
    return f"{hours:,.0f} h" if hours >= 100 else f"{hours:.2g} h" if hours < 1 else f"{hours:.1f} h"
