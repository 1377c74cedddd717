"""Theme, colours, markers and lines of the figures, and conversion of SVG colours to the CSS variables of the page."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from bench.report.figures.fonts import font_families

WIDTH = 8.0
PIXELS_PER_POINT = 1.5
INK, MUTED, RULE = "#1c2024", "#5d666f", "#dcdfe1"
SLIM, BASELINE = "#0b6e99", "#c8571b"
OTHER_COLOURS = ("#49a272", "#9381e5", "#671906", "#3f3153", "#ae86a0", "#775e4c")
"""All pairs of series colours have a CIEDE2000 difference of at least 10, also for colour-blind readers."""
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", SLIM: "--slim", BASELINE: "--baseline"} | {
    colour: f"--other{index}" for index, colour in enumerate(OTHER_COLOURS, start=1)
}
"""Colour in the SVG file -> CSS variable of the page. The page defines each variable for light and dark mode."""

MARKER_AREA = 38.0
"""Size of a marker without a line, in square points."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (5, 1.5),
    (1, 1.2),
    (5, 1.5, 1, 1.5),
    (9, 2),
    (5, 1.2, 1, 1.2, 1, 1.2),
    (2.5, 2.5),
    (9, 2, 3, 2),
    (1, 3),
)
"""There is one more dash pattern than markers, so that 72 series have different pairs of marker and dashes."""

THEME: dict[Any, Any] = {
    "font.family": "sans-serif",
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
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
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
"""SVG glyphs are paths, so the page depends on no font. PDF fonts are TrueType, because conferences reject Type 3."""


@dataclass(frozen=True)
class Series:
    """Colour, marker and dashes of an experiment. Marker and dashes distinguish it without colour."""

    colour: str
    marker: str
    dashes: tuple[float, ...] = ()

    @property
    def line(self) -> Any:
        """Return the style of the line for matplotlib."""
        return (0, self.dashes) if self.dashes else "solid"


def draw_lines(axis: Axes, data: pd.DataFrame, x: str, y: str, styles: Mapping[str, Series]) -> None:
    """Draw a line with markers for each experiment and seed, which are columns of `data`."""
    sns.lineplot(
        data, x=x, y=y, hue="experiment", style="experiment", units="seed", estimator=None, legend=False, ax=axis,
        dashes={name: style.dashes or "" for name, style in styles.items()}, markeredgecolor="auto",
        **_look(data, styles),
    )  # fmt: skip


def draw_points(
    axis: Axes, data: pd.DataFrame, x: str, y: str, styles: Mapping[str, Series], *, hollow: bool = False
) -> None:
    """Draw a marker for each row of `data`, which has the column `experiment`."""
    if data.empty:
        return
    sns.scatterplot(
        data, x=x, y=y, hue="experiment", style="experiment", legend=False, ax=axis, s=MARKER_AREA, linewidth=0,
        alpha=None if hollow else 0.8, **_look(data, styles),
    )  # fmt: skip
    if hollow:
        points = axis.collections[-1]
        points.set(edgecolor=points.get_facecolor(), facecolor="none", linewidth=1)


def _look(data: pd.DataFrame, styles: Mapping[str, Series]) -> dict[str, Any]:
    """Return the order, colours and markers of the experiments of `data`, as options of seaborn."""
    shown = set(data["experiment"])
    order = [name for name in styles if name in shown]
    return {
        "hue_order": order,
        "style_order": order,
        "palette": {name: styles[name].colour for name in order},
        "markers": {name: styles[name].marker for name in order},
    }


def use_theme() -> None:
    """Set seaborn's ticks theme with our values, so that no configuration of the machine changes a figure."""
    matplotlib.rcdefaults()
    sns.set_theme(context="paper", style="ticks", rc=THEME | {"font.sans-serif": font_families()})


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
        yield Series(colours[index % len(colours)], MARKERS[index % len(MARKERS)], DASHES[index % len(DASHES)])


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
