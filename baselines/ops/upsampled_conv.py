"""Computes a 3x3 convolution of a nearest-upsampled map as one transposed convolution, with 4/9 of the multiplications.

Nearest upsampling repeats every pixel along each axis, so each output depends on only 2x2 distinct inputs, weighted by
sums of the 3x3 taps. Along one axis, (w0, w1, w2) becomes the 4 taps (w2, w1 + w2, w0 + w1, w0) of a transposed
convolution with stride 2 and padding 1. The two forms are mathematically equal, and the upsampled map is never
allocated.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

MIN_SIDE = 8
"""Minimum map size in px for the transposed convolution. For smaller maps, computing its 4x4 taps, which are 16/9 as
many as the 3x3 weights, takes as much time as the convolution saves."""


def upsampled_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Return conv2d(nearest x2 of x [B, C_in, h, w], weight [C_out, C_in, 3, 3], padding=1): [B, C_out, 2h, 2w]."""
    if min(x.shape[2:]) < MIN_SIDE:
        return F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1)
    return F.conv_transpose2d(x, fold_taps(fold_taps(weight.transpose(0, 1), 2), 3), stride=2, padding=1)


def fold_taps(weight: Tensor, dim: int) -> Tensor:
    first, middle, last = weight.split(1, dim)
    return torch.cat([last, middle + last, first + middle, first], dim)
