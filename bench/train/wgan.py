"""The critic's losses of SinGAN: Wasserstein GAN with a gradient penalty taken pixel by pixel."""

from collections.abc import Callable

import torch
from torch import Tensor


def gradient_penalty(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """mean over images and pixels of (|dD/dx|_2 - 1)^2, the norm over the channels of each pixel; unweighted scalar."""
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)  # [B, C, H, W]
    return (gradient.norm(dim=1) - 1).square().mean()


def interpolate(real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    """One random point between each real and fake image [B, C, H, W]: where the penalty is taken."""
    share = torch.rand(real.shape[0], 1, 1, 1, generator=generator, device=real.device)
    return share * real + (1 - share) * fake
