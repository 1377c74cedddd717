"""A subset of DejaVu Sans for the figures. Each PDF embeds its font, and a smaller font is embedded faster."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from fontTools import subset
from matplotlib.font_manager import FontProperties, findfont, fontManager

FULL, SUBSET = "DejaVu Sans", "DejaVu Sans Part"
CHARACTERS = (*range(0x20, 0x250), *range(0x370, 0x400), *range(0x2010, 0x2040), *range(0x2190, 0x2270))
"""Latin and Greek letters, punctuation, arrows and operators. Other characters are drawn with the full font."""
LAYOUT = ["FFTM", "GDEF", "GPOS", "GSUB", "MATH", "kern"]
WEIGHTS = ("normal", "bold")


@cache
def font_families() -> tuple[str, ...]:
    """Add the subset to matplotlib's fonts for this process, and return the font families of the figures.

    Embedding the full font would add two seconds to a report, mostly for reading the layout tables of the font. If the
    temporary folder cannot be written, all characters are drawn with the full font.
    """
    try:
        for weight in WEIGHTS:
            path = Path(_folder().name, f"{weight}.ttf")
            _write_subset(findfont(FontProperties(family=FULL, weight=weight)), path)
            fontManager.addfont(path)
    except OSError:
        return (FULL,)
    return SUBSET, FULL


@cache
def _folder() -> "TemporaryDirectory[str]":
    """Return a folder that exists until the process ends."""
    return TemporaryDirectory(prefix="slim-bench-", ignore_cleanup_errors=True)


def _write_subset(source: str, path: Path) -> None:
    options = subset.Options(layout_features=[], name_IDs=["*"], name_languages=["*"], notdef_outline=True)
    options.drop_tables += LAYOUT
    font = subset.load_font(source, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=CHARACTERS)
    subsetter.subset(font)
    for record in font["name"].names:
        record.string = record.toUnicode().replace(FULL, SUBSET)
    font.save(path)
