"""Reference implementation of skip-layer SLIM, written from its equations for tests and benchmarks.

The code loops over groups, upsamples masks to full size, applies torch's spectral norm to every layer of every branch,
and uses autograd for all gradients. The packages slim and baselines never import this module.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from slim import SkipLayerSLIM


def normed(layer: nn.Module, spectral: bool) -> nn.Module:
    return spectral_norm(layer) if spectral else layer


class ReferenceBranch(nn.Module):
    """Style branch and mask branch of one group: [B, c, h, w] -> style [B, C_high], mask logits [B, 1, h, w]."""

    def __init__(
        self, width: int, hidden: int, high_channels: int, dilation: int, steps: int, spectral: bool, style_norm: bool
    ) -> None:
        super().__init__()
        self.fc1 = normed(nn.Linear(width, hidden), spectral)
        self.fc_norm = nn.BatchNorm1d(hidden) if style_norm else nn.Identity()
        self.fc2 = normed(nn.Linear(hidden, high_channels), spectral)
        self.conv_in = normed(nn.Conv2d(width, hidden, 1), spectral)
        self.norm_in = nn.BatchNorm2d(hidden)
        dilated = [nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation) for _ in range(steps)]
        self.convs = nn.ModuleList(normed(conv, spectral) for conv in dilated)
        self.norms = nn.ModuleList(nn.BatchNorm2d(hidden) for _ in range(steps))
        self.conv_out = normed(nn.Conv2d(hidden, 1, 1), spectral)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        style = self.fc2(F.relu(self.fc_norm(self.fc1(F.adaptive_avg_pool2d(x, 1).flatten(1)))))
        x = F.relu(self.norm_in(self.conv_in(x)))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        return style, self.conv_out(x)


class ReferenceSLIM(nn.Module):
    """Skip-layer SLIM at full size: out = high * w with w(p, k) = 1 + sum_g m_g(p) s_g(k) / (sum_g m_g(p) + 1e-6)."""

    def __init__(
        self,
        *,
        low_channels: int,
        high_channels: int,
        groups: int = 4,
        reduction: int = 16,
        dilation: int = 2,
        steps: int = 2,
        residual: bool = True,
        normalise: bool = True,
        mask_noise: bool = False,
        style: bool = True,
        mask: bool = True,
        shared: bool = False,
        spectral_norm: bool = True,
        style_norm: bool = True,
        allow_constant: bool = False,
    ) -> None:
        super().__init__()
        self.groups, self.residual, self.normalise, self.style, self.mask = groups, residual, normalise, style, mask
        self.shared = shared
        width = low_channels // groups
        self.branches = nn.ModuleList(
            ReferenceBranch(width, width // reduction, high_channels, dilation, steps, spectral_norm, style_norm)
            for _ in range(1 if shared else groups)
        )
        self.noise_weight = nn.Parameter(torch.zeros(1)) if mask_noise else None

    def forward(self, low: Tensor, high: Tensor, noise: Tensor | None = None) -> Tensor:
        numerator, denominator = 0, 0
        for style, logits in self._branch_outputs(low):
            if self.noise_weight is not None:
                logits = logits + self.noise_weight * noise
            mask = F.interpolate(torch.sigmoid(logits), size=high.shape[2:], mode="nearest")
            mask = mask if self.mask else torch.ones_like(mask)
            style = style if self.style else torch.ones_like(style)
            numerator = numerator + mask * style[:, :, None, None]
            denominator = denominator + mask
        gate = numerator / (denominator + 1e-6) if self.normalise else numerator
        return high * (1 + gate if self.residual else gate)

    def _branch_outputs(self, low: Tensor) -> list[tuple[Tensor, Tensor]]:
        slices = low.chunk(self.groups, dim=1)
        if not self.shared:
            return [branch(part) for branch, part in zip(self.branches, slices, strict=True)]
        # the shared branch takes all groups as one batch, so that its batch norms have one set of statistics
        styles, logits = self.branches[0](torch.cat(slices))
        return list(zip(styles.chunk(self.groups), logits.chunk(self.groups), strict=True))


def layer_pairs(reference: ReferenceSLIM, gate: SkipLayerSLIM) -> list[tuple[list[nn.Module], nn.Module]]:
    """Return pairs of corresponding layers of the reference implementation's branches and of the gate."""

    def column(name: str) -> list[nn.Module]:
        return [branch.get_submodule(name) for branch in reference.branches]

    pairs = []
    if gate.style is not None:
        pairs += [(column("fc1"), gate.style.fc1), (column("fc2"), gate.style.fc2)]
        if gate.style.norm is not None:
            pairs.append((column("fc_norm"), gate.style.norm))
    if gate.mask is not None:
        layers = [layer for layer in gate.mask if not isinstance(layer, nn.ReLU)]
        steps = range(len(reference.branches[0].convs))
        names = ["conv_in", "norm_in", *(f"{kind}.{k}" for k in steps for kind in ("convs", "norms")), "conv_out"]
        pairs += [(column(name), layer) for name, layer in zip(names, layers, strict=True)]
    return pairs


def tensors_of(layer: nn.Module) -> dict[str, Tensor]:
    """Return a layer's state under the names that both implementations share (weight, bias, u, v, statistics)."""
    names = {
        "parametrizations.weight.original": "weight",
        "parametrizations.weight.0._u": "u",
        "parametrizations.weight.0._v": "v",
        "parametrizations.weight.0.u": "u",
        "parametrizations.weight.0.v": "v",
    }
    state = {names.get(name, name): value for name, value in layer.state_dict(keep_vars=True).items()}
    return {name: value for name, value in state.items() if name != "num_batches_tracked"}


@torch.no_grad()
def copy_state(reference: ReferenceSLIM, gate: SkipLayerSLIM) -> None:
    """Copy the reference implementation's state into the gate, branch by branch (weights, statistics, u and v)."""
    for parts, layer in layer_pairs(reference, gate):
        for name, value in tensors_of(layer).items():
            value.copy_(torch.cat([tensors_of(part)[name] for part in parts]).reshape(value.shape))
    if gate.noise_weight is not None:
        gate.noise_weight.copy_(reference.noise_weight)
