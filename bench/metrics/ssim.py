"""Structural similarity (Wang et al. 2004) and multi-scale structural similarity (Wang et al. 2003).

Parameters: Gaussian window 11x11, sigma 1.5, population covariance, K1 0.01, K2 0.03, data range 1 (uint8 images
divided by 255), only positions where the window fits entirely, mean over positions and channels, float64. The
corresponding arguments of scikit-image are gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1
and channel_axis.

Multi-scale SSIM uses the scales, at most five, at which the window fits into the image. The published weights of these
scales are normalised to a sum of 1. Each scale is the 2x2 mean of the previous scale, whose last row or column is
ignored if the height or width is odd. Multi-scale SSIM is not defined for fewer than two scales. Negative terms are set
to 0.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.errors import InputError
from bench.metrics.checks import check_uint8

WINDOW, SIGMA = 11, 1.5
MAX_UNTILED_PIXELS = 1 << 18
"""Pixels of the largest image that is compared in one piece. Larger images are compared in tiles to limit memory."""
TILE = 128
"""Height and width of a tile, whose moments fit in a CPU's cache."""
C1, C2 = 0.01**2, 0.03**2
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ssim(images: Tensor, reference: Tensor) -> Tensor:
    """Return the SSIM [B] of images, uint8 [B, 3, H, W], to a reference, uint8 [B or 1, 3, H, W]."""
    _check_pair(images, reference)
    height, width = images.shape[-2:]
    if height * width <= MAX_UNTILED_PIXELS:
        return _similarity_and_contrast(*_unit_range(images, reference), _blur)[0].mean(dim=1)
    rows, columns = height - WINDOW + 1, width - WINDOW + 1  # of the SSIM map
    total = torch.zeros(len(images), dtype=torch.float64, device=images.device)
    for top in range(0, rows, TILE):
        for left in range(0, columns, TILE):
            tile = ..., slice(top, top + TILE + WINDOW - 1), slice(left, left + TILE + WINDOW - 1)
            share = min(TILE, rows - top) * min(TILE, columns - left) / (rows * columns)
            x, y = _unit_range(images[tile], reference[tile])
            total += _similarity_and_contrast(x, y, _blur_by_shifts)[0].mean(dim=1) * share
    return total


def ms_ssim_scales(height: int, width: int) -> int:
    """Return the number of scales, at most five, into which the window fits. Multi-scale SSIM needs at least 2."""
    return sum(min(height, width) // 2**scale >= WINDOW for scale in range(len(SCALE_WEIGHTS)))


def ms_ssim(images: Tensor, reference: Tensor) -> Tensor | None:
    """Return the multi-scale SSIM [B] of images, or None if fewer than two scales fit."""
    scales = ms_ssim_scales(*images.shape[-2:])
    if scales < 2:
        return None
    _check_pair(images, reference)
    x, y = _unit_range(images, reference)
    weights = torch.tensor(SCALE_WEIGHTS[:scales], dtype=x.dtype, device=x.device)
    weights = weights / weights.sum()
    result = torch.ones(x.shape[:2], dtype=x.dtype, device=x.device)
    for scale in range(scales):
        similarity, contrast = _similarity_and_contrast(x, y, _blur)
        term = similarity if scale == scales - 1 else contrast
        result = result * term.clamp(min=0) ** weights[scale]
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return result.mean(dim=1)


def _check_pair(images: Tensor, reference: Tensor) -> None:
    check_uint8(images, "images")
    check_uint8(reference, "reference")
    if images.shape[-2:] != reference.shape[-2:] or len(reference) not in (1, len(images)):
        raise InputError(f"SSIM needs equal shapes, got {tuple(images.shape)} and {tuple(reference.shape)}")
    if min(images.shape[-2:]) < WINDOW:
        raise InputError(f"SSIM needs at least {WINDOW} px, got {images.shape[-2]}x{images.shape[-1]}")


def _unit_range(images: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    return images.double() / 255, (reference.double() / 255).expand(len(images), -1, -1, -1)


def _similarity_and_contrast(x: Tensor, y: Tensor, blur: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return the means over positions of SSIM and of its contrast-structure term, both [B, C]."""
    moments = blur(torch.cat([x, y, x * x, y * y, x * y]))
    mean_x, mean_y, square_x, square_y, product = moments.chunk(5)
    variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
    covariance = product - mean_x * mean_y
    contrast = (2 * covariance + C2) / (variance_x + variance_y + C2)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return (luminance * contrast).mean(dim=(2, 3)), contrast.mean(dim=(2, 3))


def _blur(images: Tensor) -> Tensor:
    """Apply the separable Gaussian window at every position where it fits: [N, C, H, W] -> [N, C, H-10, W-10]."""
    window = _window(images)
    flat = images.flatten(0, 1)[:, None]  # [N*C, 1, H, W]
    flat = F.conv2d(F.conv2d(flat, window.view(1, 1, 1, -1)), window.view(1, 1, -1, 1))
    return flat.unflatten(0, images.shape[:2]).squeeze(2)


def _blur_by_shifts(images: Tensor) -> Tensor:
    """Compute the result of `_blur` as sums of shifted copies.

    On a CPU, the sums take a quarter of the time of a float64 convolution. The last digits of the two results differ.
    """
    window = _window(images).tolist()
    for dim in (3, 2):
        length = images.shape[dim] - WINDOW + 1
        blurred = images.narrow(dim, WINDOW // 2, length) * window[WINDOW // 2]
        for start in range(WINDOW // 2):
            pair = images.narrow(dim, start, length) + images.narrow(dim, WINDOW - 1 - start, length)
            blurred.add_(pair, alpha=window[start])
        images = blurred
    return images


def _window(images: Tensor) -> Tensor:
    """Return the Gaussian weights [11] of one dimension."""
    offsets = torch.arange(WINDOW, dtype=images.dtype, device=images.device) - WINDOW // 2
    window = torch.exp(-0.5 * (offsets / SIGMA) ** 2)
    return window / window.sum()
