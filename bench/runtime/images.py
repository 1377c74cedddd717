"""Converts images between uint8 and the range -1..1 of the networks, and writes tensors to PNG files atomically.

Image grids are pixel-identical to torchvision.utils.make_grid. This module does not import torchvision, because
training a generator does not need it and the import takes 4.7 s of CPU time, nearly as much as the import of torch.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from bench.files import write_png


def to_signed(images: Tensor) -> Tensor:
    """Convert uint8 images in 0..255, of any shape, to float32 in -1..1."""
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Convert images in -1..1, of any shape, to uint8. Rounds half up, as torchvision's save_image does, and clips."""
    return ((images.float() + 1) * 127.5 + 0.5).clamp(0, 255).to(torch.uint8)


def save_png(path: Path, image: Tensor) -> None:
    """Write an image [3, H, W] or [1, 3, H, W] in -1..1."""
    pixels = to_uint8(image.detach().reshape(image.shape[-3:])).permute(1, 2, 0).cpu().numpy()
    write_png(path, Image.fromarray(pixels))


def save_row(path: Path, images: Sequence[Tensor], height: int, gap: int = 2) -> None:
    """Write images [1, 3, h, w] of equal size as one row on white, resized (nearest) to `height` pixels."""
    width = round(images[0].shape[-1] * height / images[0].shape[-2])
    tiles = [F.interpolate(image.detach().float(), size=(height, width), mode="nearest") for image in images]
    white = torch.ones_like(tiles[0][..., :gap])
    row = [part for tile in tiles for part in (white, tile)][1:]
    save_png(path, torch.cat(row, dim=3))


def save_grid(path: Path, images: Tensor, columns: int) -> None:
    """Write images [N, 3, H, W] in -1..1 as an image grid, row by row. The last row is padded with white."""
    columns = min(columns, len(images))
    missing = -len(images) % columns
    white = torch.ones(missing, *images.shape[1:], dtype=images.dtype, device=images.device)
    tiles = torch.cat([images, white]).unflatten(0, (-1, columns))  # [rows, columns, 3, H, W]
    save_png(path, tiles.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2))
