"""Places labels near points, so that no label is cut, overlaps another label, or hides a point."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from bench.report.figures.drawing import GAP, extent, fit
from bench.report.figures.style import INK, MUTED

MARKER = 9.0
"""Half the size of a marker with its margin, in pixels."""
RINGS = 14
LONGEST = 0.8
"""Maximum length of a label, relative to the width of the panel."""
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""Sides of a point, preferred ones first."""


def label_points(axis: Axes, names: Sequence[str], x: Sequence[float], y: Sequence[float]) -> None:
    """Write each name near its point (x, y) in data units. A line joins a distant label to its point.

    Call this function after `lay_out`.
    """
    figure = _figure_of(axis)
    centres = axis.transData.transform(np.column_stack([x, y]))
    taken = _points(axis)
    for index in np.argsort(centres[:, 1], kind="stable"):
        text = _text(axis, names[index], color=INK)
        fit(text, LONGEST * axis.bbox.width, figure)
        box, ring = _free_box(text, centres[index], taken, figure, axis)
        taken.append(box)
        _move(text, box, axis)
        if ring > 1:
            ends = axis.transData.inverted().transform([centres[index], _nearest(box, centres[index])])
            axis.plot(*ends.T, color=MUTED, linewidth=0.6, zorder=1)


def _free_box(text: Text, centre: Any, taken: list[Bbox], figure: Figure, axis: Axes) -> tuple[Bbox, int]:
    """Return the nearest box for `text` with the least overlap, and the ring of this box around the point."""
    size = extent(text, figure)
    best: tuple[float, Bbox, int] | None = None
    for ring, box in _candidates(centre, size.width, size.height):
        overlap = sum(_overlap(box, other) for other in taken) + _outside(box, axis.bbox)
        if best is None or overlap < best[0]:
            best = (overlap, box, ring)
        if overlap == 0:
            break
    assert best is not None
    return best[1], best[2]


def _candidates(centre: Any, width: float, height: float) -> Iterator[tuple[int, Bbox]]:
    """Yield boxes around a point as (number of the ring, box), with the nearest ring first."""
    for ring, (dx, dy) in itertools.product(range(1, RINGS + 1), DIRECTIONS):
        far = MARKER + GAP + (ring - 1) * (height + GAP) / 2
        left = centre[0] + dx * far - (0.5 - 0.5 * dx) * width
        bottom = centre[1] + dy * far - (0.5 - 0.5 * dy) * height
        yield ring, Bbox.from_bounds(left, bottom, width, height)


def _overlap(box: Bbox, other: Bbox) -> float:
    """Return the area that a box with a margin of GAP / 2 shares with another box."""
    shared = Bbox.intersection(box.padded(GAP / 2), other)
    return 0.0 if shared is None else float(shared.width * shared.height)


def _outside(box: Bbox, frame: Bbox) -> float:
    """Return the area of a box outside the panel."""
    shared = Bbox.intersection(box, frame)
    inside = 0.0 if shared is None else float(shared.width * shared.height)
    return max(0.0, float(box.width * box.height) - inside - 1e-6)


def _nearest(box: Bbox, point: Any) -> tuple[float, float]:
    return min(max(point[0], box.x0), box.x1), min(max(point[1], box.y0), box.y1)


def label_lines(axis: Axes, labels: dict[float, str], colour: str) -> None:
    """Write the name of each vertical line upright near the line, where the name overlaps least.

    `labels`: name by x. Call this function after `lay_out`.
    """
    figure = _figure_of(axis)
    lines = {x: float(axis.transData.transform((x, 0))[0]) for x in labels}
    height = axis.bbox.y0, axis.bbox.y1
    taken = _points(axis) + [Bbox.from_extents(left - 1, height[0], left + 1, height[1]) for left in lines.values()]
    for x, name in sorted(labels.items()):
        text = _text(axis, name, color=colour, rotation=90)
        size = extent(text, figure)
        places = [
            (left, bottom)
            for _, line in sorted((abs(line - lines[x]), line) for line in lines.values())
            for bottom in (height[1] - size.height - GAP, height[0] + GAP)
            for left in (line + GAP, line - GAP - size.width)
        ]
        boxes = [Bbox.from_bounds(left, bottom, size.width, size.height) for left, bottom in places]
        box = min(boxes, key=lambda box: sum(_overlap(box, other) for other in taken))
        taken.append(box)
        _move(text, box, axis)


def _text(axis: Axes, name: str, **options: Any) -> Text:
    text = axis.text(0, 0, name, fontsize=7, transform=None, va="bottom", ha="left", zorder=4, **options)
    text.set_in_layout(False)
    return text


def _move(text: Text, box: Bbox, axis: Axes) -> None:
    """Fix the text at its box in data units, so that it moves with the panel at another resolution."""
    text.set(transform=axis.transData, position=axis.transData.inverted().transform((box.x0, box.y0)))


def _figure_of(axis: Axes) -> Figure:
    figure = axis.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def _points(axis: Axes) -> list[Bbox]:
    """Return the boxes of all points of a panel."""
    found = [np.asarray(points.get_offsets()) for points in axis.collections]
    centres = [centre for points in found for centre in axis.transData.transform(points)]
    return [Bbox.from_extents(x - MARKER, y - MARKER, x + MARKER, y + MARKER) for x, y in centres]
