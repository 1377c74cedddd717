"""DiffAugment (Zhao et al. 2020, arXiv 2006.10738), a differentiable augmentation of real and generated images.

color: brightness + U(-0.5, 0.5), saturation x U(0, 2), contrast x U(0.5, 1.5), per image and in this order.
translation: shift by an integer number of pixels up to an eighth of the side, padded with zeros.
cutout: set a square of half the side to zero.
Images are [B, 3, H, W] with a nominal range of -1 to 1.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

TRANSLATION = 0.125
CUTOUT = 0.5


class DiffAugment:
    """Augmentation of image batches. Each call draws parameters from `generator`, which is on the images' device."""

    def __init__(self, policy: tuple[str, ...], generator: torch.Generator):
        self.policy, self.generator = policy, generator

    def __call__(self, images: Tensor) -> Tensor:
        for name in self.policy:
            images = {"color": self._color, "translation": self._translation, "cutout": self._cutout}[name](images)
        return images.contiguous(memory_format=torch.channels_last)  # the fastest format for the discriminator

    def _uniform(self, images: Tensor) -> Tensor:
        return torch.rand(len(images), 1, 1, 1, generator=self.generator, device=images.device).to(images.dtype)

    def _integers(self, images: Tensor, low: int, high: int) -> Tensor:
        """Return random integers n with low <= n < high, int64 [B, 1]."""
        shape = (len(images), 1)
        return torch.randint(low, high, shape, generator=self.generator, device=images.device)

    def _color(self, x: Tensor) -> Tensor:
        brightness = self._uniform(x) - 0.5
        saturation, contrast = 2 * self._uniform(x), 0.5 + self._uniform(x)
        # The three steps can be fused, because saturation preserves the mean over channels (grey), and
        # contrast preserves the mean of grey.
        grey = x.mean(dim=1, keepdim=True)
        mean = grey.mean(dim=(2, 3), keepdim=True)
        chroma = saturation * contrast
        return x * chroma + (grey * (contrast - chroma) + (mean * (1 - contrast) + brightness))

    def _translation(self, x: Tensor) -> Tensor:
        """Translate by gathering rows and columns from the image padded with one zero on each side."""
        height, width = x.shape[2:]
        reach_y, reach_x = int(height * TRANSLATION + 0.5), int(width * TRANSLATION + 0.5)
        down = self._integers(x, -reach_y, reach_y + 1)
        right = self._integers(x, -reach_x, reach_x + 1)
        rows = torch.arange(1, height + 1, device=x.device) + down  # [B, H]
        columns = torch.arange(1, width + 1, device=x.device) + right  # [B, W]
        rows, columns = rows.clamp(0, height + 1), columns.clamp(0, width + 1)
        padded = F.pad(x, (1, 1, 1, 1))
        padded = padded.gather(2, rows[:, None, :, None].expand(-1, x.shape[1], -1, width + 2))
        return padded.gather(3, columns[:, None, None, :].expand(-1, x.shape[1], height, -1))

    def _cutout(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        size_y, size_x = int(height * CUTOUT + 0.5), int(width * CUTOUT + 0.5)
        top = self._integers(x, 0, height + 1 - size_y % 2) - size_y // 2
        left = self._integers(x, 0, width + 1 - size_x % 2) - size_x // 2
        rows, columns = (torch.arange(n, device=x.device)[None] for n in (height, width))
        in_rows = (rows >= top) & (rows < top + size_y)
        in_columns = (columns >= left) & (columns < left + size_x)
        return x * ~(in_rows[:, None, :, None] & in_columns[:, None, None, :])
