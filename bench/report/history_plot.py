"""Draws the history of a run as SVG, with one small panel per column of history.csv, in the colours of the page.

The module writes the SVG directly, because matplotlib takes 0.3 s for such a plot, and the paper suite has 495 runs.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from bench.report.read.history import read_history
from bench.report.read.names import format_count, format_number

WIDTH, HEIGHT, ACROSS = 280, 96, 3
LEFT, TOP, GAP = 8, 22, 18
MAX_POINTS = 240
"""Maximum number of points per line. If a history is longer, only equally spaced rows are drawn."""


def history_plot(path: Path) -> Markup | None:
    """Return the plot of a history.csv, or None if the file has no numbers."""
    columns = {name: values[:: math.ceil(len(values) / MAX_POINTS) or 1] for name, values in read_history(path).items()}
    steps = columns.pop("step", [])
    columns.pop("seconds", None)
    panels = [(name, values) for name, values in columns.items() if sum(map(math.isfinite, values)) > 1]
    if not panels:
        return None
    rows = math.ceil(len(panels) / ACROSS)
    width, height = ACROSS * (WIDTH + GAP), rows * (HEIGHT + TOP + GAP)
    body = Markup("").join(_panel(index, name, steps, values) for index, (name, values) in enumerate(panels))
    opening = Markup('<svg role="img" aria-label="History of {}" viewBox="0 0 {} {}" style="--width: {}px">')
    return opening.format(", ".join(name for name, _ in panels), width, height, width) + body + Markup("</svg>")


def _panel(index: int, name: str, steps: Sequence[float], values: Sequence[float]) -> Markup:
    left, top = index % ACROSS * (WIDTH + GAP) + LEFT, index // ACROSS * (HEIGHT + TOP + GAP) + TOP
    known = [(x, y) for x, y in zip(steps, values, strict=False) if math.isfinite(x) and math.isfinite(y)]
    if not known:
        return Markup("")
    (first, last), (low, high) = ((min(axis), max(axis)) for axis in zip(*known, strict=True))
    wide, tall = (last - first) or 1.0, (high - low) or 1.0
    points = " ".join(
        f"{left + (x - first) / wide * (WIDTH - 2 * LEFT):.1f},{top + HEIGHT - 4 - (y - low) / tall * (HEIGHT - 8):.1f}"
        for x, y in known
    )
    shape = Markup(
        '<rect x="{}" y="{}" width="{}" height="{}" fill="none" stroke="var(--rule)"/>'
        '<polyline points="{}" fill="none" stroke="var(--slim)" stroke-width="1.4"/>'
        '<text x="{}" y="{}" font-size="11" fill="var(--ink)">{}</text>'
        '<text x="{}" y="{}" font-size="9.5" fill="var(--muted)" text-anchor="end">{} … {}</text>'
        '<text x="{}" y="{}" font-size="9.5" fill="var(--muted)" text-anchor="end">step {}</text>'
    )
    right = left + WIDTH - LEFT
    frame = left - LEFT / 2, top, WIDTH - LEFT, HEIGHT
    label = left - LEFT / 2, top - 6, name.replace("_", " ")
    bounds = right - LEFT / 2, top - 6, format_number(low), format_number(high)
    return shape.format(*frame, points, *label, *bounds, right - LEFT / 2, top + HEIGHT + 11, format_count(last))
