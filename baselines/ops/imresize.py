"""Bicubic resizing with antialiasing as in MATLAB's imresize. SinGAN builds its pyramid with this resizing.

Output pixel o is at input position u = o / s + (1 - 1/s) / 2 (1-based, s = scale). The value of the pixel is the sum of
the input pixels i with weights k(u - i), normalised to a sum of one, where k is Keys' cubic kernel (a = -1/2). For
s < 1, the kernel is stretched by 1/s for antialiasing. Resizing is linear along each axis, so it is computed as two
matrix products.

Source: Keys, Cubic convolution interpolation for digital image processing, 1981. Three properties of SinGAN's version
are kept, because SinGAN's training images depend on them. Beyond the right and lower border the image is mirrored (with
the border pixel repeated), but taps beyond the left and upper border are dropped and the other taps renormalised. The
input is truncated to 8 bits. The result is clamped.
"""

import math

import torch
from torch import Tensor, nn


def output_length(length: int, scale: float) -> int:
    """Return ceil(length * scale), the output length of imresize along an axis."""
    return math.ceil(length * scale)


def cubic(x: Tensor) -> Tensor:
    """Evaluate Keys' cubic kernel with a = -1/2 and support [-2, 2]."""
    x = x.abs()
    inner = (1.5 * x - 2.5) * x.square() + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, inner, torch.where(x <= 2, outer, torch.zeros_like(x)))


def resize_matrix(length: int, scale: float, out_length: int) -> Tensor:
    """Return the matrix [out_length, length] that resizes along one axis, in float64.

    An out_length below ceil(length * scale) crops the output.
    """
    stretch = max(1.0, 1.0 / scale)
    centre = torch.arange(1, out_length + 1, dtype=torch.float64) / scale + 0.5 * (1 - 1 / scale)
    taps = math.ceil(4 * stretch) + 2
    first = torch.floor(centre - 2 * stretch)
    index = first[:, None] + torch.arange(taps, dtype=torch.float64)  # 1-based input positions, some out of range
    weight = torch.where(index < 1, 0.0, cubic((centre[:, None] - index) / stretch))
    weight = weight / weight.sum(dim=1, keepdim=True)
    position = (index.long() - 1) % (2 * length)
    position = torch.where(position < length, position, 2 * length - 1 - position)  # mirrored
    return torch.zeros(out_length, length, dtype=torch.float64).scatter_add_(1, position, weight)


def truncate_to_8_bits(image: Tensor) -> Tensor:
    """Truncate an image in [-1, 1] to 8 bits and return values in [-1, 1]."""
    levels = (image.clamp(-1, 1) + 1) * 127.5
    return (levels + 3e-5).floor() / 127.5 - 1  # the margin leaves 8-bit images unchanged despite rounding errors


class Resize(nn.Module):
    """Resizing of images [B, C, h, w] in [-1, 1] to [B, C, *out_size] with two matrices that are built once.

    Args:
        size: (h, w) of the input.
        scale: factor for both axes.
        out_size: (H, W); None means ceil(size * scale). A smaller size crops the output to its top left corner.
    """

    def __init__(self, size: tuple[int, int], scale: float, out_size: tuple[int, int] | None = None) -> None:
        super().__init__()
        height, width = out_size or tuple(output_length(length, scale) for length in size)
        self.register_buffer("rows", resize_matrix(size[0], scale, height).float(), persistent=False)
        self.register_buffer("columns", resize_matrix(size[1], scale, width).float(), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return (self.rows @ truncate_to_8_bits(image) @ self.columns.T).clamp(-1, 1)


def imresize(image: Tensor, scale: float) -> Tensor:
    """Resize [B, C, H, W] in [-1, 1] by `scale` to [B, C, ceil(H scale), ceil(W scale)]."""
    size = (image.shape[-2], image.shape[-1])
    return Resize(size, scale).to(image.device)(image)
