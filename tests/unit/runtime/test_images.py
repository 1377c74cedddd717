import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision.utils import make_grid

from bench.runtime.images import save_grid, save_png, save_row, to_signed, to_uint8


def pixels(path) -> torch.Tensor:
    return torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1)


def test_8_bit_values_are_exact_after_normalisation():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_signed(levels)), levels)
    assert (to_signed(levels).min(), to_signed(levels).max()) == (-1, 1)


def test_halves_round_up_and_values_out_of_range_are_clipped():
    """torchvision's save_image does the same. Rounding to even would give 0, 2, 2 and 4."""
    halves = torch.tensor([0.5, 1.5, 2.5, 3.5], dtype=torch.float64)
    images = (halves / 127.5 - 1 + 1e-7).float()
    assert to_uint8(images).tolist() == [1, 2, 3, 4]
    assert to_uint8(torch.tensor([-3.0, -1.0, 1.0, 7.0])).tolist() == [0, 0, 255, 255]


def test_half_precision_preserves_8_bit_levels():
    images = torch.linspace(-1, 1, 999).bfloat16()
    assert torch.equal(to_uint8(images), to_uint8(images.float()))


def test_a_png_contains_the_scored_pixels(tmp_path):
    image = torch.rand(3, 9, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    save_png(tmp_path / "x.png", image)
    assert torch.equal(pixels(tmp_path / "x.png"), to_uint8(image))


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (1, 8), (7, 3), (8, 8), (9, 8), (16, 4)])
def test_a_grid_equals_that_of_torchvision_without_padding(tmp_path, n, columns):
    images = torch.rand(n, 3, 6, 5, generator=torch.Generator().manual_seed(n)) * 2.4 - 1.2
    save_grid(tmp_path / "a.png", images, columns)
    assert torch.equal(pixels(tmp_path / "a.png"), to_uint8(make_grid(images, nrow=columns, padding=0, pad_value=1.0)))


@pytest.mark.parametrize("n", [2, 6])
def test_a_row_equals_the_padded_row_of_torchvision_without_border(tmp_path, n):
    images = torch.rand(n, 3, 4, 7, generator=torch.Generator().manual_seed(n)) * 2 - 1
    save_row(tmp_path / "a.png", list(images.split(1)), height=10)
    tiles = F.interpolate(images, size=(10, 18), mode="nearest")
    row = make_grid(tiles, nrow=n, padding=2, pad_value=1.0)[:, 2:-2, 2:-2]
    assert torch.equal(pixels(tmp_path / "a.png"), to_uint8(row))
