"""scores.csv as rows with types: what everything downstream of collect reads."""

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.metrics.protocol import same_protocol
from bench.report.read.collect import TRAINING


@dataclass(frozen=True)
class Row:
    """One line of scores.csv: a number, or the reason why there is none, with everything it came from."""

    scale: str
    task: str
    experiment: str
    dataset: str
    seed: int
    model: str
    metric: str
    selection: str
    value: float | None
    unit: str
    direction: str
    protocol: str
    n: float | None
    standard_error: float | None
    interval_low: float | None
    interval_high: float | None
    status: str
    reason: str
    run: str
    run_dir: str
    run_sha256: str
    data_sha256: str
    model_sha256: str
    seconds: float | None
    device: str
    peak_memory_bytes: float | None
    precision: str
    torch: str
    commit: str
    dirty: bool
    code_sha256: str
    mixed_code: bool
    details: str

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def is_control(self) -> bool:
        """Scored without the run's network."""
        return self.selection.startswith("control")

    @property
    def extras(self) -> dict[str, Any]:
        return json.loads(self.details) if self.details else {}


PARSERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    bool: lambda text: text == "True",
    float | None: lambda text: float(text) if text else None,
}


class Scores(Sequence[Row]):
    """Rows in the order of the file, with quick access by what they measured."""

    def __init__(self, rows: Sequence[Row]):
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    @cached_property
    def _by_source(self) -> dict[tuple[str, str], list[Row]]:
        found = defaultdict(list)
        for row in self._rows:
            found[row.experiment, row.dataset].append(row)
        return found

    def of(self, experiment: str, dataset: str) -> "Scores":
        """Everything of one experiment on one data set."""
        return Scores(self._by_source.get((experiment, dataset), ()))

    def where(self, keep: Callable[[Row], bool] | None = None, **equal: str | Collection[str]) -> "Scores":
        """Rows whose fields equal the given text (or are in the given collection) and that `keep` lets pass."""
        tests = [(name, {value} if isinstance(value, str) else set(value)) for name, value in equal.items()]
        chosen = [row for row in self._rows if all(getattr(row, name) in valid for name, valid in tests)]
        return Scores([row for row in chosen if keep(row)] if keep else chosen)

    def distinct(self, name: str) -> list[Any]:
        """Different values of a field, in order of appearance."""
        return list(dict.fromkeys(getattr(row, name) for row in self._rows))

    @cached_property
    def runs(self) -> "Scores":
        """One row per run."""
        return self.where(metric=TRAINING)

    @cached_property
    def measured(self) -> "Scores":
        """All but the training times."""
        return self.where(lambda row: row.metric != TRAINING)


def one_protocol(rows: Iterable[Row], where: str) -> str | None:
    """The one protocol of rows that meet at `where`; None without any; two are refused, with the way out."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.protocol, row)
    runs = list(dict.fromkeys(row.run for row in list(first.values())[:2]))
    folder = next((f"results/{row.scale}/runs" for row in first.values()), "")
    one = "run both again by one configuration" if len(runs) > 1 else "run it again"
    advice = f"they are of {' and '.join(runs)}: {one}, or move a folder that is not wanted out of {folder}"
    return same_protocol(first, where, advice)


def read_scores(path: Path) -> Scores:
    """Read scores.csv; an absent file or column is an InputError."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            csv.field_size_limit(1 << 30)  # a run's details hold curves and per-image values
            reader = csv.DictReader(file)
            absent = [field.name for field in fields(Row) if field.name not in (reader.fieldnames or ())]
            if absent:
                raise InputError(f"{path}: no column {absent[0]!r}; `slim-bench collect` writes the present form")
            parsers = [(field.name, PARSERS[field.type]) for field in fields(Row)]
            return Scores([Row(**{name: parse(line[name]) for name, parse in parsers}) for line in reader])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; `slim-bench collect` writes it") from None
