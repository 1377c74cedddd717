"""A 3x3 convolution of a nearest-upsampled map as one transposed convolution: the same values, 4/9 of the products.

Doubling by nearest neighbour makes pairs of equal pixels, so each output meets only 2x2 different inputs, under sums of
the 3x3 taps: along one axis (w0, w1, w2) becomes the 4 taps (w2, w1 + w2, w0 + w1, w0) of a transposed convolution with
stride 2 and padding 1. The upsampled map is never made.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def upsampled_conv(x: Tensor, weight: Tensor) -> Tensor:
    """conv2d(nearest x2 of x [B, C_in, h, w], weight [C_out, C_in, 3, 3], padding=1) -> [B, C_out, 2h, 2w]."""
    return F.conv_transpose2d(x, four_taps(four_taps(weight, 2), 3).transpose(0, 1), stride=2, padding=1)


def four_taps(weight: Tensor, dim: int) -> Tensor:
    first, middle, last = weight.split(1, dim)
    return torch.cat([last, middle + last, first + middle, first], dim)
