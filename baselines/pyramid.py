"""Sizes of SinGAN's image pyramid.

The scale factor is adjusted so that the shorter side of the coarsest pyramid scale equals min_size.
"""

import math
from dataclasses import dataclass

from baselines.ops.imresize import output_length

MAX_SIDE, MAX_SCALES = 16384, 200


@dataclass(frozen=True)
class PyramidSizes:
    """Sizes of one image's pyramid, coarsest first.

    Attributes:
        num_scales: number of reductions by the nominal factor from the full image to `min_size`, plus one.
        stop_scale: index of the finest trained pyramid scale (the full image reduced to at most max_size).
        shrink: factor from the full image to the finest scale, at most 1.
        scale_factor: adjusted size ratio of consecutive scales, with which the shorter side of the coarsest scale is
            exactly min_size.
        sizes: (height, width) of each pyramid scale.
    """

    num_scales: int
    stop_scale: int
    shrink: float
    scale_factor: float
    sizes: tuple[tuple[int, int], ...]

    def scale(self, index: int) -> float:
        """Return the factor from the finest image to pyramid scale `index`."""
        return math.pow(self.scale_factor, self.stop_scale - index)


def pyramid_sizes(
    height: int, width: int, *, min_size: int = 25, max_size: int = 250, scale_factor: float = 0.75
) -> PyramidSizes:
    """Compute the pyramid's sizes for an image.

    Raises ValueError for an image that is too small or too large, and for an invalid scale factor.
    """
    if not 0 < scale_factor < 1:
        raise ValueError(f"scale_factor must be between 0 and 1, got {scale_factor}")
    longest = max(height, width)
    if longest > MAX_SIDE:
        raise ValueError(f"image of {height}x{width} px is too large: at most {MAX_SIDE} px per side are supported")
    shrink = min(max_size / longest, 1.0)
    finest = (output_length(height, shrink), output_length(width, shrink))
    if min(finest) < min_size:
        raise ValueError(
            f"image of {height}x{width} px is too small for the pyramid: its finest scale has {finest[0]}x{finest[1]} "
            f"px (max_size {max_size}), but the coarsest scale needs {min_size} px on the shorter side"
        )
    num_scales = math.ceil(math.log(min_size / min(height, width), scale_factor)) + 1
    removed_scales = math.ceil(math.log(min(max_size, longest) / longest, scale_factor))
    # at least two pyramid scales, because the factor cannot be adjusted for a single one
    stop_scale = max(1, num_scales - removed_scales)
    if stop_scale >= MAX_SCALES:
        raise ValueError(
            f"scale_factor {scale_factor} gives {stop_scale + 1} scales, but at most {MAX_SCALES} are supported"
        )
    fitted = math.pow(min_size / min(finest), 1 / stop_scale)
    factors = [math.pow(fitted, stop_scale - index) for index in range(stop_scale + 1)]
    sizes = tuple(tuple(output_length(length, factor) for length in finest) for factor in factors)
    return PyramidSizes(num_scales, stop_scale, shrink, fitted, sizes)
