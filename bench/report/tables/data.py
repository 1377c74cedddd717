"""Table of the datasets of a report, with the results of their audits."""

from collections.abc import Sequence
from typing import Any

from bench.data.audit_record import AuditRecord
from bench.data.problems import COUNT, LEAKED, NEAR, NEARLY_LEAKED, OTHER, SAME
from bench.report.read.audits import UsedDataset
from bench.report.tables.table import Head, Table, TableCell

COLUMNS: dict[str, tuple[str, ...]] = {
    "truncated": ("truncated",),
    "corrupt": ("corrupt", "not an image", "unreadable"),
    "wrong size": ("too small", "too large"),
    "wrong mode": ("wrong mode",),
    "other problems": (OTHER,),
    "exact duplicates": (SAME,),
    "near duplicates": (NEAR,),
    "test = training": (LEAKED,),
    "test ≈ training": (NEARLY_LEAKED,),
}
"""Kinds of problems that each column counts."""
NOTE = (
    "Duplicates are images with an earlier partner in the same split. The last two columns count test images that "
    "equal or resemble a training image. All counts refer to the source files."
)


def data_table(datasets: Sequence[UsedDataset]) -> Table:
    """Return a table with the images found, the images in the catalogue, and the counts of problems of each dataset."""
    head = [Head("dataset", numeric=False), Head("images"), Head("catalogue"), Head("pixels"), *map(Head, COLUMNS)]
    rows = [(TableCell(used.name, link=f"data-{used.name}"), *_cells(used.record)) for used in datasets]
    return Table("Audits of the datasets", tuple(head), tuple(rows), NOTE)


def data_records(datasets: Sequence[UsedDataset]) -> list[dict[str, Any]]:
    """Return the rows of the CSV file, which also contain source, licence, citation and preparation."""
    table, found = data_table(datasets), list[dict[str, Any]]()
    for used, row in zip(datasets, table.rows, strict=True):
        cells = {head.label: cell.plain for head, cell in zip(table.head, row, strict=True)}
        facts = {key: used.facts.get(key.capitalize(), "") for key in ("source", "licence", "citation", "preparation")}
        found.append({**cells, **facts})
    return found


def _cells(record: AuditRecord | None) -> tuple[TableCell, ...]:
    if record is None or record.failure is not None:
        reason = "not audited" if record is None else record.failure
        empty = [TableCell("") for _ in range(len(COLUMNS) + 2)]
        return (TableCell("NOT AUDITED" if record is None else "FAILED", reason or "", css_class="word"), *empty)
    counts = {label: sum(_count(record, kind) for kind in kinds) for label, kinds in COLUMNS.items()}
    differs = _count(record, COUNT) > 0
    return (
        TableCell(_split_counts(record.images), css_class="word" if differs else ""),
        TableCell(_split_counts(record.expected)),
        TableCell(_pixels(record)),
        *(TableCell(str(count), css_class="partial" if count else "") for count in counts.values()),
    )


def _count(record: AuditRecord, kind: str) -> int:
    return record.checks[kind].count if kind in record.checks else 0


def _split_counts(counts: dict[str, int]) -> str:
    """Return the number of images per split as text, such as `6,000 + 2,000` for training and test images."""
    return " + ".join(f"{counts[split]:,}" for split in ("images", "train", "test") if split in counts)


def _pixels(record: AuditRecord) -> str:
    sizes = dict.fromkeys(size for size in (record.smallest, record.largest) if size is not None)
    return " to ".join(f"{width}×{height}" for width, height in sizes)
