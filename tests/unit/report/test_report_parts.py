"""Without finished runs, every figure and image grid is replaced by a note."""

from PIL import Image

from bench.claims import load_settings
from bench.report.build import NO_DATA
from bench.report.figures.curves import curves_figure
from bench.report.figures.image_grids import samples_grid, save_placeholder_grid
from bench.report.read.scores import Scores


def test_without_runs_there_is_no_figure(tmp_path):
    settings = load_settings()
    assert curves_figure(Scores([]), settings.tasks["fewshot"], tmp_path) is None
    assert samples_grid(Scores([]), settings, tmp_path) is None


def test_the_placeholder_of_an_image_grid_contains_text(tmp_path):
    save_placeholder_grid(tmp_path / "grid.png", NO_DATA)
    with Image.open(tmp_path / "grid.png") as image:
        assert image.getchannel("A").getextrema()[1] > 0
