"""Writes the image grid of samples and their nearest training images."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from bench.files import write_png


def save_neighbours(path: Path, samples: Tensor, training: Tensor, gap: int = 2) -> None:
    """Write an image grid of two rows: samples, uint8 [N, 3, H, W], and their nearest training images. `gap`: px."""
    columns = []
    for sample, real in zip(samples, training, strict=True):
        columns += [torch.cat([sample, torch.full_like(sample[:, :gap], 255), real], dim=1)]
    space = torch.full_like(columns[0][:, :, :gap], 255)
    grid = torch.cat([part for column in columns for part in (space, column)][1:], dim=2)
    write_png(path, Image.fromarray(grid.permute(1, 2, 0).numpy()))
