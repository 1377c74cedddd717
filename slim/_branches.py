"""Style and mask branches of skip-layer SLIM. K unshared branches run as a grouped convolution or a batched product."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INIT_STD = 0.02


class GroupedLinear(nn.Module):
    """`groups` parallel linear layers: [B, groups, c_in] -> [B, groups, c_out], with weight [groups * c_out, c_in]."""

    def __init__(self, groups: int, in_features: int, out_features: int) -> None:
        super().__init__()
        bound = in_features**-0.5  # the bound of torch.nn.Linear for weight and bias
        self.groups = groups
        self.weight = nn.Parameter(torch.empty(groups * out_features, in_features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(groups * out_features).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.unflatten(0, (self.groups, -1))
        bias = self.bias.view(self.groups, 1, -1)
        return torch.baddbmm(bias, x.transpose(0, 1), weight.transpose(1, 2)).transpose(0, 1)


class Style(nn.Module):
    """Style branches: pooled [B, K, c] -> styles [B, K, C_high] of K unshared branches."""

    def __init__(self, branches: int, widths: tuple[int, int], out_channels: int, norm: bool) -> None:
        super().__init__()
        width, hidden = widths
        self.fc1 = GroupedLinear(branches, width, hidden)
        self.norm = _initialise_norm(nn.BatchNorm1d(branches * hidden)) if norm else None
        self.fc2 = GroupedLinear(branches, hidden, out_channels)

    def forward(self, pooled: Tensor) -> Tensor:
        x = self.fc1(pooled).flatten(1)
        x = x if self.norm is None else self.norm(x)
        return self.fc2(F.relu(x).unflatten(1, (pooled.shape[1], -1)))


class Mask(nn.Sequential):
    """Mask branches: [B, K c, h, w] -> mask logits [B, K, h, w] of K unshared branches."""

    def __init__(self, branches: int, widths: tuple[int, int], steps: int, dilation: int) -> None:
        width, hidden = (branches * w for w in widths)
        layers = [_conv(width, hidden, branches), _initialise_norm(nn.BatchNorm2d(hidden)), nn.ReLU()]
        for _ in range(steps):
            layers += [_conv(hidden, hidden, branches, dilation), _initialise_norm(nn.BatchNorm2d(hidden)), nn.ReLU()]
        super().__init__(*layers, _conv(hidden, branches, branches))


def _conv(in_channels: int, out_channels: int, groups: int, dilation: int | None = None) -> nn.Conv2d:
    """Return a 1x1 convolution, or a dilated 3x3 convolution if `dilation` is given."""
    kernel, dilation, padding = (1, 1, 0) if dilation is None else (3, dilation, dilation)
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, dilation=dilation, groups=groups)
    nn.init.normal_(conv.weight, 0.0, INIT_STD)
    nn.init.zeros_(conv.get_parameter("bias"))
    return conv


def _initialise_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    nn.init.normal_(norm.weight, 1.0, INIT_STD)
    return norm
