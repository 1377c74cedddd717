"""Reads and writes benchmarks/throughput/DEVICE.csv, the throughput that `slim-bench plan SUITE --measure` measured.

A row contains the cost of one part (prepare, train or score) of a workload. This module does not import torch.
"""

import csv
import io
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from bench.errors import InputError, did_you_mean
from bench.files import read_text, write_text
from bench.provenance import processor_name, slug
from bench.runtime.leases import visible_devices
from bench.schema import Strict, parse_strict
from bench.workload import Part, Workload

FOLDER = Path("benchmarks/throughput")


class Rate(Strict):
    """Cost of one part of a workload. If the measurement failed, `seconds` is None and `note` contains the reason."""

    part: Part
    key: str = Field(pattern=r"^[0-9a-f]{12}$")
    task: str
    name: str
    image_size: int | None = None
    batch_size: int | None = None
    precision: str
    compile: bool
    threads: int | None = None
    unit: str
    """Unit of work that takes `seconds`: a training step, an epoch of one pyramid scale, or an image."""
    scale: int = Field(0, ge=0)
    scales: int = Field(1, ge=1)
    """Index of the pyramid scale, and number of pyramid scales. A one-shot network has one row per pyramid scale."""
    seconds: float | None = Field(None, ge=0)
    seconds_low: float | None = Field(None, ge=0)
    seconds_high: float | None = Field(None, ge=0)
    repeats: int = 0
    fixed_seconds: float = Field(0.0, ge=0)
    """Time per job that does not depend on the number of units: imports, compilation, loading, export."""
    peak_memory_bytes: int | None = None
    energy_joules: float | None = None
    """Energy of one unit, if NVML reports it."""
    note: str = ""
    torch: str = ""
    measured: str = ""
    """Date of the measurement, YYYY-MM-DD."""


NUMBERS: dict[str, type] = {
    name: kind
    for name, field in Rate.model_fields.items()
    for kind in (int, float)
    if field.annotation in (kind, kind | None)
}


def rate_of(workload: Workload, **measured: Any) -> Rate:
    """Return the row of a workload with its measured values."""
    described = workload.model_dump(exclude={"details"})
    return Rate(**{"key": workload.key, **described, **measured})


class Throughput:
    """Rates of one device. `rows` maps the key of a workload to its rates. `add` rewrites the file atomically."""

    def __init__(self, device: str, root: Path = Path(".")):
        self.device, self.path = device, root / FOLDER / f"{device}.csv"
        self.rows = _read(self.path) if self.path.is_file() else {}

    def find(self, workload: Workload) -> Rate | None:
        """Return the rate of a workload, or None if it was not measured.

        The rate of a one-shot network is the mean over its pyramid scales. If a pyramid scale was not measured, `note`
        names that pyramid scale.
        """
        rows = self.rows.get(workload.key)
        return None if rows is None else _mean_over_scales(rows)

    def add(self, rows: Sequence[Rate]) -> None:
        """Replace the rows of one workload."""
        if self.path.is_file():
            self.rows = _read(self.path)  # another process may have added rows
        self.rows[rows[0].key] = list(rows)
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(Rate.model_fields), lineterminator="\n")
        writer.writeheader()
        for row in self.rates:
            writer.writerow({key: _text(value) for key, value in row.model_dump().items()})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, buffer.getvalue())

    @property
    def rates(self) -> list[Rate]:
        return [row for rows in self.rows.values() for row in rows]

    @property
    def dates(self) -> tuple[str, str] | None:
        """Return the dates of the first and the last measurement; None if nothing was measured."""
        dates = sorted(rate.measured for rate in self.rates if rate.seconds is not None)
        return (dates[0], dates[-1]) if dates else None


def _mean_over_scales(rows: Sequence[Rate]) -> Rate:
    first, gap = rows[0], next((row for row in rows if row.seconds is None), None)
    if gap is not None or len(rows) < first.scales:
        reason = gap.note if gap else "missing in the file"
        location = f"pyramid scale {len(rows)} of {first.scales}: " if first.scales > 1 else ""
        return first.model_copy(update={"seconds": None, "note": f"{location}{reason}"})
    peaks = [row.peak_memory_bytes for row in rows if row.peak_memory_bytes is not None]
    updates = {
        name: None if None in values else statistics.mean(values)
        for name in ("seconds", "seconds_low", "seconds_high", "energy_joules")
        for values in [[getattr(row, name) for row in rows]]
    }
    fixed = sum(row.fixed_seconds for row in rows)
    return first.model_copy(update={**updates, "fixed_seconds": fixed, "peak_memory_bytes": max(peaks, default=None)})


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _read(path: Path) -> dict[str, list[Rate]]:
    """Return key -> rows. Raises InputError with file and line of an invalid row."""
    found: dict[str, list[Rate]] = {}
    try:
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
        for row in reader:
            location = f"{path}, line {reader.line_num}"
            rate = parse_strict(Rate, {key: _value(key, text) for key, text in _filled(row).items()}, location)
            found.setdefault(rate.key, []).append(rate)
    except (csv.Error, InputError) as error:
        raise InputError(f"{error}; delete {path} and measure again") from None
    return found


def _filled(row: Mapping[str | None, Any]) -> dict[str, str]:
    """Return the cells that are not empty, so that the fields of empty cells have their defaults."""
    return {str(key): str(text) for key, text in row.items() if text not in (None, "")}


def _value(key: str, text: str) -> Any:
    if key == "compile":
        return {"true": True, "false": False}.get(text, text)
    try:
        return NUMBERS[key](text) if key in NUMBERS else text
    except ValueError:
        return text  # the validation as a `Rate` reports the key of this value


def local_device(setting: str = "auto") -> str:
    """Return the name of the device that a run with `compute.device` = `setting` uses, as written in file names.

    The name of a CPU contains its number of cores, because throughput depends on it.
    """
    devices = [] if setting == "cpu" else visible_devices()
    if devices:
        return slug(_gpu_name(devices[0]))
    return slug(f"cpu {len(os.sched_getaffinity(0))} cores {processor_name()}")


def _gpu_name(device: str) -> str:
    """Return the name that NVML and torch report for the GPU with the index or UUID `device`."""
    try:
        import pynvml

        pynvml.nvmlInit()
        by_index = device.isdecimal()
        handle = (
            pynvml.nvmlDeviceGetHandleByIndex(int(device)) if by_index else pynvml.nvmlDeviceGetHandleByUUID(device)
        )
        return str(pynvml.nvmlDeviceGetName(handle))
    except Exception:  # the driver is hidden from this container or too old, so the name is not known
        return "gpu"


def measured_devices(root: Path = Path(".")) -> list[str]:
    return sorted(path.stem for path in (root / FOLDER).glob("*.csv"))


def require_device(name: str, root: Path = Path(".")) -> str:
    """Return `name` if this device has been measured. Otherwise raise InputError with the nearest device."""
    known = measured_devices(root)
    if name not in known:
        hint = did_you_mean(name, known) or f"; {FOLDER} has no measured device"
        raise InputError(
            f"--device: {name!r} has not been measured{hint}; run `slim-bench plan SUITE --measure` on that device"
        )
    return name
