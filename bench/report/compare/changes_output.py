"""Prints changes between results, and renders them as a page."""

from collections import Counter
from pathlib import Path

from bench.files import write_text
from bench.ownership import read_text_or_empty
from bench.report.compare.changes import STATES, Change
from bench.report.read.names import format_value, metric_of
from bench.report.tables.table import Head, Table, TableCell
from bench.terminal import one_line

HEADINGS = ("state", "experiment", "dataset", "metric", "weights", "A", "B", "difference", "seeds", "p", "reason")
UNCHANGED = ("within noise", "equal")
NOTE = (
    "Scores are means over seeds. With two or more seeds on both sides, p is the p-value of Welch's t test over seeds "
    "with Holm's correction, and a score has changed if p < 0.05. With one seed, the intervals over images are "
    "compared, which exclude the variation over seeds. A score with a reference result has changed if it is outside "
    "the tolerance."
)


def summary(changes: list[Change]) -> str:
    count = Counter(change.state for change in changes)
    return ", ".join(f"{count[state]} {state}" for state in STATES if count[state])


def changes_table(changes: list[Change], title: str) -> Table:
    numeric = {"A", "B", "difference", "p"}
    head = tuple(Head(name, numeric=name in numeric) for name in HEADINGS)
    return Table(title, head, tuple(tuple(map(TableCell, _cells(change))) for change in changes))


def print_changes(changes: list[Change]) -> None:
    """Print every score whose state is not in UNCHANGED, then a summary line."""
    shown = [change for change in changes if change.state not in UNCHANGED]
    rows = [HEADINGS, *(tuple(map(one_line, _cells(change))) for change in shown)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows if shown else ():
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    print(summary(changes))


def render_changes(changes: list[Change], names: tuple[str, str], path: Path) -> None:
    """Write the changes between two results as a page without scripts. `names`: the names of the two results."""
    from bench.report.html import environment, page_style

    groups = [(state, [change for change in changes if change.state == state]) for state in STATES]
    tables = [(state, changes_table(found, f"Scores: {state}"), state in UNCHANGED) for state, found in groups if found]
    template = environment().get_template("compare.html")
    write_text(
        path, template.render(style=page_style(), names=names, summary=summary(changes), tables=tables, note=NOTE)
    )


def is_comparison(path: Path) -> bool:
    """Return whether a file is a page that `render_changes` wrote."""
    return "<h1>Comparison of results</h1>" in read_text_or_empty(path)


def _cells(change: Change) -> tuple[str, ...]:
    first, second = (_value(change.metric, value) for value in (change.first, change.second))
    difference = ""
    if change.first is not None and change.second is not None:
        difference = f"{change.second - change.first:+.4g}"
    p = "" if change.p is None else f"{change.p:.2g}"
    seeds = "/".join(map(str, change.seeds))
    label = metric_of(change.metric).label
    return (
        change.state,
        change.experiment,
        change.dataset,
        label,
        change.weights,
        first,
        second,
        difference,
        seeds,
        p,
        change.reason,
    )


def _value(metric: str, value: float | None) -> str:
    return "–" if value is None else format_value(metric, value)
