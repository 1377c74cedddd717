"""LPIPS v0.1 with VGG16 (Zhang et al. 2018), a channel-weighted distance between unit-normalised features.

d(x, y) is the sum over five layers of the mean over positions of sum_c w_c (f_c(x) - f_c(y))^2, with images in -1..1.
The distance is differentiable with respect to x and y, so the perceptual loss and the metric use the same module.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from bench.metrics.catalogue import LPIPS_WEIGHTS
from bench.metrics.weights import has_weights, weights_path

SLICE_ENDS = (4, 9, 16, 23, 30)
"""Ends of the slices of torchvision's VGG16: after relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
EPSILON = 1e-20
TRUNK, HEADS = LPIPS_WEIGHTS
MISSING_WEIGHTS = f"weights {TRUNK!r} are missing; run `slim-bench fetch {TRUNK}`"


class Lpips(nn.Module):
    """Distance [B] between two batches of images [B, 3, H, W] in -1..1."""

    shift: Tensor
    scale: Tensor

    def __init__(self, trunk: dict[str, Tensor], heads: dict[str, Tensor]):
        """Build the module from the state dicts of torchvision's VGG16 and of LPIPS's linear layers, lin0..lin4."""
        super().__init__()
        from torchvision.models.vgg import cfgs, make_layers

        with torch.device("meta"):
            features = make_layers(cfgs["D"])
        prefix = "features."
        state = {name.removeprefix(prefix): value for name, value in trunk.items() if name.startswith(prefix)}
        features.load_state_dict(state, assign=True)
        starts = (0, *SLICE_ENDS[:-1])
        self.slices = nn.ModuleList(features[start:end] for start, end in zip(starts, SLICE_ENDS, strict=True))
        for index in range(len(SLICE_ENDS)):
            self.register_buffer(f"weight{index}", heads[f"lin{index}.model.1.weight"].float(), persistent=False)
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = (x - self.shift) / self.scale, (y - self.shift) / self.scale
        total = x.new_zeros(len(x))
        for index, layers in enumerate(self.slices):
            for layer in layers.children():
                x, y = _apply(layer, x), _apply(layer, y)
            squared = (_unit(x) - _unit(y)).square()
            weight = getattr(self, f"weight{index}")
            total = total + (squared * weight).sum(dim=1).mean(dim=(1, 2))
        return total


def _apply(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.relu(x) if isinstance(layer, nn.ReLU) else layer(x)


def _unit(features: Tensor) -> Tensor:
    """Scale features to unit length over channels. EPSILON keeps the gradient finite if all channels are 0."""
    return features * torch.rsqrt(features.square().sum(dim=1, keepdim=True) + EPSILON)


def has_lpips_weights() -> bool:
    """Return whether the VGG16 weights are on this machine. The file has 553 MB, so scoring does not download it."""
    return has_weights(TRUNK)


def load_lpips(trunk: Path | None = None, heads: Path | None = None) -> Lpips:
    """Load LPIPS from the given files, or from the catalogue's weights, which are verified by sha256."""
    paths = trunk or weights_path(TRUNK), heads or weights_path(HEADS)
    return Lpips(*(torch.load(path, map_location="cpu", weights_only=True) for path in paths))
