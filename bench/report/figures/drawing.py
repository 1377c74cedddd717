"""Panels, layout and files of the figures. Text is measured after the layout, so that no text is cut or overlaps."""

import io
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from bench.files import write_bytes
from bench.report.figures.style import MUTED, Series
from bench.report.outputs import PLOT_SUFFIXES

DPI = 160
PDF_METADATA = {"CreationDate": None, "Creator": "slim-bench"}
SMALLEST_TEXT = 6.5
BREAKS = {": ": ":\n", " (": "\n("}
NUMBER = re.compile(r"[-−]?[\d.,]+(e[-+]?\d+)?( ?\w)?")
LABEL_ROOM = 1.15
"""Maximum length of an axis label, relative to the length of the axis."""
GAP = 4.0
"""Smallest distance between texts in pixels."""


def grid(count: int, each: tuple[float, float], across: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels of size `each` in inches, `across` in a row."""
    wide = min(count, across)
    high = math.ceil(count / wide)
    figure = new_figure(each[0] * wide, each[1] * high)
    flat: list[Axes] = list(np.ravel(figure.subplots(high, wide, squeeze=False)))
    for unused in flat[count:]:
        unused.remove()
    return figure, flat[:count]


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches. pyplot is not used, because it would keep the figure open."""
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def legend_above(figure: Figure, styles: Mapping[str, Series]) -> None:
    """Add a legend of the series above all panels, in as many columns as fit."""
    handles = [
        Line2D([], [], color=style.colour, marker=style.marker, linestyle=style.line, label=name)
        for name, style in styles.items()
    ]
    columns = min(4, len(handles))
    legend = figure.legend(handles=handles, loc="outside upper left", ncols=columns)
    while (excess := _excess(legend, figure)) > 0 and columns > 1:
        columns -= 1
        legend.remove()
        legend = figure.legend(handles=handles, loc="outside upper left", ncols=columns)
    longest = max(extent(text, figure).width for text in legend.get_texts())
    for text in legend.get_texts():
        fit(text, longest - max(0.0, excess), figure)
    figure.set_figheight(figure.get_figheight() + extent(legend, figure).height / figure.dpi)


def _excess(legend: Legend, figure: Figure) -> float:
    """Return by how many pixels a legend is wider than the figure, with equal margins on both sides."""
    box = extent(legend, figure)
    return float(box.x0 + box.x1 - figure.bbox.width)


def lay_out(figure: Figure) -> None:
    """Compute the layout once, with titles and labels that fit their panels, and tick labels that do not overlap."""
    engine = figure.get_layout_engine()
    if not isinstance(engine, ConstrainedLayoutEngine) or not figure.axes:
        return
    engine.execute(figure)
    changed = [_fit_texts(axis, figure) for axis in figure.axes]
    if any(changed):
        for _ in range(2):  # the second layout corrects the positions of panels of fixed aspect
            engine.execute(figure)
    figure.set_layout_engine("none")


def extent(artist: Any, figure: Figure) -> Bbox:
    """Return the box of an artist in pixels."""
    canvas: Any = figure.canvas
    box: Bbox = artist.get_window_extent(canvas.get_renderer())
    return box


def _fit_texts(axis: Axes, figure: Figure) -> bool:
    """Fit the texts of a panel to their space. Return whether any text changed."""
    axis.apply_aspect()
    box = axis.bbox
    row = [other.bbox.x0 for other in figure.axes if abs(other.bbox.y0 - box.y0) < box.height / 2]
    right = min((left for left in row if left > box.x0 + 1), default=figure.bbox.width)
    title = getattr(axis, "_left_title", axis.title)
    changed = [
        fit(title, right - box.x0 - GAP, figure),
        fit(axis.xaxis.label, LABEL_ROOM * box.width, figure),
        fit(axis.yaxis.label, LABEL_ROOM * box.height, figure),
        _separate(axis, figure),
    ]
    return any(changed)


def fit(text: Text, room: float, figure: Figure) -> bool:
    """Break a text that is longer than `room` pixels, then make it smaller, then shorten it.

    Returns whether the text changed.
    """

    def length() -> float:
        box = extent(text, figure)
        return float(box.height if text.get_rotation() else box.width)

    if not text.get_text() or length() <= room:
        return False
    for mark, broken in BREAKS.items():
        if length() > room:
            text.set_text(text.get_text().replace(mark, broken, 1))
    if length() > room:
        text.set_fontsize(max(SMALLEST_TEXT, float(text.get_fontsize()) * room / length()))
    while length() > room and len(text.get_text()) > 3:
        text.set_text(f"{text.get_text()[:-2]}…")
    return True


def _separate(axis: Axes, figure: Figure) -> bool:
    """If tick labels below an axis overlap, turn words upright, or label fewer ticks if the labels are numbers."""
    shown = [label for label in axis.get_xticklabels() if label.get_text()]
    boxes = [extent(label, figure) for label in shown]
    step = next((n for n in range(1, len(boxes) + 1) if _are_apart(boxes[::n])), 1)
    if step == 1:
        return False
    texts = [label.get_text() for label in shown]
    if all(NUMBER.fullmatch(text) for text in texts):
        axis.set_xticks([label.get_position()[0] for label in shown][::step], texts[::step])
    else:
        axis.tick_params(axis="x", labelrotation=90)
    return True


def _are_apart(boxes: list[Bbox]) -> bool:
    ordered = sorted(boxes, key=lambda box: box.x0)
    return all(after.x0 - before.x1 >= GAP for before, after in pairwise(ordered))


def save(figure: Figure, stem: Path) -> None:
    """Write `stem`.png and `stem`.pdf with a white background, and `stem`.svg with a transparent background.

    The files contain no date, so that they are reproducible. Each canvas draws once per file. `Figure.savefig` would
    draw twice, the first time only to compute the layout.
    """
    for suffix, content in _contents(figure).items():
        write_bytes(stem.with_suffix(f".{suffix}"), content)


def _contents(figure: Figure) -> dict[str, bytes]:
    lay_out(figure)
    found = {}
    for suffix in PLOT_SUFFIXES:
        print_to, ground = PRINTERS[suffix]
        figure.set_facecolor(ground)
        figure.set_dpi(DPI)
        content = io.BytesIO()
        print_to(figure, content)
        found[suffix] = content.getvalue()
    return found


PRINTERS: dict[str, tuple[Callable[[Figure, io.BytesIO], None], str]] = {
    "png": (lambda figure, file: FigureCanvasAgg(figure).print_png(file), "white"),
    "svg": (lambda figure, file: FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None}), "none"),
    "pdf": (lambda figure, file: FigureCanvasPdf(figure).print_pdf(file, metadata=PDF_METADATA), "white"),
}


def save_placeholder_figure(stem: Path, words: str) -> None:
    """Write a figure that shows only `words`. The workflow declares every figure as an output, so each must exist."""
    for suffix, content in _placeholder(words).items():
        write_bytes(stem.with_suffix(f".{suffix}"), content)


@cache
def _placeholder(words: str) -> dict[str, bytes]:
    figure = new_figure(6, 1.2)
    figure.text(0.5, 0.5, words, ha="center", va="center", color=MUTED)
    return _contents(figure)
