"""Table of published values and our values."""

from collections.abc import Sequence

from bench.claims import ReportSettings
from bench.metrics.protocol import without_checkpoint_selection
from bench.report.compare.statistics import Summary
from bench.report.read.published import Published
from bench.report.read.scores import Scores
from bench.report.tables.seed_averages import cell_of
from bench.report.tables.table import Head, Table, TableCell, score_cell

NOTE = (
    "A value is reproduced if the 95\u00a0% confidence interval of our mean over seeds is inside published value ± "
    "tolerance, not reproduced if it is outside, and inconclusive if the two overlap. The verdict uses the last "
    "weights. The best weights are shown because sources rarely state which of the two they report."
)


def published_table(scores: Scores, published: Sequence[Published], settings: ReportSettings, scale: str) -> Table:
    head = [Head(name, numeric=False) for name in ("method", "dataset", "metric")]
    head += [
        Head("published"),
        Head("ours"),
        Head("ours, best weights"),
        Head("tolerance"),
        Head("verdict", numeric=False),
    ]
    lines = []
    for value in published:
        allowed = settings.tolerance(value.metric, value.value)
        ours, verdict = _compare_value(scores, value, allowed, settings, scale)
        names = TableCell(value.method), TableCell(value.dataset), score_cell(value.metric, value.protocol)
        texts = [f"{value.value:g}", ours, _best(scores, value)]
        texts += ["" if allowed is None else f"± {allowed:.2f}", verdict]
        lines.append((*names, *(TableCell(text) for text in (*texts, value.source))))
    return Table("Published values and ours", (*head, Head("source", numeric=False)), tuple(lines), NOTE)


def _compare_value(
    scores: Scores, value: Published, allowed: float | None, settings: ReportSettings, scale: str
) -> tuple[str, str]:
    """Return (our value, verdict). Values are compared only at the paper scale and with the same protocol."""
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
    ours = ", ".join(text for text in (cell.text, f"n = {cell.summary.n}") if text)
    if scale != settings.verdict_scale:
        return ours, f"not comparable (not the {settings.verdict_scale} scale)"
    if allowed is None:
        return ours, "no tolerance defined"
    if cell.summary.n < settings.minimum_seeds:
        return ours, f"too few seeds ({cell.summary.n} of {settings.minimum_seeds})"
    return ours, _verdict(cell.summary, value.value - allowed, value.value + allowed)


def _verdict(ours: Summary, low: float, high: float) -> str:
    """Return the verdict from the interval of our mean and the accepted range around the published value."""
    assert ours.low is not None and ours.high is not None  # a mean over `minimum_seeds` (>= 5) seeds has an interval
    if low <= ours.low and ours.high <= high:
        return "reproduced (interval inside the tolerance)"
    if high < ours.low or ours.high < low:
        return "not reproduced (interval outside the tolerance)"
    return "inconclusive (interval overlaps the tolerance)"


def _best(scores: Scores, value: Published) -> str:
    """Return our value with the `best` weights, because publications often do not state the scored weights."""
    if value.experiment is None:
        return "–"
    rows = scores.of(value.experiment, value.dataset).where(metric=value.metric, weights="best", status="ok")
    rows = rows.where(lambda row: value.comparable(without_checkpoint_selection(row.protocol)))
    return cell_of(rows, f"best of {value.method} on {value.dataset}").text if rows else "–"
