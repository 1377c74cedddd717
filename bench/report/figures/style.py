"""Theme, colours, markers and lines of the figures, and conversion of SVG colours to the CSS variables of the page."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import matplotlib
from matplotlib.axes import Axes

WIDTH = 8.0
PIXELS_PER_POINT = 1.5
INK, MUTED, RULE = "#1c2024", "#5d666f", "#dcdfe1"
SLIM, BASELINE = "#0b6e99", "#c8571b"
OTHER_COLOURS = ("#49a272", "#9381e5", "#671906", "#3f3153", "#ae86a0", "#775e4c")
"""All pairs of series colours differ by a CIEDE2000 of at least 10, also for colour-blind readers."""
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", SLIM: "--slim", BASELINE: "--baseline"} | {
    colour: f"--other{index}" for index, colour in enumerate(OTHER_COLOURS, start=1)
}
"""Colour in the SVG file -> CSS variable of the page, which has a value for light and dark mode."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
LINES: tuple[Any, ...] = (
    "solid",
    (0, (5, 1.5)),
    (0, (1, 1.2)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (9, 2)),
    (0, (5, 1.2, 1, 1.2, 1, 1.2)),
    (0, (2.5, 2.5)),
    (0, (9, 2, 3, 2)),
    (0, (1, 3)),
)
"""One more than the markers, so that 72 series have different pairs of marker and line."""

THEME: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.6,
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.labelsize": 9.6,
    "axes.linewidth": 1.0,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.unicode_minus": False,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.1,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "lines.linewidth": 1.1,
    "lines.markersize": 4,
    "lines.solid_capstyle": "round",
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "text.hinting": "none",
    "svg.hashsalt": "slim-bench",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelsize": 8.8,
    "xtick.major.size": 4.8,
    "xtick.major.width": 1.0,
    "ytick.color": MUTED,
    "ytick.labelsize": 8.8,
    "ytick.major.size": 4.8,
    "ytick.major.width": 1.0,
}
"""SVG glyphs are paths, so that the page depends on no font. PDF has TrueType fonts, as conferences reject Type 3."""


@dataclass(frozen=True)
class Series:
    """Colour, marker and line of an experiment. Marker and line distinguish it without colour."""

    colour: str
    marker: str
    line: Any

    def plot(self, axis: Axes, x: Any, y: Any, **options: Any) -> None:
        """Draw a line with markers. `options` of matplotlib's `plot` replace those of the series."""
        axis.plot(x, y, **{"color": self.colour, "marker": self.marker, "linestyle": self.line} | options)

    def points(self, axis: Axes, x: Any, y: Any, **options: Any) -> None:
        """Draw markers without a line."""
        self.plot(axis, x, y, linestyle="none", **{"markersize": 6.2, "alpha": 0.75} | options)


def use_theme() -> None:
    """Set matplotlib's defaults and our theme, so that no configuration of the machine changes a figure."""
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(THEME)


def series_styles(slims: list[str], baselines: list[str], others: list[str]) -> dict[str, Series]:
    """Return experiment -> style. The first experiment with SLIM is blue, and the first baseline is orange."""
    spare = count(2)
    numbers = {name: 0 if not index else next(spare) for index, name in enumerate(slims)}
    numbers |= {name: 1 if not index else next(spare) for index, name in enumerate(baselines)}
    numbers |= {name: next(spare) for name in others}
    styles = list(_styles(len(numbers) + 2))
    return {name: styles[number] for name, number in numbers.items()}


def _styles(number: int) -> Iterator[Series]:
    colours = (SLIM, BASELINE, *OTHER_COLOURS)
    for index in range(number):
        yield Series(colours[index % len(colours)], MARKERS[index % len(MARKERS)], LINES[index % len(LINES)])


def inline_svg(text: str, prefix: str) -> tuple[str, float]:
    """Return (SVG for the page with unique ids and CSS variables as colours, its width in pixels)."""
    svg = text[text.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'(href=")#', rf"\1#{prefix}-", svg).replace("url(#", f"url(#{prefix}-")
    for colour, variable in VARIABLES.items():
        svg = re.sub(re.escape(colour), f"var({variable})", svg, flags=re.IGNORECASE)
    opening, rest = svg[: svg.index(">")], svg[svg.index(">") :]
    width = re.search(r' width="([\d.]+)pt"', opening)
    if width is None:
        raise ValueError(f"figure {prefix}: its SVG has no width in points")
    points = float(width[1])
    return re.sub(r' (width|height)="[^"]*"', "", opening) + rest, points * PIXELS_PER_POINT
