"""Measures the workloads of a list of runs on this device, one process after another, and writes each row at once.

A run of the driver that is killed keeps the rows of the finished processes, and the next one measures the rest. On a
CPU, all processes together get CPU_SECONDS. A process that exceeds its share is stopped: a run for which some
steps were timed keeps them, and any other is recorded as not measured, together with larger sizes of its task.
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
"""Time for all measurements on a CPU, which leaves a minute of ten for the start and the end."""
SHARE = 4
"""A run gets at most 1 / SHARE of the remaining time, so that one slow size does not use all of it."""
SCORING_SECONDS = 30.0
"""Time on a CPU that is kept free for each scoring."""
MIN_STEPS = 2
"""Number of timed steps that give a range."""
UNITS: dict[Part, str] = {"prepare": "image", "train": "step", "score": "image"}


@dataclass
class Observed:
    """Results of one process so far."""

    steps: dict[int, list[float]] = field(default_factory=dict)
    warm: dict[int, list[float]] = field(default_factory=dict)
    scales: int = 1
    fixed: float = 0.0
    image: float | None = None
    peak: int | None = None
    joules: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str = ""
    torch: str = ""

    def add(self, result: dict[str, Any]) -> None:
        if "step" in result:
            (self.warm if result["warm"] else self.steps).setdefault(result["part"], []).append(result["step"])
        if result.get("peak"):
            self.peak = max(result["peak"], self.peak or 0)
        if "joules" in result:
            self.joules.append(result["joules"])
        if result.get("note"):
            self.notes.append(result["note"])
        self.fixed += result.get("fixed", 0.0)
        for name in ("scales", "image", "error", "torch"):
            setattr(self, name, result.get(name, getattr(self, name)))

    def fields(self) -> dict[str, Any] | None:
        """Return the measured columns of the row, or None if too little has been measured.

        The time of an epoch of a one-shot network is the mean over its pyramid scales.
        """
        common = {"peak_memory_bytes": self.peak, "torch": self.torch, "note": "; ".join(self.notes)}
        if self.image is not None:
            each = {"seconds": self.image, "seconds_low": self.image, "seconds_high": self.image}
            return {**common, **each, "repeats": 1, "fixed_seconds": self.fixed}
        timed = list(self.steps.values())
        if len(timed) < self.scales or min(map(len, timed), default=0) < MIN_STEPS:
            return None
        middle = [statistics.median(seconds) for seconds in timed]
        excess = sum(
            max(0.0, sum(warm) - len(warm) * middle[part]) for part, warm in self.warm.items() if part < len(middle)
        )
        return {
            **common,
            "seconds": statistics.mean(middle),
            "seconds_low": statistics.mean(map(min, timed)),
            "seconds_high": statistics.mean(map(max, timed)),
            "repeats": min(map(len, timed)),
            "scales": self.scales,
            "fixed_seconds": self.fixed + excess,
            "energy_joules": statistics.mean(self.joules) if len(self.joules) == self.scales else None,
        }


def measure(probes: Sequence[Probe], throughput: Throughput, report: Callable[[str], None]) -> None:
    """Measure every probe that has no row of this version of torch, and write its row to `throughput`.

    `report` gets a line per probe. SIGINT and SIGTERM stop the process of the current probe, and are raised again.
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
                rate = _not_measured(probe, f"a size of {failed[group]} px or less took too long on this device")
            elif limit is not None and limit <= 1:
                rate = _not_measured(probe, f"the {CPU_SECONDS / 60:.0f} minutes for all measurements were used up")
            else:
                rate, in_time = _measure_one(probe, Path(folder) / str(index), limit)
                if not in_time and rate.seconds is None:
                    failed[group] = size
            throughput.add(rate)
            report(f"[{index + 1}/{len(todo)}] {probe.workload.title}: {describe(rate)}")


def _is_measured(rate: Rate | None) -> bool:
    return rate is not None and rate.seconds is not None and rate.torch in ("", metadata.version("torch"))


def _limit(end: float | None, left: Sequence[Probe]) -> float | None:
    """Return the seconds that the first of the probes `left` may take; None without a limit."""
    if end is None:
        return None
    remaining, counts = end - time.monotonic(), Counter(probe.workload.part for probe in left)
    kept = SCORING_SECONDS * counts["score"]
    if left[0].workload.part == "score":  # what the others do not need
        return remaining - kept + SCORING_SECONDS
    return (remaining - kept) / max(1, min(SHARE, counts["prepare"] + counts["train"]))


def _measure_one(probe: Probe, folder: Path, limit: float | None) -> tuple[Rate, bool]:
    """Run the process of one probe. Returns its row, and whether it ended within `limit` seconds."""
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
    fields = observed.fields()
    if fields is None:
        failure = observed.error or _reason(process.returncode, folder)
        return _not_measured(probe, failure if in_time else f"takes more than {limit:.0f} s on this device"), in_time
    return rate_of(probe.workload, unit=_unit(probe), measured=_today(), **fields), in_time


@contextlib.contextmanager
def _process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the process of a probe in a separate group, and stop the group at the end of the block."""
    command = [sys.executable, "-m", JOB, str(folder / "probe.json"), str(folder), str(time.time())]
    root = Path(__file__).parents[2]
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, OFFLINE: "1", "SLIM_BENCH_CACHE": str(folder / "cache"), "TMPDIR": str(folder)}
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
    """Yield the lines that a process prints; None, as the last one, if it has not ended at the time `end`."""
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
            *whole, buffered = (buffered + data).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
    process.wait()


def _reason(code: int | None, folder: Path) -> str:
    """Return why a process ended without a result: the last line that it printed on stderr."""
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


def describe(rate: Rate) -> str:
    """Return a measured row as text."""
    if rate.seconds is None:
        return f"not measured: {rate.note}"
    low, high = rate.seconds_low or rate.seconds, rate.seconds_high or rate.seconds
    spread = f" ({low:.3g} to {high:.3g})" if low < high else ""
    peak = f", peak {rate.peak_memory_bytes / 1e9:.1f} GB" if rate.peak_memory_bytes else ""
    note = f"; {rate.note}" if rate.note else ""
    return f"{rate.seconds:.3g} s{spread} per {rate.unit}, {rate.fixed_seconds:.0f} s per job{peak}{note}"
