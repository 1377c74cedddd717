"""Skip-layer excitation, FastGAN's gate (Liu et al. 2021, arXiv 2101.04775).

    out = x_t * sigmoid(conv1x1(swish(conv4x4(pool_to_4x4(x_s)))))

The gate multiplies each channel by one factor, equal at all positions. With `residual`, the factor is 1 + sigmoid(...).
The residual variant is a control that separates the effect of SLIM's "1 +" from the effect of SLIM's masks.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.fastgan_layers import conv

GRID = 4


class SLEGate(nn.Module):
    """SLE gate: low [B, C_low, h, w], high [B, C_high, H, W] -> [B, C_high, H, W]."""

    def __init__(
        self, *, low_channels: int, high_channels: int, residual: bool = False, spectral_norm: bool = True
    ) -> None:
        super().__init__()
        if low_channels < 1 or high_channels < 1:
            raise ValueError(f"channels must be at least 1, got {low_channels} and {high_channels}")
        self.low_channels, self.high_channels, self.residual = low_channels, high_channels, residual
        self.conv1 = conv(low_channels, high_channels, GRID, spectral=spectral_norm, pad=False)
        self.conv2 = conv(high_channels, high_channels, 1, spectral=spectral_norm)

    def extra_repr(self) -> str:
        return f"residual={self.residual}"

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        if (low.shape[1], high.shape[1]) != (self.low_channels, self.high_channels):
            expected, given = (self.low_channels, self.high_channels), (low.shape[1], high.shape[1])
            raise ValueError(f"expected low and high with {expected} channels, got {given}")
        if low.shape[0] != high.shape[0]:
            raise ValueError(f"low and high must have equal batch sizes, got {low.shape[0]} and {high.shape[0]}")
        return high * self.channel_gate(low)[..., None, None]

    def channel_gate(self, low: Tensor) -> Tensor:
        """Return the factor of each channel, [B, C_high]."""
        weight = torch.sigmoid(self.conv2(F.silu(self.conv1(pool_to_grid(low)))))[..., 0, 0]
        return 1 + weight if self.residual else weight


def pool_to_grid(x: Tensor) -> Tensor:
    """Average-pool `x` to 4x4.

    If 4 divides height and width, the function uses avg_pool2d, because the gradient of adaptive_avg_pool2d is not
    deterministic on CUDA.
    """
    height, width = x.shape[2:]
    if (height, width) == (GRID, GRID):
        return x
    if height % GRID or width % GRID:
        return F.adaptive_avg_pool2d(x, GRID)
    return F.avg_pool2d(x, (height // GRID, width // GRID))
