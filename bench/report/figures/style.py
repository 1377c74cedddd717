"""Theme and colours of the figures, and conversion of SVG colours to the CSS variables of the page."""

import io
import math
import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import seaborn as sns

from bench.files import write_bytes

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 8.0
PIXELS_PER_POINT = 1.5
INK, MUTED, RULE = "#1c2024", "#5d666f", "#dcdfe1"
SLIM, BASELINE = "#0b6e99", "#c8571b"
OTHER_COLOURS = ("#4f8a3c", "#8a5aa8", "#a97b00", "#7a6a5d", "#b04a6f", "#50708c")
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", SLIM: "--slim", BASELINE: "--baseline"} | {
    colour: f"--other{index}" for index, colour in enumerate(OTHER_COLOURS, start=1)
}
"""Colour in the SVG file -> CSS variable of the page, which has a value for light and dark mode."""

THEME = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "slim-bench",
    "savefig.dpi": 160,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.1,
}


def use_theme() -> None:
    """Set seaborn's ticks theme with our colours. Glyphs are drawn as paths, so that figures do not depend on fonts."""
    sns.set_theme(context="paper", style="ticks", font_scale=1.0, rc=THEME)


def colours(slims: list[str], baselines: list[str], others: list[str]) -> dict[str, str]:
    """Return experiment -> colour. The first experiment with SLIM is blue, and the first baseline is orange."""
    spare = iter(OTHER_COLOURS * (1 + (len(slims) + len(baselines) + len(others)) // len(OTHER_COLOURS)))
    palette = {name: SLIM if not index else next(spare) for index, name in enumerate(slims)}
    palette |= {name: BASELINE if not index else next(spare) for index, name in enumerate(baselines)}
    return palette | {name: next(spare) for name in others}


def grid(count: int, each: tuple[float, float], across: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels of size `each` in inches, `across` in a row."""
    wide = min(count, across)
    high = math.ceil(count / wide)
    figure, axes = plt.subplots(high, wide, figsize=(each[0] * wide, each[1] * high), squeeze=False)
    flat: list[Axes] = list(np.ravel(axes))
    for unused in flat[count:]:
        unused.set_visible(False)
    return figure, flat[:count]


def legend_above(figure: Figure, axis: Axes) -> None:
    """Move the legend of one panel above all panels."""
    handles, labels = axis.get_legend_handles_labels()
    legend = axis.get_legend()
    if legend is not None:
        legend.remove()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)), fontsize=8)


def save(figure: Figure, stem: Path) -> None:
    """Write `stem`.png on white and `stem`.svg on transparent. Without a date in them, both are reproducible."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is final: do not compute it again for each file
    formats: dict[str, dict[str, Any]] = {
        "png": {"facecolor": "white"},
        "svg": {"transparent": True, "metadata": {"Date": None}},
    }
    for suffix, options in formats.items():
        content = io.BytesIO()
        figure.savefig(content, format=suffix, **options)
        write_bytes(stem.with_suffix(f".{suffix}"), content.getvalue())
    plt.close(figure)


def save_placeholder_figure(stem: Path, words: str) -> None:
    """Write a figure that shows only `words`. The workflow declares every figure as an output, so each must exist."""
    figure = plt.figure(figsize=(6, 1.2))
    figure.text(0.5, 0.5, words, ha="center", va="center", color=MUTED)
    save(figure, stem)


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
