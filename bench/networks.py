"""Interfaces of trained networks by task.

A network needs the members of its interface, but does not have to inherit from the interface.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from bench.errors import InputError


def check_members(network: nn.Module, kind: type[nn.Module], name: str) -> None:
    """Raise InputError if an external network lacks a member of its interface `kind`."""
    for member in kind.__annotations__:
        if not hasattr(network, member):
            raise InputError(
                f"model {name}: the network has no attribute {member!r}; see bench.networks.{kind.__name__}"
            )


class GeneratorNetwork(nn.Module):
    """Few-shot generator: forward(z [B, latent_dim]) -> (image [B, 3, S, S], small [B, 3, s, s]), both in -1..1."""

    latent_dim: int


class PyramidNetwork(nn.Module):
    """One-shot generator: forward(noises), with one noise map per pyramid scale -> image [B, 3, H, W] in -1..1."""

    sizes: Sequence[tuple[int, int]]
    """(height, width) of each scale, the coarsest first."""
    widths: Sequence[int]
    scales: nn.ModuleList
    """The generator of each scale."""
    ups: nn.ModuleList
    """Modules that resize images from each scale to the next."""
    amplitudes: Tensor
    fixed_noise: Tensor
    coarsest: Tensor
    """The training image at the coarsest scale."""
    training_images: Callable[[Tensor], list[Tensor]]
    """image [1, 3, H, W] -> the image at each scale."""
    inputs: Callable[[int, Tensor | None, Tensor], tuple[Tensor, Tensor]]
    """(scale, noise, upsampled image of the previous scale) -> the two inputs of the generator of `scale`."""
    draw: Callable[[int, int, torch.Generator | None], Tensor]
    """(scale, n, generator) -> noise of n images."""
    sample: Callable[..., Tensor]
    """(n, generator, scales=None) -> n new images."""
    reconstruct: Callable[..., Tensor]
    """(scales=None) -> the reconstruction from the fixed noise."""
    bicubic: Callable[[], Tensor]
    """() -> the coarsest training image, upsampled bicubically, as the control for reconstructions."""
    new_critic: Callable[[int], nn.Module]
