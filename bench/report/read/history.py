"""Reads the logged scalars of a run from history.csv."""

import csv
import io
import math
from contextlib import suppress
from pathlib import Path


def read_history(path: Path) -> dict[str, list[float]]:
    """Return the columns of a history, with NaN for text and empty cells; empty if the file is missing.

    Of two columns with the same name, the last one is used. Lines after one that is not valid CSV are ignored.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return {}
    columns: dict[str, list[float]] = {}
    with suppress(csv.Error):
        reader = csv.reader(io.StringIO(text.replace("\0", ""), newline=""))
        head = next(reader, [])
        columns = {name: [] for name in head if name}
        for line in reader:
            cells = dict(zip(head, line + [""] * len(head), strict=False))
            for name, column in columns.items():
                column.append(_number(cells[name]))
    return columns


def _number(text: str) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
