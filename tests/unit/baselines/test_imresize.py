"""The bicubic resize equals PIL's, an independent implementation of the same kernel, and hand-calculated values."""

import numpy as np
import pytest
import torch
from PIL import Image

from baselines.ops.imresize import Resize, cubic, imresize, output_length, resize_matrix, truncate_to_8_bits


def test_cubic_kernel_has_its_known_values() -> None:
    at = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, -0.5])
    assert torch.allclose(cubic(at), torch.tensor([1.0, 0.5625, 0.0, -0.0625, 0.0, 0.0, 0.5625]))


@pytest.mark.parametrize(("length", "scale"), [(40, 0.5), (50, 0.25), (33, 0.75), (25, 4 / 3), (20, 2.0), (17, 1.0)])
def test_weights_sum_to_one_and_the_length_is_rounded_up(length: int, scale: float) -> None:
    matrix = resize_matrix(length, scale, output_length(length, scale))
    assert matrix.shape == (int(np.ceil(length * scale)), length)
    assert torch.allclose(matrix.sum(1), torch.ones(len(matrix), dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("scale", [0.25, 0.5, 0.8, 1.5, 2.0])
def test_interior_pixels_equal_pil(scale: float) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((40, 60), dtype=np.float32)
    size = (round(60 * scale), round(40 * scale))
    expected = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC))
    rows, columns = resize_matrix(40, scale, size[1]), resize_matrix(60, scale, size[0])
    found = (rows @ torch.from_numpy(values).double() @ columns.T).numpy()
    margin = int(np.ceil(2 * max(1.0, scale))) + 1
    inside = (slice(None, -margin), slice(None, -margin))  # PIL drops taps at all borders, imresize at two
    assert np.abs(found - expected)[inside].max() < 1e-6
    assert np.abs(found - expected).max() > 1e-3


def test_resizing_mirrors_the_image_at_its_end() -> None:
    values = torch.rand(20, dtype=torch.float64)
    mirrored = torch.cat([values, values.flip(0)])
    found = resize_matrix(20, 0.5, 10) @ values
    assert torch.allclose(found, (resize_matrix(40, 0.5, 20) @ mirrored)[:10])


def test_8_bit_values_are_unchanged_and_others_are_truncated() -> None:
    levels = torch.arange(256.0)
    for image in (levels / 127.5 - 1, levels / 255 * 2 - 1, (levels / 255 - 0.5) * 2):
        assert torch.allclose((truncate_to_8_bits(image) + 1) * 127.5, levels, atol=1e-4)
    assert torch.allclose((truncate_to_8_bits(torch.tensor([(0.9 + 7) / 127.5 - 1])) + 1) * 127.5, torch.tensor([7.0]))


def test_a_smaller_output_equals_the_top_left_corner() -> None:
    image = torch.rand(2, 3, 25, 34) * 2 - 1
    whole = imresize(image, 1 / 0.75)
    part = Resize((25, 34), 1 / 0.75, (33, 44))(image)
    assert whole.shape[-2:] == (34, 46) and torch.allclose(whole[..., :33, :44], part, atol=1e-6)


def test_the_result_stays_in_range() -> None:
    edges = torch.ones(1, 3, 16, 16)
    edges[..., ::2] = -1
    resized = imresize(edges, 1.7)
    assert resized.abs().max() <= 1
