"""SLIM-ResNet. Same-layer SLIM replaces the bottleneck's 3x3 convolution; all other layers and widths are unchanged."""

from collections.abc import Callable
from typing import Unpack

from torch import nn

from baselines.options import Positive
from baselines.resnet import DEPTH_50, DEPTH_101, ConvBuilder, Layout, ResNet, Stem
from slim.options import SameLayerOptions, Variant
from slim.same import LiteralSameLayerSLIM, SameLayerSLIM

VARIANTS = {"softmax": SameLayerSLIM, "literal": LiteralSameLayerSLIM}


def same_layer_builder(*, slim_groups: int = 4, ratio: int = 4, variant: Variant = "softmax") -> ConvBuilder:
    """Return a builder of same-layer SLIM. In each stage, `slim_groups` is halved until it divides the width."""

    def build(channels: int, stride: int) -> nn.Module:
        divisor = slim_groups
        while channels % divisor:
            divisor //= 2
        return VARIANTS[variant](channels=channels, groups=divisor, ratio=ratio, stride=stride)

    if slim_groups < 1:
        raise ValueError(f"slim_groups must be positive, got {slim_groups}")
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {tuple(VARIANTS)}, got {variant!r}")
    return build


def resnet(
    *,
    blocks: tuple[Positive, ...] = (1, 1, 1, 1),
    width: Positive = 16,
    stem: Stem = "small",
    in_channels: Positive = 3,
    num_classes: Positive = 10,
    zero_init_residual: bool = False,
    **slim: Unpack[SameLayerOptions],
) -> ResNet:
    """Build a SLIM-ResNet of any size. Stage i has blocks[i] bottlenecks of width * 2^i planes."""
    layout = Layout(tuple(blocks), width, width, stem, in_channels, num_classes, None, zero_init_residual)
    return ResNet(layout, same_layer_builder(**slim))


def _imagenet(blocks: tuple[int, ...]) -> Callable[..., ResNet]:
    def build(
        *,
        num_classes: Positive = 1000,
        in_channels: Positive = 3,
        stem: Stem = "imagenet",
        zero_init_residual: bool = False,
        **slim: Unpack[SameLayerOptions],
    ) -> ResNet:
        layout = Layout(blocks, 64, 64, stem, in_channels, num_classes, None, zero_init_residual)
        return ResNet(layout, same_layer_builder(**slim))

    return build


resnet50 = _imagenet(DEPTH_50)
resnet101 = _imagenet(DEPTH_101)
