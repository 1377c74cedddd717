"""Every figure is drawn from fixture data, with no text cut or overlapping, and with the same bytes each time."""

import numpy as np
import pytest
from PIL import Image

from bench.claims import load_settings
from bench.report.build import figure_makers, grid_makers
from bench.report.figures.drawing import save
from bench.report.figures.image_grids import GAP, LINE, LabelledRow, image_grid
from bench.report.figures.style import use_theme
from bench.report.outputs import FIGURES, IMAGE_GRIDS, PLOT_SUFFIXES
from tests.helpers.figure_texts import problems
from tests.helpers.report_fixture import FASHION, collected, make_results, run_description, write_run, write_score

LONG = "resnext101-64x4d-" + "with-a-long-name-" * 3 + "of-80-chars"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    use_theme()
    scale_dir = make_results(tmp_path_factory.mktemp("figures"), seeds=3)
    return collected(scale_dir), load_settings(), scale_dir


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """Seven classifiers of nearly equal cost on a dataset of 20 classes, with long names."""
    scale_dir = tmp_path_factory.mktemp("crowded") / "demo"
    named = [f"class number {index}" for index in range(20)]
    details = {"classes": named, "per_class": [90.0] * 20, "confusion": np.full((20, 20), 5).tolist()}
    names = ["resnet14-w16", "resnext14-w16", "resnet14-slim-w16", "resnet50", "resnet50-slim", "resnet101", LONG]
    for index, name in enumerate(names):
        folder = write_run(scale_dir, run_description("demo", "classification", name, FASHION, 0, ["top1"]))
        write_score(folder, "top1", 88 + 0.01 * index, details=details if index > 5 else {})
        for control in ("control-linear", "control-halves", "control-white"):
            write_score(folder, "top1", 88.02 + 0.001 * len(control), control)
        write_score(folder, "params", 1e6 + 1000 * (index % 3))
        write_score(folder, "macs", 1e8 + 1000 * index)
        write_score(folder, "ece", 3.0, details={"bins": [[9, 0.5, 0.5], [9, 0.9, 0.8]]})
    return collected(scale_dir), load_settings(), scale_dir


@pytest.mark.parametrize("stem", FIGURES)
def test_a_figure_is_complete_and_reproducible_in_each_format(demo, tmp_path, stem):
    written = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        figure = figure_makers(*demo)[stem]()
        assert figure is not None, "the fixture has no data for this figure"
        folder.mkdir()
        save(figure, folder / "figure")
        written.append({suffix: (folder / f"figure.{suffix}").read_bytes() for suffix in PLOT_SUFFIXES})
    assert written[0] == written[1]
    assert problems(figure) == ([], [])
    assert written[0]["svg"].count(b"<path") > 20 and b"<dc:date>" not in written[0]["svg"]
    assert written[0]["pdf"].startswith(b"%PDF") and b"/Type3" not in written[0]["pdf"]
    with Image.open(tmp_path / "a" / "figure.png") as image:
        pixels = np.asarray(image.convert("L"))
    assert (pixels < 128).mean() > 0.002 and np.all(pixels[[0, -1]] > 250) and np.all(pixels[:, [0, -1]] > 250)


@pytest.mark.parametrize("stem", IMAGE_GRIDS)
def test_an_image_grid_is_drawn_and_reproducible(demo, stem):
    first, second = grid_makers(*demo)[stem](), grid_makers(*demo)[stem]()
    assert first is not None, "the fixture has no images for this grid"
    assert first.tobytes() == second.tobytes()
    assert len(np.unique(np.asarray(first.convert("L")))) > 10


def test_captions_of_narrow_images_have_space():
    images = tuple(Image.new("RGB", (10, 100), "white") for _ in range(40))
    grid = image_grid([LabelledRow("label", images, ("reconstruction",) * 40)])
    ink = np.asarray(grid.getchannel("A"))[LINE : 2 * LINE].max(0) > 0
    assert (np.diff(np.flatnonzero(ink)) > GAP).sum() == 39  # between the captions
    wide = image_grid([LabelledRow("a long label of a row with one small image, " * 4, images[:1])])
    assert np.asarray(wide.getchannel("A"))[:, -2:].max() == 0


@pytest.mark.parametrize(
    "stem", ["complexity", "scores_classification", "confusion", "calibration", "curves_classification"]
)
def test_many_networks_with_long_names_fit(crowded, stem):
    assert problems(figure_makers(*crowded)[f"figures/{stem}"]()) == ([], [])
