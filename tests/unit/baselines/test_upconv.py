"""The fused convolution of an upsampled map equals upsampling followed by convolution, in values and gradients."""

import pytest
import torch
from torch.nn import functional as F

from baselines.ops.upsampled_conv import MIN_SIDE, upsampled_conv


@pytest.mark.parametrize("size", [(1, 1), (MIN_SIDE - 1, 9), (MIN_SIDE, 11)])
def test_upsampled_conv_equals_upsampling_then_convolution(size):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    got = upsampled_conv(x, weight)
    wanted = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1)
    assert torch.allclose(got, wanted, atol=1e-12)
    probe = torch.randn_like(wanted)
    for a, b in zip(*(torch.autograd.grad(y, (x, weight), probe) for y in (got, wanted)), strict=True):
        assert torch.allclose(a, b, atol=1e-12)
