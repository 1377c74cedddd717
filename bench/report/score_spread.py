"""Describes the uncertainty of a score that is computed over images."""

from bench.report.compare.statistics import MIN_UNITS, bootstrap
from bench.report.read.names import format_value
from bench.report.read.row import Row


def spread_over_images(row: Row) -> str:
    """Return the confidence interval of a score as text, or its standard error, or empty text if both are unknown."""
    values = row.extras.get("per_image", [])
    low, high, n = row.interval_low, row.interval_high, row.n or 0
    if low is None and len(values) >= MIN_UNITS:
        over = bootstrap(values)
        low, high, n = over.low, over.high, over.n
    if low is not None and high is not None:
        return f"{format_value(row.metric, low)} … {format_value(row.metric, high)} (n = {n:.0f})"
    if row.standard_error is not None:
        return f"standard error {format_value(row.metric, row.standard_error)}"
    return ""
