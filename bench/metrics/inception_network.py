"""The Inception network of published FIDs (TensorFlow, 2015-12-05), which maps images of 299x299 px to 2,048 features.

Architecture: Szegedy et al. 2015, arXiv 1512.00567, with two differences. As in the TensorFlow graph, average pooling
does not count padding, and the last block uses max pooling. Each batch norm (scale 1) is folded into its convolution,
which computes the same function with fewer passes over memory.
"""

import torch
from torch import Tensor, nn

PIXELS, FEATURES = 299, 2048
EPSILON = 1e-3
"""Epsilon of the batch norms."""

Kernel = int | tuple[int, int]
ROW, COLUMN = (1, 7), (7, 1)


class Branches(nn.Module):
    """Parallel branches, whose outputs are concatenated along the channels."""

    def __init__(self, *branches: nn.Module):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def build_inception() -> nn.Sequential:
    """Return the network [B, 3, 299, 299] in -1..1 -> [B, 2048].

    The convolutions are in the order of the published files.
    """
    stem = [_conv(3, 32, 3, stride=2), _conv(32, 32, 3, padding=0), _conv(32, 64, 3), nn.MaxPool2d(3, stride=2)]
    stem += [_conv(64, 80), _conv(80, 192, 3, padding=0), nn.MaxPool2d(3, stride=2)]  # [B, 192, 35, 35]
    fine = [_block_a(192, 32), _block_a(256, 64), _block_a(288, 64), _block_b()]  # [B, 768, 17, 17]
    middle = [_block_c(128), _block_c(160), _block_c(160), _block_c(192), _block_d()]  # [B, 1280, 8, 8]
    coarse = [_block_e(1280, _average()), _block_e(2048, nn.MaxPool2d(3, stride=1, padding=1))]  # [B, 2048, 8, 8]
    return nn.Sequential(*stem, *fine, *middle, *coarse, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def load_folded(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load `tensors` ("00.weight", "00.beta", "00.mean", "00.var", "01.weight", ...) and fold the batch norms.

    With the batch norm's beta, mean m, variance v and s = (v + epsilon)^-1/2, the weight becomes w s and the bias
    beta - m s, computed in float64.
    """
    folded = {}
    convolutions = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    for index, name in enumerate(convolutions):
        parts = (tensors[f"{index:02}.{part}"].double() for part in ("weight", "beta", "mean", "var"))
        weight, beta, mean, variance = parts
        scale = (variance + EPSILON).rsqrt()
        folded[f"{name}.weight"] = weight * scale[:, None, None, None]
        folded[f"{name}.bias"] = beta - mean * scale
    network.load_state_dict(folded)


def _conv(channels: int, out: int, kernel: Kernel = 1, stride: int = 1, padding: int | str = "same") -> nn.Module:
    """Return a convolution with bias, and a ReLU. Height and width change only if `stride` > 1 or `padding` = 0."""
    conv = nn.Conv2d(channels, out, kernel, stride, 0 if stride > 1 else padding)
    return nn.Sequential(conv, nn.ReLU(inplace=True))


def _average() -> nn.Module:
    return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)


def _block_a(channels: int, pooled: int) -> nn.Module:
    """Return a block [B, channels, 35, 35] -> [B, 224 + pooled, 35, 35]."""
    five = nn.Sequential(_conv(channels, 48), _conv(48, 64, 5))
    double = nn.Sequential(_conv(channels, 64), _conv(64, 96, 3), _conv(96, 96, 3))
    return Branches(_conv(channels, 64), five, double, nn.Sequential(_average(), _conv(channels, pooled)))


def _block_b() -> nn.Module:
    """Return a block [B, 288, 35, 35] -> [B, 768, 17, 17]."""
    double = nn.Sequential(_conv(288, 64), _conv(64, 96, 3), _conv(96, 96, 3, stride=2))
    return Branches(_conv(288, 384, 3, stride=2), double, nn.MaxPool2d(3, stride=2))


def _block_c(inner: int) -> nn.Module:
    """Return a block [B, 768, 17, 17] -> [B, 768, 17, 17]."""
    seven = nn.Sequential(_conv(768, inner), _conv(inner, inner, ROW), _conv(inner, 192, COLUMN))
    first = [_conv(768, inner), _conv(inner, inner, COLUMN), _conv(inner, inner, ROW)]
    double = nn.Sequential(*first, _conv(inner, inner, COLUMN), _conv(inner, 192, ROW))
    return Branches(_conv(768, 192), seven, double, nn.Sequential(_average(), _conv(768, 192)))


def _block_d() -> nn.Module:
    """Return a block [B, 768, 17, 17] -> [B, 1280, 8, 8]."""
    three = nn.Sequential(_conv(768, 192), _conv(192, 320, 3, stride=2))
    seven = nn.Sequential(_conv(768, 192), _conv(192, 192, ROW), _conv(192, 192, COLUMN), _conv(192, 192, 3, stride=2))
    return Branches(three, seven, nn.MaxPool2d(3, stride=2))


def _block_e(channels: int, pool: nn.Module) -> nn.Module:
    """Return a block [B, channels, 8, 8] -> [B, 2048, 8, 8]."""
    three = nn.Sequential(_conv(channels, 384), _split())
    double = nn.Sequential(_conv(channels, 448), _conv(448, 384, 3), _split())
    return Branches(_conv(channels, 320), three, double, nn.Sequential(pool, _conv(channels, 192)))


def _split() -> nn.Module:
    """Return a 1x3 and a 3x1 convolution in parallel: [B, 384, 8, 8] -> [B, 768, 8, 8]."""
    return Branches(_conv(384, 384, (1, 3)), _conv(384, 384, (3, 1)))
