"""Images of SLIM and its baseline for the sliders, and scores with their uncertainty over images."""

from bench.claims import load_settings
from bench.report.embedded import raster
from bench.report.image_pairs import image_pairs
from bench.report.read.row import Row
from bench.report.score_spread import spread_over_images
from tests.helpers.report_fixture import EMOJI, collected, discs, run_description, write_run


def test_a_pair_has_the_images_of_both_networks_if_their_sizes_agree(tmp_path):
    scale_dir = tmp_path / "demo"
    for experiment in ("fastgan-sle", "fastgan-slim-4to64"):
        folder = write_run(scale_dir, run_description("demo", "fewshot", experiment, EMOJI, 0, []))
        discs(folder / "samples" / "grid.png", 8, 8, 40)
    scores, settings = collected(scale_dir), load_settings()
    (pair,) = image_pairs(scores, settings, scale_dir, "fewshot")
    assert (pair.baseline.caption, pair.slim.caption) == ("fastgan-sle", "fastgan-slim-4to64")
    assert 'width="1024" height="256"' in pair.slim.body and EMOJI in pair.caption
    assert image_pairs(scores, settings, scale_dir, "classification") == []
    discs(folder / "samples" / "grid.png", 8, 1, 40)
    assert image_pairs(scores, settings, scale_dir, "fewshot") == []


def test_the_description_of_an_image_is_escaped(tmp_path):
    from PIL import Image

    assert "&lt;b&gt;" in raster(Image.new("RGB", (2, 2)), "<b>")


def test_a_score_has_an_interval_or_a_standard_error():
    known = {"metric": "top1", "value": 1.0}
    assert spread_over_images(Row.of({**known, "interval_low": 0.5, "interval_high": 2.0, "n": 7.0})) == (
        "0.50 … 2.00 (n = 7)"
    )
    assert spread_over_images(Row.of({**known, "standard_error": 0.25})) == "standard error 0.25"
    assert spread_over_images(Row.of(known)) == ""
