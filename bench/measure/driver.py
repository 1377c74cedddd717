"""Measures the workloads of a list of runs on this device, one process after another, and writes each row immediately.

If the driver is killed, the rows of the finished processes are kept, and the next start measures the remaining
workloads. On a CPU, all processes together must end within CPU_SECONDS. A process that exceeds its share of this time
is stopped. The steps timed until then are kept. If no step was timed, this workload and the larger sizes of its task
are recorded as not measured.
"""

import contextlib
import datetime
import json
import os
import selectors
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.files import write_json
from bench.measure.probe import Probe
from bench.runtime.environment import OFFLINE
from bench.runtime.leases import leased_device, visible_devices
from bench.terminal import one_line
from bench.throughput import Rate, Throughput, rate_of
from bench.workload import Part

JOB = "bench.measure.job"
CPU_SECONDS = 540.0
"""Time for all measurements on a CPU: ten minutes, minus one minute for the start and the end."""
SHARE = 2
"""A run may use at most 1 / SHARE of the remaining time, so that one slow size does not use all of this time."""
SCORING_SECONDS = 30.0
"""Time on a CPU that is reserved for each scoring."""
MIN_STEPS = 2
"""Minimum number of timed steps of a measured workload, so that a range of times can be reported."""
UNITS: dict[Part, str] = {"prepare": "image", "train": "step", "score": "image"}


@dataclass
class ScaleResult:
    """Results of one pyramid scale, or of a network without pyramid scales."""

    warm: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    peak: int | None = None
    joules: float | None = None

    def fields(self) -> dict[str, Any]:
        """Return the measured columns of the row. The excess of warm-up steps over normal steps is fixed time."""
        middle = statistics.median(self.steps)
        return {
            "seconds": middle,
            "seconds_low": min(self.steps),
            "seconds_high": max(self.steps),
            "repeats": len(self.steps),
            "fixed_seconds": max(0.0, sum(self.warm) - len(self.warm) * middle),
            "peak_memory_bytes": self.peak,
            "energy_joules": self.joules,
        }


@dataclass
class Observed:
    """Results of one process so far. `sizes`: sides of the pyramid scales, or image side without pyramid scales."""

    sizes: list[int] = field(default_factory=list)
    scales: dict[int, ScaleResult] = field(default_factory=dict)
    fixed: float = 0.0
    image: float | None = None
    peak: int | None = None
    notes: list[str] = field(default_factory=list)
    error: str = ""
    torch: str = ""

    def add(self, result: dict[str, Any]) -> None:
        """Add one result line of the process."""
        self.peak = max(result.get("peak") or 0, self.peak or 0) or None
        if "part" in result:
            scale = self.scales.setdefault(result["part"], ScaleResult())
            scale.peak, scale.joules = self.peak, result.get("joules")
            if "step" in result:
                (scale.warm if result["warm"] else scale.steps).append(result["step"])
        if result.get("note"):
            self.notes.append(result["note"])
        self.fixed += result.get("fixed", 0.0)
        for name in ("sizes", "image", "error", "torch"):
            setattr(self, name, result.get(name, getattr(self, name)))

    def rows(self, probe: Probe, reason: str) -> list[Rate]:
        """Return the rows of a probe: one per measured scale, and one with `reason` for the first unmeasured scale."""
        common: dict[str, Any] = {"unit": _unit(probe), "torch": self.torch, "measured": _today()}
        if self.image is not None:
            each: dict[str, Any] = {
                "seconds": self.image,
                "seconds_low": self.image,
                "seconds_high": self.image,
                "repeats": 1,
            }
            each |= {"fixed_seconds": self.fixed, "peak_memory_bytes": self.peak, "note": "; ".join(self.notes)}
            return [rate_of(probe.workload, **common, **each)]
        rows = []
        for index, size in enumerate(self.sizes or [probe.workload.image_size]):
            workload = probe.workload if size is None else probe.workload.model_copy(update={"image_size": size})
            common |= {"key": probe.workload.key, "scale": index, "scales": max(1, len(self.sizes))}
            result = self.scales.get(index, ScaleResult())
            if len(result.steps) < MIN_STEPS:
                rows.append(rate_of(workload, **common, note=reason))
                break
            fields = result.fields()
            if index == 0:
                fields |= {"fixed_seconds": fields["fixed_seconds"] + self.fixed, "note": "; ".join(self.notes)}
            rows.append(rate_of(workload, **common, **fields))
        return rows


def measure(probes: Sequence[Probe], throughput: Throughput, report: Callable[[str], None]) -> None:
    """Measure every probe without a row for this version of torch, and write its row to `throughput`.

    `report` is called with one line per probe. SIGINT and SIGTERM stop the process of the current probe, and are raised
    again.
    """
    end = None if visible_devices() else time.monotonic() + CPU_SECONDS
    todo = [probe for probe in probes if not _is_measured(throughput.find(probe.workload))]
    if len(todo) < len(probes):
        report(
            f"{len(probes) - len(todo)} of {len(probes)} were measured before; to repeat them, delete {throughput.path}"
        )
    failed: dict[tuple[str, str], int] = {}  # part and task -> smallest size that took too long
    with leased_device(), tempfile.TemporaryDirectory(prefix="slim-bench-measure-") as folder:
        for index, probe in enumerate(todo):
            group, size = (probe.workload.part, probe.workload.task), probe.workload.image_size or 0
            limit = _limit(end, todo[index:])
            if size >= failed.get(group, sys.maxsize):
                rows = [_not_measured(probe, f"a size of {failed[group]} px or less took too long on this device")]
            elif limit is not None and limit <= 1:
                rows = [_not_measured(probe, f"the {CPU_SECONDS / 60:.0f} minutes for all measurements were used up")]
            else:
                rows, in_time = _measure_one(probe, Path(folder) / str(index), limit)
                if not in_time and rows[-1].seconds is None:
                    failed[group] = size
            throughput.add(rows)
            rate = throughput.find(probe.workload)
            report(f"[{index + 1}/{len(todo)}] {probe.workload.title}: {describe(rate)}")


def _is_measured(rate: Rate | None) -> bool:
    return rate is not None and rate.seconds is not None and rate.torch in ("", metadata.version("torch"))


def _limit(end: float | None, left: Sequence[Probe]) -> float | None:
    """Return the time limit in seconds of the first of the probes `left`, or None if there is no limit."""
    if end is None:
        return None
    remaining, counts = end - time.monotonic(), Counter(probe.workload.part for probe in left)
    kept = SCORING_SECONDS * counts["score"]
    if left[0].workload.part == "score":  # time that is not reserved for the other probes
        return remaining - kept + SCORING_SECONDS
    return (remaining - kept) / max(1, min(SHARE, counts["prepare"] + counts["train"]))


def _measure_one(probe: Probe, folder: Path, limit: float | None) -> tuple[list[Rate], bool]:
    """Run the process of one probe. Returns its rows, and whether the process ended within `limit` seconds."""
    folder.mkdir()
    write_json(folder / "probe.json", probe.model_dump(mode="json"))
    observed, in_time = Observed(), True
    with _process(folder) as process:
        for line in _lines(process, None if limit is None else time.monotonic() + limit):
            if line is None:
                in_time = False
                break
            if line.startswith("{"):
                observed.add(json.loads(line))
    reason = observed.error or _reason(process.returncode, folder)
    return observed.rows(probe, reason if in_time else f"takes more than {limit:.0f} s on this device"), in_time


@contextlib.contextmanager
def _process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the process of a probe in a separate group, and stop the group at the end of the block."""
    command = [sys.executable, "-m", JOB, str(folder / "probe.json"), str(folder), str(time.time())]
    root = Path(__file__).parents[2]
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, OFFLINE: "1", "SLIM_BENCH_CACHE": str(folder / "cache")}
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, start_new_session=True
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _lines(process: subprocess.Popen[str], end: float | None) -> Iterator[str | None]:
    """Yield the lines that a process prints, and then None if the process has not ended at the time `end`."""
    assert process.stdout is not None
    buffered = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            wait = None if end is None else max(0.0, end - time.monotonic())
            if not selector.select(wait):
                yield None
                return
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                break
            *lines, buffered = (buffered + data).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
    process.wait()


def _reason(code: int | None, folder: Path) -> str:
    """Return why a process ended without a result: the signal that stopped the process, or its last line on stderr."""
    lines = (folder / "stderr").read_text(errors="replace").strip().splitlines()
    if code is not None and code < 0:
        killed = "killed, perhaps because memory ran out" if -code == signal.SIGKILL else f"signal {-code}"
        return f"the process was stopped ({killed})"
    return one_line(lines[-1]) if lines else f"the process ended with code {code}"


def _not_measured(probe: Probe, reason: str) -> Rate:
    return rate_of(probe.workload, unit=_unit(probe), measured=_today(), note=reason)


def _unit(probe: Probe) -> str:
    return "epoch" if probe.workload.part == "train" and probe.run.task == "oneshot" else UNITS[probe.workload.part]


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def describe(rate: Rate | None) -> str:
    """Return the rate of a workload as text."""
    if rate is None or rate.seconds is None:
        return f"not measured: {rate.note if rate else ''}"
    low, high = rate.seconds_low or rate.seconds, rate.seconds_high or rate.seconds
    spread = f" ({low:.3g} to {high:.3g})" if low < high else ""
    peak = f", peak {rate.peak_memory_bytes / 1e9:.1f} GB" if rate.peak_memory_bytes else ""
    note = f"; {rate.note}" if rate.note else ""
    return f"{rate.seconds:.3g} s{spread} per {rate.unit}, {rate.fixed_seconds:.0f} s per job{peak}{note}"
