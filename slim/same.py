"""SameLayerSLIM, a drop-in replacement for a 3x3 convolution. Each group gates its values over positions and channels.

The input x [B, C, H, W] is split along channels into G groups of c = C/G. With r = max(4, c // ratio), per group:

    q = conv3x3_{r->c}(relu(BN(conv3x3_{c->r}(x))))          spatial map       [B, c, H, W]
    k = conv1x1_{r->c}(relu(BN(conv1x1_{c->r}(mean_p x))))   channel vector    [B, c, 1, 1]
    v = conv3x3_{c->c}(x)                                    value             [B, c, H, W]
    out = softmax over the c channels of (q * k), times v

The outputs of the groups are concatenated. Stride 2 appends a 2x2 average pooling.

Source: arXiv 2112.14804 (form inferred from a co-author's release). Convolutions before a BN have no bias; all others
have a bias. The groups run as grouped convolutions and give the same values as G separate branches. Initialisation is
Kaiming normal with the fan-out of one group, because torch's initialiser would use the fan-out of all groups together.

`LiteralSameLayerSLIM` follows the wording of the abstract. It gates the value v as skip-layer SLIM does, with masks and
styles computed from x, so that out = v * (1 + sum_g m_g s_g / (sum_g m_g + 1e-6)).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from slim._narrow_conv import NarrowConv2d
from slim.skip import SkipLayerSLIM

NARROW = 16


class SameLayerSLIM(nn.Module):
    """Same-layer SLIM [B, C, H, W] -> [B, C, ceil(H/stride), ceil(W/stride)]. The BN in k needs B > 1 in training."""

    def __init__(self, *, channels: int, groups: int = 4, ratio: int = 4, stride: int = 1) -> None:
        super().__init__()
        check_arguments(channels, groups, ratio, stride)
        self.channels, self.groups, self.stride = channels, groups, stride
        hidden = groups * max(4, channels // groups // ratio)
        self.query = nn.Sequential(
            NarrowConv2d(channels, hidden, 3, padding=1, groups=groups, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            NarrowConv2d(hidden, channels, 3, padding=1, groups=groups),
        )
        self.key = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, groups=groups, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1, groups=groups),
        )
        self.value = NarrowConv2d(channels, channels, 3, padding=1, groups=groups)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                initialise_grouped(module)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.channels)
        key = self.key(x.mean((2, 3), keepdim=True))
        return pool(gate(self.query(x), key, self.value(x), self.groups), self.stride)


class LiteralSameLayerSLIM(nn.Module):
    """Variant of same-layer SLIM with skip-layer gating. Its input and output shapes are those of SameLayerSLIM.

    The style and mask branches have about max(4, c // ratio) hidden channels, and never more than c.
    """

    def __init__(self, *, channels: int, groups: int = 4, ratio: int = 4, stride: int = 1) -> None:
        super().__init__()
        check_arguments(channels, groups, ratio, stride)
        self.channels, self.stride = channels, stride
        width = channels // groups
        self.value = nn.Conv2d(channels, channels, 3, padding=1, groups=groups)
        initialise_grouped(self.value)
        self.skip = SkipLayerSLIM(
            low_channels=channels,
            high_channels=channels,
            groups=groups,
            reduction=max(1, width // max(4, width // ratio)),
            spectral_norm=False,
        )

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.channels)
        return pool(self.skip(x, self.value(x)), self.stride)


def gate(query: Tensor, key: Tensor, value: Tensor, groups: int) -> Tensor:
    """Return softmax(query * key) over the channels of each group, times value.

    key is [B, C, 1, 1]; query, value and the result are [B, C, H, W]. For channels_last input the softmax runs over the
    innermost dimension, except for groups of fewer than 16 channels, because their softmax is faster with positions
    innermost.
    """
    logits = query * key
    narrow = logits.shape[1] // groups < NARROW
    if narrow or not logits.is_contiguous(memory_format=torch.channels_last):
        weight = logits.unflatten(1, (groups, -1)).softmax(2).flatten(1, 2)
    else:
        last = logits.permute(0, 2, 3, 1).unflatten(3, (groups, -1))  # [B, H, W, G, c]
        weight = last.softmax(4).flatten(3, 4).permute(0, 3, 1, 2)
    return value * weight  # in this order the product keeps the memory format of `value`


def pool(x: Tensor, stride: int) -> Tensor:
    """Average stride x stride windows. Windows at an odd border average only the existing positions."""
    return x if stride == 1 else functional.avg_pool2d(x, stride, ceil_mode=True)


def initialise_grouped(conv: nn.Conv2d) -> None:
    """Initialise with Kaiming normal, using the fan-out of one group, and bias 0."""
    fan_out = conv.out_channels // conv.groups * math.prod(conv.kernel_size)
    nn.init.normal_(conv.weight, std=math.sqrt(2 / fan_out))
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def check_arguments(channels: int, groups: int, ratio: int, stride: int) -> None:
    if min(channels, groups, ratio) < 1:
        raise ValueError(f"channels, groups and ratio must be positive, got {channels}, {groups}, {ratio}")
    if channels % groups:
        raise ValueError(f"channels must be divisible by groups, got {channels} channels and {groups} groups")
    if stride not in (1, 2):
        raise ValueError(f"stride must be 1 or 2, got {stride}")


def check_input(x: Tensor, channels: int) -> None:
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(f"expected [B, {channels}, H, W], got {list(x.shape)}")
