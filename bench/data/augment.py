"""Augmentation of uint8 batches [B, C, H, W] for classification, on any device.

An explicit CPU generator draws the random numbers of the global batch, and each process uses the numbers of its `rows`.
An image therefore gets the same crop on every device and for any number of processes.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

PADDING = 4


@dataclass(frozen=True)
class BatchRows:
    """The rows of one process, start <= row < stop, in a global batch of `total` images."""

    start: int
    stop: int
    total: int

    def uniform(self, generator: torch.Generator, *shape: int) -> Tensor:
        """Return this process's rows of uniform draws [total, *shape] in [0, 1)."""
        return torch.rand(self.total, *shape, generator=generator)[self.start : self.stop]


@dataclass(frozen=True)
class Statistics:
    """Means and standard deviations per channel of images scaled to [0, 1].

    The export of a classifier contains the statistics of its training images, and evaluation normalises the test images
    with them.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Normalise:
    """Conversion of uint8 [B, C, H, W] on `device` to float32 with mean 0 and standard deviation 1 per channel."""

    def __init__(self, statistics: Statistics, device: torch.device) -> None:
        self.shift = torch.tensor(statistics.mean, device=device)[:, None, None] * 255
        self.scale = (torch.tensor(statistics.std, device=device)[:, None, None] * 255).reciprocal()

    def __call__(self, images: Tensor) -> Tensor:
        return (images.float() - self.shift) * self.scale


IMAGENET = Statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def measure_statistics(images: Tensor) -> Statistics:
    """Compute the exact mean and standard deviation per channel of uint8 [N, C, H, W] from histograms."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in range(images.shape[1]):
        share = torch.bincount(images[:, channel].flatten(), minlength=256).double().cpu()
        share /= share.sum()
        mean.append(float(share @ levels))
        std.append(max(1e-3, math.sqrt(float(share @ (levels - mean[-1]) ** 2))))
    return Statistics(tuple(mean), tuple(std))


def flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Flip the images [B, C, H, W] horizontally where `chosen` [B] is true."""
    return torch.where(chosen.to(images.device)[:, None, None, None], images.flip(3), images)


def shift(images: Tensor, offsets: Tensor, padding: int = PADDING) -> Tensor:
    """Pad with zeros and crop to the original size at `offsets`, int64 [B, 2] (top, left) in 0..2*padding."""
    height, width = images.shape[2:]
    padded = F.pad(images, (padding,) * 4)
    offsets = offsets.to(images.device)
    rows = offsets[:, :1] + torch.arange(height, device=images.device)  # [B, H]
    columns = offsets[:, 1:] + torch.arange(width, device=images.device)  # [B, W]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def resized_crop(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Crop `boxes`, float [B, 4] (top, left, height, width in pixels), and resize them bilinearly to size x size."""
    height, width = images.shape[2:]
    top, left, box_height, box_width = boxes.to(images.device).float().unbind(1)
    steps = (torch.arange(size, device=images.device) + 0.5) / size
    y = (top[:, None] + box_height[:, None] * steps) * 2 / height - 1  # [B, size], -1..1 from edge to edge
    x = (left[:, None] + box_width[:, None] * steps) * 2 / width - 1
    grid = torch.stack([x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], dim=3)
    values = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return values.round().clamp(0, 255).to(torch.uint8)


def draw_boxes(uniform: Tensor, height: int, width: int) -> Tensor:
    """Convert uniform draws [B, 4] to the boxes [B, 4] of random resized crops.

    A box covers 0.08..1 of the image area, and its aspect ratio is 3/4..4/3 (log-uniform).
    """
    area = (0.08 + 0.92 * uniform[:, 0]) * height * width
    aspect = torch.exp((2 * uniform[:, 1] - 1) * math.log(4 / 3))
    box_height = (area / aspect).sqrt().clamp(1, height)
    box_width = (area * aspect).sqrt().clamp(1, width)
    top, left = uniform[:, 2] * (height - box_height), uniform[:, 3] * (width - box_width)
    return torch.stack([top, left, box_height, box_width], dim=1)


def augment(
    images: Tensor, kind: Literal["imagenet", "small", "none"], generator: torch.Generator, rows: BatchRows
) -> Tensor:
    """Augment images as `kind` states.

    imagenet: random resized crop and flip; small: zero padding by 4 px, random crop and flip; none: no change.
    """
    if kind == "none":
        return images
    chosen = rows.uniform(generator) < 0.5
    if kind == "small":
        offsets = (rows.uniform(generator, 2) * (2 * PADDING + 1)).long()
        return flip(shift(images, offsets), chosen)
    boxes = draw_boxes(rows.uniform(generator, 4), *images.shape[2:])
    return flip(resized_crop(images, boxes, images.shape[2]), chosen)


def draw_lambda(alpha: float, generator: torch.Generator) -> float:
    """Draw a mixing weight from Beta(alpha, alpha).

    `generator` seeds NumPy's generator, because torch's Beta distribution does not accept a generator.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def mixing_partners(count: int, device: torch.device) -> Tensor:
    """Return the partner of each row. Rows 2j and 2j+1 are partners, and an unpaired last row is its own partner.

    The order of the images is random, so partners are random. Both partners belong to the same process.
    """
    return (torch.arange(count, device=device) ^ 1).clamp(max=count - 1)


def mixup(images: Tensor, targets: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Blend images [B, C, H, W] and float targets [B, classes] with their partners.

    The partners have weight 1 - `weight`.
    """
    other = mixing_partners(len(images), images.device)
    return torch.lerp(images[other], images, weight), torch.lerp(targets[other], targets, weight)


def cutmix(images: Tensor, targets: Tensor, weight: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Replace a box that covers the fraction 1 - `weight` of the area with the same box of the partner.

    The box is clipped to the image, and the targets are mixed in proportion to the clipped area.
    """
    height, width = images.shape[2:]
    side = math.sqrt(1 - weight)
    centre_y, centre_x = (torch.rand(2, generator=generator) * torch.tensor([height, width])).tolist()
    top, bottom = (min(height, max(0, round(centre_y + sign * height * side / 2))) for sign in (-1, 1))
    left, right = (min(width, max(0, round(centre_x + sign * width * side / 2))) for sign in (-1, 1))
    other = mixing_partners(len(images), images.device)
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[other][:, :, top:bottom, left:right]
    area_ratio = 1 - (bottom - top) * (right - left) / (height * width)
    return mixed, torch.lerp(targets[other], targets, area_ratio)
