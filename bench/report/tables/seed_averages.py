"""Table cells and columns: values of one metric under one protocol, averaged over seeds."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.report.compare.statistics import Summary, summarise
from bench.report.read.names import ARROWS, format_value, metric_of
from bench.report.read.protocol_labels import score_label
from bench.report.read.scores import Row, one_protocol
from bench.report.tables.table import Head, TableCell


@dataclass(frozen=True)
class Cell:
    """Mean of one metric over seeds, or FAILED, MISSING or n/a. `points`: one value per seed."""

    metric: str
    summary: Summary
    points: tuple[float, ...] = ()
    failed: int = 0
    missing: int = 0
    reasons: tuple[str, ...] = ()
    mixed_code: bool = False

    @property
    def text(self) -> str:
        """Return, for example, `345.2 ± 3.1 (1 FAILED)`, or only FAILED or MISSING if no seed finished."""
        if not self.summary.n:
            return "FAILED" if self.failed else "MISSING" if self.missing else "n/a" if self.metric else "–"
        words = [f"{count} {word}" for count, word in ((self.failed, "FAILED"), (self.missing, "MISSING")) if count]
        return self.number + (f" ({', '.join(words)})" if words else "")

    @property
    def number(self) -> str:
        """Return mean ± half of the 95 % t interval, or only the mean if there are too few seeds for an interval."""
        mean, high = self.summary.mean, self.summary.high
        if mean is None or high is None or not self.summary.sd:
            return format_value(self.metric, mean)
        return f"{format_value(self.metric, mean)} ± {format_value(self.metric, high - mean)}"

    @property
    def interval(self) -> str:
        """Return the 95 % confidence interval over seeds, or an empty string for fewer than three seeds."""
        low, high = self.summary.low, self.summary.high
        if low is None or not self.summary.sd:
            return ""
        return f"{format_value(self.metric, low)} … {format_value(self.metric, high)}"

    def entry(self, link: str = "") -> TableCell:
        """Return the table cell with number, standard deviation and n. The tooltip states the reasons for failures."""
        if not self.metric:
            return TableCell("–", css_class="empty")
        notes = []
        if self.summary.n == 2 and self.summary.sd:
            notes += [" and ".join(format_value(self.metric, point) for point in self.points)]
        notes += [f"SD {format_value(self.metric, self.summary.sd)}"] if self.interval else []
        notes += ["several code versions"] if self.mixed_code else []
        kind = "word" if not self.summary.n else "partial" if self.failed or self.missing else "number"
        counted = self.summary.n and not metric_of(self.metric).constant
        count = f"{self.summary.n} seed{'' if self.summary.n == 1 else 's'}" if counted else ""
        return TableCell(self.text, ", ".join(notes), link, kind, "; ".join(self.reasons), count=count)


@dataclass(frozen=True)
class Column:
    """One metric under one protocol."""

    metric: str
    protocol: str
    direction: str
    unit: str = ""

    @property
    def title(self) -> str:
        text = f"{score_label(self.metric, self.protocol)} {ARROWS[self.direction]}".strip()
        return f"{text}, {self.unit}" if self.unit else text

    @property
    def head(self) -> Head:
        return Head(self.title, self.protocol)


def seed_means(rows: Iterable[Row], where: str) -> dict[int, float]:
    """Return the mean of the finished values of each seed. Raises ProtocolError if the rows have two protocols."""
    finished = [(row, row.value) for row in rows if row.ok and row.value is not None]
    one_protocol((row for row, _ in finished), where)
    values: dict[int, list[float]] = defaultdict(list)
    for row, value in finished:
        values[row.seed].append(value)
    return {seed: sum(group) / len(group) for seed, group in sorted(values.items())}


def cell_of(rows: Sequence[Row], where: str) -> Cell:
    """Return the average over seeds of `rows`, which have the same metric, dataset and experiment."""
    points = tuple(seed_means(rows, where).values())
    return Cell(
        metric=rows[0].metric if len(rows) else "",
        summary=summarise(points),
        points=points,
        failed=sum(row.status == "failed" for row in rows),
        missing=sum(row.status == "missing" for row in rows),
        reasons=tuple(dict.fromkeys(row.reason for row in rows if row.reason)),
        mixed_code=any(row.mixed_code for row in rows),
    )


def columns_of(rows: Iterable[Row], order: Iterable[str]) -> list[Column]:
    """Return one column per metric and protocol, with the metrics in `order`.

    A metric without finished scores gets one column with an empty protocol.
    """
    rows, order = list(rows), list(order)
    found = {
        (row.metric, row.protocol): Column(row.metric, row.protocol, row.direction, row.unit) for row in rows if row.ok
    }
    seen = {metric for metric, _ in found}
    for row in rows:
        if row.metric not in seen:
            found[row.metric, ""] = Column(row.metric, "", "none")
    rank = {metric: position for position, metric in enumerate(order)}
    return sorted(found.values(), key=lambda column: rank.get(column.metric, len(rank)))


def in_column(rows: Iterable[Row], column: Column) -> list[Row]:
    """Return the rows of a column.

    Failed and missing rows have no protocol, so they count in every column of their metric.
    """
    return [row for row in rows if row.metric == column.metric and (not row.ok or row.protocol == column.protocol)]
