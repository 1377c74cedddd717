"""SLIM-ResNet: the bottleneck's 3x3 convolution becomes a same-layer SLIM; norms, 1x1 convs, shortcuts, widths stay."""

from collections.abc import Callable
from typing import Literal

from torch import nn

from baselines.resnet import DEPTH_50, DEPTH_101, Layout, ResNet, Slot, Stem
from slim.same import LiteralSameLayerSLIM, SameLayerSLIM

Variant = Literal["softmax", "literal"]
VARIANTS = {"softmax": SameLayerSLIM, "literal": LiteralSameLayerSLIM}


def slim_slot(groups: int, ratio: int, variant: Variant) -> Slot:
    """The groups are halved until they divide a stage's width."""

    def build(channels: int, stride: int) -> nn.Module:
        divisor = groups
        while channels % divisor:
            divisor //= 2
        return VARIANTS[variant](channels=channels, groups=divisor, ratio=ratio, stride=stride)

    if groups < 1:
        raise ValueError(f"slim_groups must be positive, got {groups}")
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {tuple(VARIANTS)}, got {variant!r}")
    return build


def resnet(
    *,
    blocks: tuple[int, ...] = (1, 1, 1, 1),
    width: int = 16,
    slim_groups: int = 4,
    ratio: int = 4,
    variant: Variant = "softmax",
    stem: Stem = "small",
    in_channels: int = 3,
    num_classes: int = 10,
    zero_init_residual: bool = False,
) -> ResNet:
    """A SLIM-ResNet of any size: stage i has blocks[i] bottlenecks of width * 2^i planes."""
    layout = Layout(tuple(blocks), width, width, stem, in_channels, num_classes, None, zero_init_residual)
    return ResNet(layout, slim_slot(slim_groups, ratio, variant))


def _imagenet(blocks: tuple[int, ...]) -> Callable[..., ResNet]:
    def build(
        *,
        slim_groups: int = 4,
        ratio: int = 4,
        variant: Variant = "softmax",
        num_classes: int = 1000,
        in_channels: int = 3,
        stem: Stem = "imagenet",
        zero_init_residual: bool = False,
    ) -> ResNet:
        layout = Layout(blocks, 64, 64, stem, in_channels, num_classes, None, zero_init_residual)
        return ResNet(layout, slim_slot(slim_groups, ratio, variant))

    return build


resnet50 = _imagenet(DEPTH_50)
resnet101 = _imagenet(DEPTH_101)
