"""Grids of images, tile beside tile without a gap, so that a report can cut them apart again."""

from pathlib import Path

import torch
from torch import Tensor

from bench.train.pictures import save_png


def save_grid(path: Path, images: Tensor, columns: int) -> None:
    """images [N, 3, H, W] in -1..1, row by row; the last row is filled up with white."""
    columns = min(columns, len(images))
    missing = -len(images) % columns
    white = torch.ones(missing, *images.shape[1:], dtype=images.dtype, device=images.device)
    tiles = torch.cat([images, white]).unflatten(0, (-1, columns))  # [rows, columns, 3, H, W]
    save_png(path, tiles.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2))
