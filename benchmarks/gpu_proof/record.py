"""Writes the result file of one part after every measurement. A later start reuses the measurements in the file."""

import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.code_digest import code_digest
from bench.errors import first_line
from bench.files import write_json
from bench.terminal import one_line
from benchmarks.measure import machine
from benchmarks.timing import target

Entry = dict[str, Any]
NEEDS_GPU = "needs a GPU"
NO_TIME = "the time limit of this part was reached; start it again to continue"


class Record:
    """Measurements of a part, and the table of targets that the part derives from them.

    Args:
        path: the result file. Its measurements are reused if device, versions, code and size are equal.
        seconds: time for the measurements. Measurements that have not started by then are listed as not measured.
    """

    def __init__(self, path: Path, part: str, quick: bool, seconds: float) -> None:
        self.path, self.deadline = path, time.monotonic() + seconds
        self.about = {"benchmark": f"gpu_proof {part}", "quick": quick, **machine(), "code_sha256": code_digest()}
        self.entries: dict[str, Entry] = _earlier(path, self.about)
        self.targets: list[Entry] = []
        self.not_measured: dict[str, str] = {}
        self.unfinished: list[str] = []
        self.complete = False

    def entry(self, name: str, work: Callable[[], Entry]) -> Entry | None:
        """Return the measurement `name` of an earlier start, or else the result of `work`.

        Returns None if `work` fails, or if the time limit has been reached.
        """
        if name in self.entries:
            return self.entries[name]
        if time.monotonic() > self.deadline:
            self._mark_unfinished(name, NO_TIME)
            return None
        start = time.perf_counter()
        try:
            value = work()
        except Exception as error:  # another measurement of the part may succeed
            traceback.print_exc(file=sys.stderr)
            self._mark_unfinished(name, f"failed: {one_line(first_line(error))}")
            return None
        self.entries[name] = {**value, "seconds": round(time.perf_counter() - start, 1)}
        self.save()
        return self.entries[name]

    def row(self, name: str, value: float | None, **bounds: float) -> None:
        """Add a row to the table of targets. A row without a value is listed as not measured."""
        if value is None:
            self.not_measured.setdefault(name, "its measurements are missing")
        else:
            self.targets.append(target(name, value, **bounds))
        self.save()

    def skip(self, name: str, reason: str) -> None:
        """List `name` as not measured for a permanent reason."""
        self.not_measured[name] = reason
        self.save()

    def finish(self) -> None:
        self.complete = not self.unfinished
        self.save()

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fields = {"complete": self.complete, "targets": self.targets, "not_measured": self.not_measured}
        write_json(self.path, {**self.about, **fields, "entries": self.entries})

    def seconds_left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def _mark_unfinished(self, name: str, reason: str) -> None:
        self.unfinished.append(name)
        self.skip(name, reason)


def read_result(path: Path) -> Entry:
    """Return a result file, or an empty result if it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _earlier(path: Path, about: Entry) -> dict[str, Entry]:
    found = read_result(path)
    same = all(found.get(key) == value for key, value in about.items())
    return dict(found.get("entries", {})) if same else {}
