"""history.csv, with one row per logging step. Rows after the checkpoint are removed on resume and on rollback."""

import csv
import io
import math
from pathlib import Path

from bench.errors import writing
from bench.files import check_regular, write_text
from bench.ownership import read_head
from bench.schema import whole_number

MAX_HISTORY_BYTES = 2**28
"""Maximum number of bytes that are read, enough for millions of rows. A larger file must be damaged."""


class History:
    """Rows of a run's history, keyed by `step`. A new column extends the header, and missing values are empty cells."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self._columns, _ = self._table()
        if self._columns[:1] != ["step"]:  # the file is damaged and none of its rows can be read
            self._columns = []

    def add(self, row: dict[str, float | int | None]) -> None:
        new = [key for key in row if key not in self._columns]
        if new or not self.path.exists():
            rows = self.read()
            self._columns = [*self._columns, *new]
            self._rewrite(rows)
        with writing(self.path), self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow({key: _cell(value) for key, value in row.items()})

    def read(self) -> list[dict[str, str]]:
        """Return the rows with a valid step. Damaged lines are skipped."""
        columns, lines = self._table()
        rows = [dict(zip(columns, line, strict=False)) for line in lines if len(line) <= len(columns)]
        return [row for row in rows if whole_number(row.get("step") or "") is not None]

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Return the columns and the cells of the complete lines. A stray quote damages only its own line."""
        csv.field_size_limit(1 << 30)
        if self.path.exists():
            check_regular(self.path)  # opening a pipe would block
        data = read_head(self.path, MAX_HISTORY_BYTES).rstrip(b"\0") if self.path.exists() else b""
        complete, newline, _incomplete = data.decode(errors="replace").replace("\r", "").rpartition("\n")
        lines = [cells for line in (complete + newline).splitlines() for cells in csv.reader([line])]
        return (lines[0], lines[1:]) if lines else ([], [])

    def cut_after(self, step: int) -> None:
        """Remove the rows after `step`, whose steps will be repeated, and an incomplete last line."""
        if self.path.exists():
            self._rewrite([row for row in self.read() if int(row["step"]) <= step])

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        out = io.StringIO(newline="")
        csv.writer(out).writerows([self._columns, *([row.get(column) for column in self._columns] for row in rows)])
        write_text(self.path, out.getvalue())


def _cell(value: float | int | None) -> str | int:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:.8g}" if isinstance(value, float) else value
