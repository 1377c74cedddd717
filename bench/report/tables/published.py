"""Table of published values and ours."""

from collections.abc import Sequence

from bench.metrics.protocol import without_choice
from bench.report.read.names import metric_of
from bench.report.read.scores import Scores
from bench.report.read.settings import Published, ReportSettings
from bench.report.tables.seed_averages import cell_of
from bench.report.tables.table import Head, Table, TableCell

NOTE = (
    "The verdict compares the last checkpoint. The best checkpoint is selected with separate latents; the sources do "
    "not say which of the two they report."
)


def published_table(scores: Scores, published: Sequence[Published], settings: ReportSettings, scale: str) -> Table:
    head = [Head(name, numeric=False) for name in ("method", "dataset", "metric")]
    head += [Head("published"), Head("ours"), Head("ours, best"), Head("tolerance"), Head("verdict", numeric=False)]
    lines = []
    for value in published:
        allowed = settings.tolerance(value.metric, value.value)
        ours, verdict = _judge(scores, value, allowed, scale == settings.verdict_scale)
        texts = [value.method, value.dataset, metric_of(value.metric).label, f"{value.value:g}"]
        texts += [ours, _best(scores, value)]
        texts += ["" if allowed is None else f"± {allowed:.2f}", verdict]
        lines.append(tuple(TableCell(text) for text in (*texts, value.source)))
    return Table("Published values and ours", (*head, Head("source", numeric=False)), tuple(lines), NOTE)


def _judge(scores: Scores, value: Published, allowed: float | None, is_paper: bool) -> tuple[str, str]:
    """(our value, verdict). Values are compared only at the paper scale and with the same protocol."""
    if value.experiment is None:
        return "–", "not comparable (no such experiment)"
    rows = scores.of(value.experiment, value.dataset).where(metric=value.metric, weights="last")
    if not rows:
        return "–", "not comparable (not run at this scale)"
    if not all(value.comparable(row.protocol) for row in rows if row.ok):
        return "–", "not comparable (protocol differs)"
    cell = cell_of(rows, f"published {value.metric} of {value.method} on {value.dataset}")
    if cell.summary.mean is None:
        return cell.text, "not comparable (no finished run)"
    ours = f"{cell.text}, n = {cell.summary.n}"
    if not is_paper:
        return ours, "not comparable (not the paper scale)"
    if allowed is None:
        return ours, "no tolerance defined"
    near = abs(cell.summary.mean - value.value) <= allowed
    return ours, "reproduced" if near else "not reproduced"


def _best(scores: Scores, value: Published) -> str:
    """Our value with the `best` weights, since sources often do not say which weights they report."""
    if value.experiment is None:
        return "–"
    rows = scores.of(value.experiment, value.dataset).where(metric=value.metric, weights="best", status="ok")
    rows = rows.where(lambda row: value.comparable(without_choice(row.protocol)))
    return cell_of(rows, f"best of {value.method} on {value.dataset}").text if rows else "–"
