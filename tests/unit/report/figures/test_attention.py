"""Image grids of recorded gates: one row per gate of the networks in the main tables, coloured by the masks."""

import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save

from bench.claims import load_settings
from bench.ownership import ATTENTION_KIND
from bench.report.figures.attention import attention_grid, overlay, read_attention
from bench.report.figures.image_grids import TILE
from tests.helpers.report_fixture import EMOJI, collected, make_results, run_description, write_attention, write_run


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    scale_dir = make_results(tmp_path_factory.mktemp("results"), seeds=1)
    return collected(scale_dir), scale_dir


@pytest.mark.parametrize(("task", "rows"), [("fewshot", 2), ("oneshot", 2)])
def test_every_gate_has_a_row_and_every_group_a_tile(results, task, rows):
    scores, scale_dir = results
    grid = attention_grid(scores, load_settings(), scale_dir, task)
    assert grid.height == pytest.approx(rows * TILE, rel=0.6) and grid.height > rows * TILE
    assert grid.width >= 2 * (1 + 4) * TILE


def test_runs_without_recorded_gates_have_no_grid(tmp_path):
    folder = write_run(tmp_path / "demo", run_description("demo", "fewshot", "fastgan-sle", EMOJI, 0, ["fd_efflite0"]))
    scores = collected(tmp_path / "demo")
    assert attention_grid(scores, load_settings(), tmp_path / "demo", "fewshot") is None
    write_attention(folder, 64, {"gates.64": (4, 64)}, groups=None)
    path = folder / "scores/attention.safetensors"
    assert read_attention(path) is not None
    path.write_bytes(path.read_bytes()[:-9])
    assert read_attention(path) is None
    assert attention_grid(scores, load_settings(), tmp_path / "demo", "fewshot") is None


@pytest.mark.parametrize(
    "change",
    [
        {"images": np.zeros((2, 1, 8, 8), np.uint8)},
        {"images": np.zeros((2, 3, 8, 8), np.float32)},
        {"g/masks": np.zeros((1, 4, 2, 2), np.float16)},
        {"g/masks": np.zeros((2, 4), np.float16)},
        {"g/strength": np.zeros((2, 3), np.float32)},
        {"g/channels": np.zeros((2, 0), np.float32)},
    ],
)
def test_a_gate_file_of_other_shapes_is_not_plotted(tmp_path, change):
    valid = {
        "images": np.zeros((2, 3, 8, 8), np.uint8),
        "g/masks": np.zeros((2, 4, 2, 2), np.float16),
        "g/strength": np.zeros((2, 4), np.float32),
    }
    gates = json.dumps([{"name": "g", "low": [2, 2], "high": [8, 8]}])
    for tensors, drawn in ((valid, True), (valid | change, False)):
        (tmp_path / "a").write_bytes(save(tensors, {"kind": ATTENTION_KIND, "gates": gates}))
        assert (read_attention(tmp_path / "a") is not None) == drawn


def test_the_overlay_is_light_where_the_mask_is_large():
    mask = np.array([[0.1, 0.1], [0.9, 0.1]])
    pixels = np.asarray(overlay(Image.new("RGB", (8, 8), (128, 128, 128)), mask)).astype(int).sum(2)
    assert pixels[4:, :4].min() > pixels[:4].max() and pixels[4:, :4].min() > pixels[4:, 4:].max()
    constant = np.asarray(overlay(Image.new("RGB", (8, 8)), np.full((2, 2), 0.5)))
    assert len(np.unique(constant.reshape(-1, 3), axis=0)) == 1
