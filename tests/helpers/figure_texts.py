"""Finds texts of a figure that the border cuts or that overlap."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from bench.report.figures.drawing import DPI, extent, lay_out


def texts_of(figure):
    """Return (text, box) of every visible text, in pixels at the resolution of the files."""
    lay_out(figure)
    figure.set_dpi(DPI)
    FigureCanvasAgg(figure).draw()
    outside = {id(text) for axes in figure.axes for text in _labels_outside(axes)}
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), extent(text, figure)) for text in found if id(text) not in outside]


def _labels_outside(axes):
    """Return the labels of ticks outside the limits of an axis, which are not drawn."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            margin = 1e-9 * (high - low)
            if not low - margin <= tick.get_loc() <= high + margin:
                yield from (tick.label1, tick.label2)


def problems(figure):
    """Return the texts that the border cuts, and the pairs of texts that overlap."""
    names, boxes = zip(*texts_of(figure), strict=True)
    x0, y0, x1, y1 = np.array([box.extents for box in boxes]).T
    cut = (x0 < 0) | (y0 < 0) | (x1 > figure.bbox.x1) | (y1 > figure.bbox.y1)
    wide = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0) > 2
    high = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0) > 2
    pairs = np.argwhere(np.triu(wide & high, 1))
    return [names[i] for i in np.flatnonzero(cut)], [(names[i], names[j]) for i, j in pairs]
