"""Options that network builders pass on to the SLIM modules. The constructors of the modules define the defaults.

    def generator(*, image_size: int = 256, **slim: Unpack[SlimOptions]) -> Generator:
        ... SkipLayerSLIM(low_channels=low, high_channels=high, **slim) ...

Options whose meaning or default differs between networks (reduction, dilation, residual, mask noise) are arguments of
the builders.
"""

from typing import Literal, TypedDict

from baselines.options import Positive

Variant = Literal["softmax", "literal"]


class SlimOptions(TypedDict, total=False):
    """Arguments of `slim.SkipLayerSLIM`, the same in every network."""

    groups: Positive
    """G, the number of groups into which the channels of `low` are split"""
    normalise: bool
    """divide by the sum of the masks"""
    style: bool
    """False: every style s_g is 1"""
    mask: bool
    """False: every mask m_g is 1"""
    shared: bool
    """one branch for all groups"""
    allow_constant: bool
    """permit options that make the gate constant over positions"""


class SameLayerOptions(TypedDict, total=False):
    """Arguments of `slim.resnet.same_layer_builder`."""

    slim_groups: Positive
    """G, halved until it divides the width of a stage"""
    ratio: Positive
    """channels of a group divided by channels of its hidden layers"""
    variant: Variant
    """softmax: as in the co-author's release; literal: as worded in the abstract"""
