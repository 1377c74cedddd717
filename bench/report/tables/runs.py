"""Table of all planned runs with status, cost and hashes."""

from bench.report.outputs import run_link
from bench.report.read.names import format_bytes, format_energy, format_number, format_seconds
from bench.report.read.scores import Row, Scores
from bench.report.tables.table import Head, Table, TableCell


def _finished(row: Row) -> TableCell:
    """Return the status cell of a finished run. The note of the cell lists rollbacks and other events."""
    rollbacks, events = row.extras.get("rollbacks") or [], row.extras.get("events") or []
    notes = [f"rolled back at {entry['step']}: {entry['reason']}" for entry in rollbacks] + list(events)
    return TableCell(row.status, "; ".join(notes))


def runs_table(scores: Scores) -> Table:
    """Return the table of all planned runs with status, cost and hashes."""
    head = [Head("run", numeric=False), Head("status", numeric=False), Head("time"), Head("device", numeric=False)]
    head += [
        Head("peak memory"),
        Head("images/s"),
        Head("energy"),
        *(Head(name, numeric=False) for name in ("weights", "data", "code", "commit")),
    ]
    lines = []
    for row in scores.runs:
        state = _finished(row) if row.ok else TableCell(row.status.upper(), row.reason, css_class="word")
        commit = row.commit[:8] + (" +" if row.dirty else "")
        texts = [format_seconds(row.seconds), row.device, format_bytes(row.peak_memory_bytes)]
        texts += [format_number(row.extras.get("images_per_second")), format_energy(row.extras.get("energy_joules"))]
        texts += [row.model_sha256[:8], row.data_sha256[:8], row.code_sha256[:8], commit]
        name = TableCell(row.run, link=run_link(row.run))
        lines.append((name, state, *(TableCell(text) for text in texts)))
    note = "Hashes and commits are shortened to eight digits. A + marks uncommitted changes."
    return Table("Runs", tuple(head), tuple(lines), note)
