"""The gradient penalty of SinGAN's Wasserstein critic, taken pixel by pixel."""

from collections.abc import Callable

import torch
from torch import Tensor


def gradient_penalty(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """mean over images and pixels of (|dD/dx|_2 - 1)^2, the norm over the channels of each pixel; unweighted scalar."""
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)  # [B, C, H, W]
    return (gradient.norm(dim=1) - 1).square().mean()
