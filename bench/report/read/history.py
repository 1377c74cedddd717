"""Reads the logged scalars of a run from history.csv."""

import csv
import io
import math
from pathlib import Path


def read_history(path: Path) -> dict[str, list[float]]:
    """Return the columns of a history, with NaN for text and empty cells, or no columns if the file is missing."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    reader = csv.reader(io.StringIO(text.replace("\0", ""), newline=""))
    head = next(reader, [])
    columns: dict[str, list[float]] = {name: [] for name in head if name}
    for line in reader:
        for name, cell in zip(head, line + [""] * len(head), strict=False):
            if name:
                columns[name].append(_number(cell))
    return columns


def _number(text: str) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
