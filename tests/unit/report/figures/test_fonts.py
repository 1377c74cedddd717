"""Figures use a subset of DejaVu Sans with all characters of labels, or the full font if no subset can be written."""

import pytest
from fontTools.ttLib import TTFont
from matplotlib.font_manager import FontProperties, findfont

from bench.report.figures import fonts
from bench.report.figures.fonts import FULL, SUBSET, font_families
from bench.report.read.names import ARROWS


@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_the_subset_has_every_character_of_labels_with_the_same_width(weight):
    assert font_families() == (SUBSET, FULL)
    subset, full = (TTFont(findfont(FontProperties(family=name, weight=weight))) for name in (SUBSET, FULL))
    assert set(map(ord, "aZ09é±−…×≈λ" + "".join(ARROWS.values()))) <= subset.getBestCmap().keys()
    widths = [font["hmtx"][font.getBestCmap()[ord("w")]] for font in (subset, full)]
    assert widths[0] == widths[1]


def test_the_full_font_is_used_without_a_temporary_folder(monkeypatch):
    def refuse():
        raise OSError("read-only")

    monkeypatch.setattr(fonts, "_folder", refuse)
    assert font_families.__wrapped__() == (FULL,)
