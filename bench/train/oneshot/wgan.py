"""Gradient penalty of SinGAN's Wasserstein critic, computed per pixel."""

from collections.abc import Callable

import torch
from torch import Tensor


def gradient_penalty(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return the mean of (|dD/dx|_2 - 1)^2 over images and pixels, a scalar. The norm is over channels."""
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)  # [B, C, H, W]
    return (gradient.norm(dim=1) - 1).square().mean()
