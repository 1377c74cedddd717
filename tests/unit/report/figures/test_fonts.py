"""Figures use a part of DejaVu Sans, which has all characters of labels, and the whole font if it cannot be written."""

import pytest
from fontTools.ttLib import TTFont
from matplotlib.font_manager import FontProperties, findfont

from bench.report.figures import fonts
from bench.report.figures.fonts import PART, WHOLE, font_families
from bench.report.read.names import ARROWS


@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_the_part_has_every_character_of_labels_and_the_same_shapes(weight):
    assert font_families() == (PART, WHOLE)
    part, whole = (TTFont(findfont(FontProperties(family=name, weight=weight))) for name in (PART, WHOLE))
    assert set(map(ord, "aZ09é±−…×≈λ" + "".join(ARROWS.values()))) <= part.getBestCmap().keys()
    widths = [font["hmtx"][font.getBestCmap()[ord("w")]] for font in (part, whole)]
    assert widths[0] == widths[1]


def test_the_whole_font_is_used_without_a_temporary_folder(monkeypatch):
    def refuse():
        raise OSError("read-only")

    monkeypatch.setattr(fonts, "_folder", refuse)
    assert font_families.__wrapped__() == (WHOLE,)
