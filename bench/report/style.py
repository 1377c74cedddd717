"""How figures look: one theme, one fixed colour per role, and an SVG that the page can recolour for a dark screen."""

import re
from pathlib import Path

import matplotlib
import seaborn as sns

from bench.files import atomic_file

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

INK, MUTED, RULE = "#1c2024", "#5d666f", "#d7dce1"
SLIM, RIVAL = "#0b6e99", "#c8571b"
OTHERS = ("#4f8a3c", "#8a5aa8", "#a97b00", "#7a6a5d", "#b04a6f", "#50708c")
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", SLIM: "--slim", RIVAL: "--rival"} | {
    colour: f"--other{index}" for index, colour in enumerate(OTHERS, start=1)
}
"""Colour in the file -> the page's variable of the same meaning."""


def use_theme() -> None:
    """Seaborn's ticks theme with our colours; glyphs as paths, so that they look alike everywhere."""
    sns.set_theme(
        context="paper",
        style="ticks",
        font_scale=1.05,
        rc={
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "axes.edgecolor": MUTED,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "grid.color": RULE,
            "grid.linewidth": 0.6,
            "text.color": INK,
            "xtick.color": MUTED,
            "ytick.color": MUTED,
            "legend.frameon": False,
            "svg.fonttype": "path",
            "svg.hashsalt": "slim-bench",
            "savefig.dpi": 160,
            "figure.dpi": 100,
        },
    )


def colours(slims: list[str], rivals: list[str], others: list[str]) -> dict[str, str]:
    """One colour per experiment: SLIM blue, the first rival orange, everything else from the rest."""
    spare = iter(OTHERS * (1 + (len(slims) + len(rivals) + len(others)) // len(OTHERS)))
    palette = {name: SLIM if not index else next(spare) for index, name in enumerate(slims)}
    palette |= {name: RIVAL if not index else next(spare) for index, name in enumerate(rivals)}
    return palette | {name: next(spare) for name in others}


def save(figure: Figure, stem: Path) -> None:
    """Write `stem`.png on white and `stem`.svg without background; dates are left out, so equal figures are equal files."""
    for suffix, options in (
        (".png", {"facecolor": "white"}),
        (".svg", {"transparent": True, "metadata": {"Date": None}}),
    ):
        with atomic_file(stem.with_suffix(suffix)) as file:
            figure.savefig(file, format=suffix[1:], bbox_inches="tight", pad_inches=0.06, **options)
    plt.close(figure)


def save_words(stem: Path, words: str) -> None:
    """A figure that says why there is none yet, so that every declared output exists."""
    figure = plt.figure(figsize=(6, 1.2))
    figure.text(0.5, 0.5, words, ha="center", va="center", color=MUTED)
    save(figure, stem)


def inline_svg(text: str, prefix: str) -> str:
    """An SVG file for the page: ids made unique by `prefix`, colours replaced by the page's variables, size left to CSS."""
    svg = text[text.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'(href=")#', rf"\1#{prefix}-", svg)
    svg = svg.replace("url(#", f"url(#{prefix}-")
    for colour, variable in VARIABLES.items():
        svg = re.sub(re.escape(colour), f"var({variable})", svg, flags=re.IGNORECASE)
    return re.sub(
        r'(<svg[^>]*?) width="[^"]+" height="[^"]+"|(<svg[^>]*?) height="[^"]+" width="[^"]+"', r"\1\2", svg, count=1
    )
