"""SinGAN with skip-layer SLIM.

At every pyramid scale except the coarsest, a gate re-weights the body's output by the head's output. The gate has no
spectral norm, and no BN in its style branch. Its masks are resized (nearest) from the size of the head's output to the
size of the body's output, which is 6 px smaller. The authors also remove SinGAN's residual at these scales. The removal
may affect scores as much as SLIM does, so it is a separate option.
"""

from typing import Unpack

from torch import nn

from baselines.options import Positive, PositiveFloat
from baselines.pyramid import pyramid_sizes
from baselines.singan import Pyramid
from baselines.singan_scale import per_image
from slim.options import SlimOptions
from slim.skip import SkipLayerSLIM


def dilation_at(scale: int) -> int:
    """Return the authors' dilation, which is 5 up to pyramid scale 3 and 8 at finer pyramid scales."""
    return 5 if scale <= 3 else 8


def pyramid(
    *,
    height: Positive = 250,
    width: Positive = 250,
    min_size: Positive = 25,
    max_size: Positive = 250,
    scale_factor: PositiveFloat = 0.75,
    base_channels: Positive = 32,
    residual: bool = False,
    reduction: Positive = 1,
    dilation: Positive | None = None,
    **slim: Unpack[SlimOptions],
) -> Pyramid:
    """Build SinGAN-SLIM for an image of height x width px.

    `residual` is SinGAN's residual, which adds the upsampled image of the previous scale. It is not the "1 +" of SLIM.
    `dilation=None` selects the authors' value for each scale.
    """

    def make_gate(scale: int, channels: int) -> nn.Module:
        gate = SkipLayerSLIM(
            low_channels=channels,
            high_channels=channels,
            reduction=reduction,
            dilation=dilation or dilation_at(scale),
            spectral_norm=False,
            style_norm=False,
            **slim,
        )
        return per_image(gate)

    plan = pyramid_sizes(height, width, min_size=min_size, max_size=max_size, scale_factor=scale_factor)
    return Pyramid(plan, base_channels=base_channels, residual=residual, make_gate=make_gate)
