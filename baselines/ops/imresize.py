"""Bicubic resizing with antialiasing, as MATLAB's imresize does it and SinGAN's pyramid expects it.

An output pixel at o lies at u = o / s + (1 - 1/s) / 2 in the input (1-based, s = scale). It is the sum of the input
pixels weighted by k(u - i), normalised to one, where k is Keys' cubic (a = -1/2); when shrinking, k is stretched by
1/s (that is the antialiasing). Both axes are linear maps, so a resize is two small matrix products.

Source: Keys, Cubic convolution interpolation for digital image processing, 1981. Three habits of SinGAN's version are
kept, since its training images follow from them: beyond the right and lower border the image is mirrored (border
pixel repeated), but taps beyond the left and upper border are dropped and the rest normalised; the image passes
through 8 bits on the way in (truncated); the result is clamped.
"""

import math

import torch
from torch import Tensor, nn


def output_length(length: int, scale: float) -> int:
    """ceil(length * scale), the size that imresize gives an axis."""
    return math.ceil(length * scale)


def cubic(x: Tensor) -> Tensor:
    """Keys' cubic kernel with a = -1/2; support [-2, 2]."""
    x = x.abs()
    inner = (1.5 * x - 2.5) * x.square() + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, inner, torch.where(x <= 2, outer, torch.zeros_like(x)))


def resize_matrix(length: int, scale: float, out_length: int) -> Tensor:
    """[out_length, length] float64 weights; out_length may be cropped below ceil(length * scale)."""
    stretch = max(1.0, 1.0 / scale)
    centre = torch.arange(1, out_length + 1, dtype=torch.float64) / scale + 0.5 * (1 - 1 / scale)
    taps = math.ceil(4 * stretch) + 2
    first = torch.floor(centre - 2 * stretch)
    index = first[:, None] + torch.arange(taps, dtype=torch.float64)  # 1-based input positions, may lie outside
    weight = torch.where(index < 1, 0.0, cubic((centre[:, None] - index) / stretch))
    weight = weight / weight.sum(dim=1, keepdim=True)
    position = (index.long() - 1) % (2 * length)
    position = torch.where(position < length, position, 2 * length - 1 - position)  # mirrored
    return torch.zeros(out_length, length, dtype=torch.float64).scatter_add_(1, position, weight)


def eight_bits(image: Tensor) -> Tensor:
    """Truncate an image in [-1, 1] to 8 bits; the values stay in [-1, 1]."""
    levels = (image.clamp(-1, 1) + 1) * 127.5
    return (levels + 3e-5).floor() / 127.5 - 1  # the margin keeps 8-bit images what they are despite rounding


class Resize(nn.Module):
    """[B, C, h, w] in [-1, 1] -> [B, C, *out_size], with the two matrices built once.

    Args:
        size: (h, w) of the input.
        scale: factor of both axes.
        out_size: (H, W); default is ceil(size * scale). A smaller one keeps the top left corner.
    """

    def __init__(self, size: tuple[int, int], scale: float, out_size: tuple[int, int] | None = None) -> None:
        super().__init__()
        height, width = out_size or tuple(output_length(length, scale) for length in size)
        self.register_buffer("rows", resize_matrix(size[0], scale, height).float(), persistent=False)
        self.register_buffer("columns", resize_matrix(size[1], scale, width).float(), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return (self.rows @ eight_bits(image) @ self.columns.T).clamp(-1, 1)


def imresize(image: Tensor, scale: float) -> Tensor:
    """Resize [B, C, H, W] in [-1, 1] by `scale`: [B, C, ceil(H scale), ceil(W scale)]."""
    size = (image.shape[-2], image.shape[-1])
    return Resize(size, scale).to(image.device)(image)
