"""Typed rows of scores.csv, the input of all tables and figures."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.files import read_text
from bench.metrics.protocol import same_protocol
from bench.report.read.row import COLUMNS, TRAINING, Row


class Scores(Sequence[Row]):
    """Rows of scores.csv in file order, with filters and an index by experiment and dataset."""

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
        """Return the rows of one experiment on one dataset."""
        return Scores(self._by_source.get((experiment, dataset), ()))

    def where(self, keep: Callable[[Row], bool] | None = None, **equal: str | Collection[str]) -> "Scores":
        """Return the rows for which `keep` is true and each field in `equal` has the given value or one of several."""
        tests = [(name, {value} if isinstance(value, str) else set(value)) for name, value in equal.items()]
        chosen = [row for row in self._rows if all(getattr(row, name) in valid for name, valid in tests)]
        return Scores([row for row in chosen if keep(row)] if keep else chosen)

    def distinct(self, name: str) -> list[Any]:
        """Return the distinct values of a field, in order of appearance."""
        return list(dict.fromkeys(getattr(row, name) for row in self._rows))

    @cached_property
    def runs(self) -> "Scores":
        """Training row of every run."""
        return self.where(metric=TRAINING)

    @cached_property
    def measured(self) -> "Scores":
        """All rows except the training rows."""
        return self.where(lambda row: row.metric != TRAINING)


def one_protocol(rows: Iterable[Row], where: str) -> str | None:
    """Return the protocol of all rows, or None if there are no rows.

    Raises ProtocolError for different protocols. The message contains `where`, two runs and the remedy.
    """
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.protocol, row)
    runs = list(dict.fromkeys(row.run for row in list(first.values())[:2]))
    folder = next((f"results/{row.scale}/runs" for row in first.values()), "")
    one = "run both again with the same configuration" if len(runs) > 1 else "run it again"
    advice = f"the runs are {' and '.join(runs)}; {one}, or move unwanted runs out of {folder}"
    return same_protocol(first, where, advice)


def read_scores(path: Path) -> Scores:
    """Read scores.csv. If the file is missing or damaged, raises InputError with the command that writes the file."""
    if not Path(path).exists():
        raise InputError(f"{path}: no such file; create it with `slim-bench collect`")
    csv.field_size_limit(1 << 30)  # the column `details` contains curves and per-image values
    text = read_text(path)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        absent = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if absent:
            raise InputError(
                f"{path}: no column {absent[0]!r} (earlier version); recreate it with `slim-bench collect`"
            )
        for line in reader:
            if None in line or None in line.values():
                raise ValueError("too many or too few fields")
            rows.append(Row.parse(line))
    except InputError:
        raise
    except (csv.Error, ValueError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{path}, line {reader.line_num}: {problem}; recreate it with `slim-bench collect`") from None
    if not text.endswith("\n"):
        raise InputError(f"{path}: truncated in its last line; recreate it with `slim-bench collect`")
    return Scores(rows)
