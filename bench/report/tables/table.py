"""Tables, and their CSV, Markdown and LaTeX files."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.files import write_text
from bench.report.read.protocol_labels import differing_parts, label_of, score_label
from bench.report.tables.latex_text import latex_text

MAX_COLUMNS = 7
"""Number of columns of scores that fit on the page at a width of 1280 px."""
SPREAD = "Values are means ± half of their 95\u00a0% t intervals."
BOLD = (
    "The best value of a column is bold if its paired differences are significant (paired t test, Holm's correction)."
)
OTHER_COUNTS = ", unless a cell states another number"
BREAKABLE_SLASH = r"/\allowbreak{}"


@dataclass(frozen=True)
class Head:
    """Column header. `note` is the protocol id of all scores of the column."""

    label: str
    note: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class TableCell:
    """Table cell: text, small note below it, link target, CSS class, tooltip, and protocol id of a score's label.

    `count`: number of averaged units, such as `3 seeds`. `bold`: whether the value is significantly the best.
    """

    text: str
    note: str = ""
    link: str = ""
    css_class: str = ""
    tooltip: str = ""
    protocol: str = ""
    count: str = ""
    bold: bool = False

    @property
    def whole_note(self) -> str:
        """The note with the number of averaged units."""
        return ", ".join(part for part in (self.note, f"n = {self.count}" if self.count else "") if part)

    @property
    def plain(self) -> str:
        return _with_note(self.text, self.whole_note)


def score_cell(metric: str, protocol: str, note: str = "") -> TableCell:
    """Return the cell with the label of a score. The table files and the page add the protocol id."""
    return TableCell(score_label(metric, protocol), note, css_class="metric", protocol=protocol)


@dataclass(frozen=True)
class Table:
    title: str
    head: tuple[Head, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    note: str = ""
    row_classes: tuple[str, ...] = field(default=())
    """CSS class of each row: slim, baseline, control, minor or none."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"table {self.title!r}: a row has {len(row)} cells for {len(self.head)} columns")

    @property
    def protocols(self) -> list[str]:
        """Return the protocol ids of all columns and cells."""
        ids = [head.note for head in self.head] + [entry.protocol for row in self.rows for entry in row]
        return [protocol for protocol in dict.fromkeys(ids) if protocol]

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Return (label, protocol id) of the columns with a protocol, each id once."""
        ids = dict.fromkeys(head.note for head in self.head if head.note)
        return [(label_of(protocol), protocol) for protocol in ids]

    @property
    def caption(self) -> str:
        """Return sentences that explain mean and interval, the number of averaged units, and bold values."""
        averaged = [entry for row in self.rows for entry in row if entry.count]
        others = OTHER_COUNTS if any(entry.count != self.usual_count for entry in averaged) else ""
        texts = [
            SPREAD if any("±" in entry.text for entry in averaged) else "",
            f"n = {self.usual_count}{others}." if averaged else "",
            BOLD if self.has_bold else "",
        ]
        return " ".join(text for text in texts if text)

    @cached_property
    def usual_count(self) -> str:
        """Number of averaged units that most cells have. The caption states this number, so these cells omit it."""
        counts = Counter(entry.count for row in self.rows for entry in row if entry.count)
        return max(counts, key=counts.__getitem__, default="")

    def note_of(self, entry: TableCell) -> str:
        """Return the note of a cell, with the number of averaged units if the caption states another number."""
        return entry.note if entry.count == self.usual_count else entry.whole_note

    @property
    def has_bold(self) -> bool:
        return any(entry.bold for row in self.rows for entry in row)

    @property
    def footnotes(self) -> list[str]:
        """Return for each column how its protocol differs from the protocols of other columns with the same label."""
        return differing_parts([head.label for head in self.head], [head.note for head in self.head])

    def without_empty_columns(self) -> "Table":
        """Return the table without empty columns, for the page. The files keep all columns."""
        non_empty = [i for i in range(len(self.head)) if not self.rows or any(row[i].text for row in self.rows)]
        rows = tuple(tuple(row[i] for i in non_empty) for row in self.rows)
        return replace(self, head=tuple(self.head[i] for i in non_empty), rows=rows)

    def without_columns(self, *labels: str) -> "Table":
        kept = [i for i, head in enumerate(self.head) if head.label not in labels]
        rows = tuple(tuple(row[i] for i in kept) for row in self.rows)
        return replace(self, head=tuple(self.head[i] for i in kept), rows=rows)

    def blocks(self, widest: int = MAX_COLUMNS) -> "list[Table]":
        """Return the table in parts of at most `widest` columns of scores, so that no column is hidden on the page.

        Each part repeats the first column. A table with columns of text is not divided.
        """
        count = len(self.head) - 1
        if count <= widest or not all(head.note for head in self.head[1:]):
            return [self]
        size = math.ceil(count / math.ceil(count / widest))
        parts = []
        for start in range(1, count + 1, size):
            chosen = [0, *range(start, min(start + size, count + 1))]
            rows = tuple(tuple(row[i] for i in chosen) for row in self.rows)
            parts.append(replace(self, head=tuple(self.head[i] for i in chosen), rows=rows))
        return parts


def write_tables(stem: Path, tables: Sequence[Table], records: list[dict[str, Any]] | None = None) -> None:
    """Write `stem`.csv, .md and .tex.

    The CSV contains `records` in full precision or, if `records` is None, the text of the tables.
    """
    labels = _labels(stem.name, tables)
    floats = [latex(table, label) for table, label in zip(tables, labels, strict=True)]
    write_text(stem.with_suffix(".csv"), _records_csv(records) if records is not None else _csv(tables))
    write_text(stem.with_suffix(".md"), "\n".join(markdown(table) for table in tables) or "Nothing to show yet.\n")
    write_text(stem.with_suffix(".tex"), "\n".join(floats) or "% nothing to show yet\n")


def _labels(name: str, tables: Sequence[Table]) -> list[str]:
    """Return a distinct LaTeX label per table: `tab:fewshot`, or `tab:fewshot-` and the title if there are several."""
    found: list[str] = []
    for table in tables:
        title = re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-")
        label = f"tab:{name}-{title}" if len(tables) > 1 else f"tab:{name}"
        found.append(f"{label}-{len(found) + 1}" if label in found else label)
    return found


def markdown(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    def text(entry: TableCell) -> str:
        return _with_note(f"**{entry.text}**" if entry.bold else entry.text, table.note_of(entry))

    marks = ["---:" if head.numeric else "---" for head in table.head]
    lines = [f"### {table.title}", "", line([head.label for head in table.head]), line(marks)]
    lines += [line([text(entry) for entry in row]) for row in table.rows]
    ids = [f"- {label_of(protocol)}: `{protocol}`" for protocol in table.protocols]
    paragraphs = [text for text in ("\n".join(ids), table.caption, table.note) if text]
    return "\n".join([*lines, "", *(line for text in paragraphs for line in (text, ""))])


def latex(table: Table, label: str) -> str:
    """Return a LaTeX table with label and caption, which lists the protocols. LaTeX needs \\usepackage{booktabs}."""
    spec = "".join("r" if head.numeric else "l" for head in table.head)
    ids = [f"{latex_text(label_of(id))}: {_latex_code(id)}" for id in table.protocols]
    protocols = f"Protocols: {'; '.join(ids)}." if ids else ""
    title = latex_text(table.title) + "."
    caption = [title, latex_text(table.caption), protocols, latex_text(table.note)]
    lines = [f"% {' '.join(table.title.split())}", r"\begin{table}", r"\centering"]
    lines += [rf"\caption{{{' '.join(text for text in caption if text)}}}", rf"\label{{{label}}}"]
    lines += [rf"\begin{{tabular}}{{{spec}}}", r"\toprule"]
    lines += [" & ".join(latex_text(head.label) for head in table.head) + r" \\", r"\midrule"]
    lines += [" & ".join(_latex_cell(entry, table.note_of(entry)) for entry in row) + r" \\" for row in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _with_note(text: str, note: str) -> str:
    return f"{text} ({note})" if note else text


def _latex_cell(entry: TableCell, note: str) -> str:
    text = latex_text(entry.text)
    return _with_note(rf"\textbf{{{text}}}" if entry.bold else text, latex_text(note))


def _latex_code(protocol: str) -> str:
    """Return a protocol id in typewriter font that can be broken after each part."""
    parts = latex_text(protocol).split("/")
    return rf"\texttt{{{BREAKABLE_SLASH.join(parts)}}}"


def _csv(tables: Sequence[Table]) -> str:
    """Return the text of the tables as CSV, with the full protocol ids in the header, or in a separate column."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    for position, table in enumerate(tables):
        if position:
            writer.writerow([])
        by_row = [next((entry.protocol for entry in row if entry.protocol), "") for row in table.rows]
        more = [["protocol"], *([text] for text in by_row)] if any(by_row) else [[]] * (len(table.rows) + 1)
        head = [f"{head.label} [{head.note}]" if head.note else head.label for head in table.head]
        lines = [head, *([entry.plain for entry in row] for row in table.rows)]
        writer.writerows([*line, *added] for line, added in zip(lines, more, strict=True))
    return out.getvalue() or "nothing to show yet\n"


def _records_csv(records: list[dict[str, Any]]) -> str:
    if not records:
        return "nothing to show yet\n"
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in record.items()} for record in records)
    return out.getvalue()
