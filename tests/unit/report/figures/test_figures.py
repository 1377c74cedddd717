"""Figures have one panel per protocol and never mix protocols."""

import pytest

from bench.claims import load_settings
from bench.metrics.protocol import ProtocolError
from bench.report.figures.classification import calibration_figure, confusion_figure
from bench.report.figures.plots import fd_curve_figure
from tests.helpers.report_fixture import (
    EMOJI,
    FASHION,
    collected,
    make_results,
    run_description,
    write_run,
    write_score,
)

CLASSES = {"per_class": [100.0, 50.0], "confusion": [[2, 0], [1, 1]]}


@pytest.fixture(scope="module")
def tasks():
    return load_settings().tasks


def test_curves_of_two_protocols_have_separate_panels(tmp_path, tasks):
    for name, protocol in (("fastgan-sle", "fd/a"), ("fastgan-slim-4to64", "fd/a"), ("fastgan-sle-residual", "fd/b")):
        folder = write_run(tmp_path / "demo", run_description("demo", "fewshot", name, EMOJI, 0, ["fd_efflite0"]))
        write_score(folder, "fd_efflite0", 10.0, protocol=protocol, details={"curve": {"50": 20.0, "100": 10.0}})
    figure = fd_curve_figure(collected(tmp_path / "demo"), tasks["fewshot"])
    assert [len({line.get_color() for line in axis.lines}) for axis in figure.axes] == [2, 1]
    assert len(figure.legends[0].get_texts()) == 3


def test_fid_is_the_first_panel(tmp_path, tasks):
    folder = write_run(tmp_path / "demo", run_description("demo", "fewshot", "fastgan-sle", EMOJI, 0, ["fd_efflite0"]))
    for metric in ("fd_efflite0", "fid_cleanfid"):
        write_score(folder, metric, 10.0, details={"curve": {"50": 20.0, "100": 10.0}})
    figure = fd_curve_figure(collected(tmp_path / "demo"), tasks["fewshot"])
    assert [axis.get_ylabel().split(" (")[0] for axis in figure.axes] == ["FID", "FD"]


@pytest.mark.parametrize(
    ("draw", "metric", "details"),
    [(calibration_figure, "ece", {"bins": [[9, 0.8, 0.7]]}), (confusion_figure, "top1", CLASSES)],
)
def test_two_protocols_never_share_a_panel(tmp_path, tasks, draw, metric, details):
    for name in ("resnet14-w16", "resnet14-slim-w16"):
        folder = write_run(tmp_path / "demo", run_description("demo", "classification", name, FASHION, 0, [metric]))
        write_score(folder, metric, 75.0, protocol=f"{metric}/{name}", details=details)
    with pytest.raises(ProtocolError, match=f"'{metric}/resnet14.*' and '{metric}/resnet14"):
        draw(collected(tmp_path / "demo"), tasks["classification"])


def test_class_names_are_plain_text(tmp_path, tasks):
    names = {"classes": [r"$\nonsense{$", "<script>"]}
    folder = write_run(
        tmp_path / "demo", run_description("demo", "classification", "resnet14-w16", FASHION, 0, ["top1"])
    )
    write_score(folder, "top1", 75.0, details=CLASSES | names)
    figure = confusion_figure(collected(tmp_path / "demo"), tasks["classification"])
    figure.draw_without_rendering()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [r"\$\nonsense{\$", "<script>"]


def test_confusion_is_percent_of_the_true_class_with_seeds_together(tmp_path, tasks):
    scale_dir = make_results(tmp_path)
    figure = confusion_figure(collected(scale_dir), tasks["classification"])
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert (shown[0].get_title() or shown[0].get_title(loc="left")) == f"resnet14-slim-w16: {FASHION}"
    assert [text.get_text() for text in shown[0].texts] == ["80", "20", "10", "90"]  # 161 of 200: 80 %
    assert [label.get_text() for label in shown[0].get_yticklabels()] == ["shirt", "boot"]
