"""What the builders of networks hand on to the SLIM modules; the modules' constructors hold the defaults.

    def generator(*, image_size: int = 256, **slim: Unpack[SlimOptions]) -> Generator:
        ... SkipLayerSLIM(low_channels=low, high_channels=high, **slim) ...

What means something else from network to network, or has another default there, is an argument of that builder:
reduction, dilation, residual, mask noise.
"""

from typing import Literal, TypedDict

from baselines.options import Positive

Variant = Literal["softmax", "literal"]


class SlimOptions(TypedDict, total=False):
    """Arguments of `slim.SkipLayerSLIM`, the same in every network."""

    groups: Positive
    """G, the groups into which the source's channels are split"""
    normalise: bool
    """divide by the summed masks"""
    style: bool
    """False: every style s_g is 1"""
    mask: bool
    """False: every mask m_g is 1"""
    shared: bool
    """one branch for all groups"""
    allow_constant: bool
    """permit a choice that makes the gate constant over positions"""


class SameLayerOptions(TypedDict, total=False):
    """Arguments of `slim.resnet.slim_slot`."""

    slim_groups: Positive
    """G, halved where a stage's width is not divisible by it"""
    ratio: Positive
    """channels of a group over those of its hidden layers"""
    variant: Variant
    """softmax: the co-author's release; literal: the abstract read literally"""
