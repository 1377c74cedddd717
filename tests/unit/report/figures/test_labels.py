"""Labels of points and lines are inside their panel and do not overlap."""

from bench.report.figures.drawing import lay_out, new_figure
from bench.report.figures.labels import label_lines, label_points
from bench.report.figures.style import MUTED
from tests.helpers.figure_texts import problems


def test_labels_of_points_in_one_place_do_not_overlap():
    figure = new_figure(4, 2.6)
    axis = figure.subplots()
    names = [f"network-{index}" for index in range(9)]
    x, y = [1.0] * 9, [1 + 1e-6 * index for index in range(9)]
    axis.scatter(x, y)
    axis.set(xlim=(0, 2), ylim=(0, 2))
    lay_out(figure)
    label_points(axis, names, x, y)
    assert problems(figure) == ([], [])


def test_names_of_two_lines_in_one_place_do_not_overlap():
    figure = new_figure(4, 2.6)
    axis = figure.subplots()
    axis.set(xlim=(0, 2), ylim=(0, 2))
    lay_out(figure)
    label_lines(axis, {1.0: "linear classifier", 1.001: "white images", 1.002: "bicubic upsampling"}, MUTED)
    assert problems(figure) == ([], [])
