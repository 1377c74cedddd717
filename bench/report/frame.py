"""The tidy table as a DataFrame, and the numbers of one column of it averaged over seeds."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import InputError
from bench.metrics.protocol import same_protocol
from bench.report.collect import COLUMNS, TRAINING
from bench.report.names import format_value
from bench.report.statistics import Summary, summarise

NUMBERS = ("value", "standard_error", "interval_low", "interval_high", "seconds", "peak_memory_bytes", "n")


def read_scores(path: Path) -> pd.DataFrame:
    """scores.csv with text as str, absent text as "", numbers as float."""
    if not Path(path).exists():
        raise InputError(f"{path}: no such file; `slim-bench collect` writes it")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    absent = [column for column in COLUMNS if column not in frame.columns]
    if absent:
        raise InputError(f"{path}: no column {absent[0]!r}; `slim-bench collect` writes the present form")
    for column in NUMBERS:
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    frame["seed"] = pd.to_numeric(frame["seed"]).astype(int)
    return frame


def training_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per run."""
    return frame[frame["metric"] == TRAINING]


def score_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["metric"] != TRAINING]


def details_of(row: Any) -> dict[str, Any]:
    text = row["details"]
    return json.loads(text) if text else {}


@dataclass(frozen=True)
class Cell:
    """One number over seeds, or the words that stand in its place."""

    metric: str
    summary: Summary
    values: tuple[tuple[int, float], ...] = ()
    failed: int = 0
    missing: int = 0
    runs: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    mixed_code: bool = False
    standard_error: float | None = None

    @property
    def text(self) -> str:
        """`345.2 ± 3.1`, with FAILED and MISSING counted where some seeds are, alone where all are."""
        words = [f"{count} {word}" for count, word in ((self.failed, "FAILED"), (self.missing, "MISSING")) if count]
        if not self.summary.n:
            word = "FAILED" if self.failed else "MISSING" if self.missing else "n/a" if self.runs else "–"
            return word
        return self.number + (f" ({', '.join(words)})" if words else "")

    @property
    def number(self) -> str:
        mean = format_value(self.metric, self.summary.mean)
        if not self.summary.sd:
            return mean
        return f"{mean} ± {format_value(self.metric, self.summary.sd)}"

    @property
    def interval(self) -> str:
        """95 % interval over seeds, empty below three."""
        low, high = self.summary.low, self.summary.high
        if low is None or not self.summary.sd:
            return ""
        return f"{format_value(self.metric, low)} … {format_value(self.metric, high)}"


EMPTY = Cell("", Summary(0))


def cell_of(rows: pd.DataFrame, where: str) -> Cell:
    """Average the seeds of `rows` (one metric, data set and method); rows of two protocols are refused."""
    if rows.empty:
        return EMPTY
    ok = rows[rows["status"] == "ok"]
    same_protocol(ok["protocol"], where)
    per_seed = ok.dropna(subset=["value"]).groupby("seed")["value"].mean()
    bad = rows[rows["status"] != "ok"]
    errors = ok["standard_error"].dropna()
    return Cell(
        metric=rows["metric"].iloc[0],
        summary=summarise(per_seed.to_list()),
        values=tuple((int(seed), float(value)) for seed, value in per_seed.items()),
        failed=int((bad["status"] == "failed").sum()),
        missing=int((bad["status"] == "missing").sum()),
        runs=tuple(sorted(set(rows["run"]))),
        reasons=tuple(dict.fromkeys(reason for reason in rows["reason"] if reason)),
        mixed_code=bool((rows["mixed_code"] == "True").any()),
        standard_error=float(errors.mean()) if len(ok) == 1 and len(errors) == 1 else None,
    )


@dataclass(frozen=True)
class Column:
    """One metric under one protocol."""

    metric: str
    protocol: str
    direction: str
    unit: str = ""
    main: bool = True
    """The networks' own protocol; False where only a control was measured so."""


def columns_of(rows: pd.DataFrame, order: Iterable[str]) -> list[Column]:
    """The columns of `rows`: each metric x protocol once, metrics in `order`, the networks' own protocol first."""
    order = list(order)
    found: dict[tuple[str, str], Column] = {}
    ok = rows[rows["status"] == "ok"]
    networks = ok[~ok["selection"].str.startswith("control")]
    for source, main in ((networks, True), (ok, False)):
        for row in source.drop_duplicates(["metric", "protocol"]).to_dict("records"):
            first = not any(metric == row["metric"] for metric, _ in found)
            column = Column(row["metric"], row["protocol"], row["direction"], row["unit"], main or first)
            found.setdefault((column.metric, column.protocol), column)
    for metric in rows.loc[rows["status"] != "ok", "metric"].unique():  # nothing finished yet: the column stands
        if not any(column.metric == metric for column in found.values()):
            found[metric, ""] = Column(metric, "", "none")
    return sorted(found.values(), key=lambda c: order.index(c.metric) if c.metric in order else len(order))


def rows_of(rows: pd.DataFrame, column: Column) -> pd.DataFrame:
    """Rows of a column; those that carry no protocol (missing) belong to the networks' own."""
    protocol = rows["protocol"]
    here = (protocol == column.protocol) | ((protocol == "") & column.main)
    return rows[(rows["metric"] == column.metric) & here]
