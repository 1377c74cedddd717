"""SinGAN, a pyramid of small generators that learns a single image from coarse to fine (Shaham et al., ICCV 2019).

    x_0 = G_0(z_0, 0),    x_n = G_n(a_n z_n + up(x_{n-1}), up(x_{n-1}))

z_0 is one channel repeated three times. a_0 = 1, and a_n is 0.1 times the RMSE between up(x*_{n-1}) and the image of
pyramid scale n, where x* is the reconstruction (fixed z_0, z_n = 0 for n > 0). up is a bicubic resize by 1 /
scale_factor. Its result is cropped to the top left corner if it is larger than the next scale. Images are in [-1, 1].
"""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.ops.imresize import Resize, imresize
from baselines.options import Positive, PositiveFloat
from baselines.pyramid import PyramidSizes, pyramid_sizes
from baselines.singan_scale import PADDING, ScaleCritic, ScaleGenerator, width_at

MakeGate = Callable[[int, int], nn.Module]
"""Factory (scale, width) -> gate(head output, body output), called for every scale except the coarsest."""


def pyramid(
    *,
    height: Positive = 250,
    width: Positive = 250,
    min_size: Positive = 25,
    max_size: Positive = 250,
    scale_factor: PositiveFloat = 0.75,
    base_channels: Positive = 32,
    residual: bool = True,
) -> "Pyramid":
    """Build SinGAN for an image of height x width px. residual=False keeps only the residual of the coarsest scale."""
    plan = pyramid_sizes(height, width, min_size=min_size, max_size=max_size, scale_factor=scale_factor)
    return Pyramid(plan, base_channels=base_channels, residual=residual)


class Pyramid(nn.Module):
    """Generators of all pyramid scales, with the noise amplitudes, the fixed noise and the coarsest training image."""

    def __init__(
        self, plan: PyramidSizes, *, base_channels: int = 32, residual: bool = True, make_gate: MakeGate | None = None
    ) -> None:
        super().__init__()
        self.plan, self.sizes = plan, plan.sizes
        self.widths = tuple(width_at(scale, base_channels) for scale in range(len(self.sizes)))
        self.scales = nn.ModuleList()
        for scale, width in enumerate(self.widths):
            gate = make_gate(scale, width) if make_gate is not None and scale else None
            self.scales.append(ScaleGenerator(width, residual=residual or scale == 0, gate=gate))
        self.ups = self._resizers(self.sizes)
        self.register_buffer("amplitudes", torch.ones(len(self.sizes)))
        self.register_buffer("fixed_noise", torch.zeros(1, 1, *self.sizes[0]))
        self.register_buffer("coarsest", torch.zeros(1, 3, *self.sizes[0]))

    def _resizers(self, sizes: Sequence[tuple[int, int]]) -> nn.ModuleList:
        factor = 1 / self.plan.scale_factor
        return nn.ModuleList(Resize(size, factor, larger) for size, larger in itertools.pairwise(sizes))

    def new_critic(self, scale: int) -> ScaleCritic:
        """Return a newly initialised critic with the width of the generator of `scale`."""
        return ScaleCritic(self.widths[scale])

    def training_images(self, image: Tensor) -> list[Tensor]:
        """Return the image at every pyramid scale, coarsest first.

        `image` is [1, 3, H, W] in [-1, 1] and has the size that the pyramid was built for.
        """
        finest = imresize(image, self.plan.shrink)
        return [imresize(finest, self.plan.scale(scale)) for scale in range(len(self.sizes))]

    def inputs(self, scale: int, noise: Tensor | None, previous: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two padded inputs of the generator of `scale`: `previous` plus scaled noise, and `previous`.

        `noise` is [B, 3 or 1, H, W], or None for zero noise. `previous` is the upsampled image of the previous scale.
        """
        noisy = previous if noise is None else previous + self.amplitudes[scale] * noise
        border = (PADDING,) * 4
        return F.pad(noisy, border), F.pad(previous, border)

    def refine(self, scale: int, noise: Tensor | None, previous: Tensor) -> Tensor:
        """Apply the generator of one scale to noise and the upsampled image of the previous scale, all [B, 3, H, W]."""
        return self.scales[scale](*self.inputs(scale, noise, previous))

    def forward(self, noises: Sequence[Tensor | None], ups: nn.ModuleList | None = None) -> Tensor:
        """Generate images [B, 3, H, W] in [-1, 1] from one noise map per pyramid scale to run, coarsest first."""
        image = noises[0].new_zeros(1, 3, *noises[0].shape[-2:]).expand(noises[0].shape[0], -1, -1, -1)
        for scale, noise in enumerate(noises):
            if scale:
                image = (self.ups if ups is None else ups)[scale - 1](image)
            image = self.refine(scale, noise, image)
        return image.clamp(-1, 1)

    def draw(
        self, scale: int, n: int, generator: torch.Generator | None, size: tuple[int, int] | None = None
    ) -> Tensor:
        """Draw Gaussian noise [n, 3, H, W] for a pyramid scale.

        The noise of the coarsest scale is [n, 1, H, W] and is broadcast over the channels.
        """
        device = self.amplitudes.device if generator is None else generator.device
        shape = (n, 3 if scale else 1, *(size or self.sizes[scale]))
        return torch.randn(shape, generator=generator, device=device).to(self.amplitudes.device)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        scale_sizes: Sequence[tuple[int, int]] | None = None,
        scales: int | None = None,
    ) -> Tensor:
        """Generate n images [n, 3, H, W] in [-1, 1].

        Args:
            scale_sizes: (height, width) for every pyramid scale, coarsest first, in place of the trained sizes. Each
                size is at most 1 / scale_factor times the previous size.
            scales: number of pyramid scales to run; None runs all.
        """
        sizes = self.sizes if scale_sizes is None else [tuple(size) for size in scale_sizes]
        noises = [self.draw(scale, n, generator, size) for scale, size in enumerate(sizes[:scales])]
        return self(noises, None if scale_sizes is None else self._resizers(sizes).to(self.amplitudes.device))

    @torch.no_grad()
    def reconstruct(self, scales: int | None = None) -> Tensor:
        """Return the reconstruction [1, 3, H, W] in [-1, 1] from fixed noise after `scales` scales (None runs all)."""
        above = (len(self.sizes) if scales is None else scales) - 1
        return self([self.fixed_noise, *[None] * above])

    def bicubic(self) -> Tensor:
        """Return the coarsest training image resized to the finest size, [1, 3, H, W] in [-1, 1], without a network."""
        factor = 1 / self.plan.scale(0)  # not the ratio of the sizes, because sizes are rounded up
        return Resize(self.sizes[0], factor, self.sizes[-1]).to(self.coarsest.device)(self.coarsest)
