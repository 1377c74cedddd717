"""Reads published values from config/published.csv."""

import csv
import io
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

from bench.errors import InputError
from bench.files import read_text
from bench.schema import Strict, parse_strict


class Published(Strict):
    """One confirmed published value. `protocol`: shell pattern that the protocol id of our score must match."""

    method: str
    experiment: str | None
    dataset: str
    metric: str
    value: float
    unit: str
    protocol: str
    source: str

    def comparable(self, protocol: str) -> bool:
        return fnmatchcase(protocol, self.protocol)


def load_published(path: Path = Path("config/published.csv")) -> list[Published]:
    """Return the rows of published.csv. Raises InputError with the file and line of an invalid row."""
    convert: dict[str, Callable[[str], object]] = {"value": float, "experiment": lambda text: text or None}
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    rows = []
    for row in reader:
        try:
            row = {key: convert.get(key, str)(value) for key, value in row.items()}
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}, line {reader.line_num}: {error}") from None
        rows.append(parse_strict(Published, row, f"{path}, line {reader.line_num}"))
    return rows
