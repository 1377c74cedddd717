"""SinGAN: a pyramid of small generators that learns one image, from coarse to fine (Shaham et al., ICCV 2019).

    x_0 = G_0(z_0, 0),    x_n = G_n(a_n z_n + up(x_{n-1}), up(x_{n-1}))

z_0 is one channel repeated to three; a_0 = 1 and a_n = 0.1 times the RMSE of up(x*_{n-1}) against the image of scale n,
where x* is the reconstruction: z_0 fixed, z_n = 0 above. up is the pyramid's bicubic resize by 1 / scale_factor, its
top left corner kept where it comes out larger than the next scale. Images are in [-1, 1] throughout.
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
"""(scale, width) -> gate(head output, body output), asked for at every scale but the coarsest"""


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
    """SinGAN for an image of height x width px; residual=False drops `p +` above the coarsest scale."""
    plan = pyramid_sizes(height, width, min_size=min_size, max_size=max_size, scale_factor=scale_factor)
    return Pyramid(plan, base_channels=base_channels, residual=residual)


class Pyramid(nn.Module):
    """The generators of all scales, the noise amplitudes, the fixed noise and the coarsest training image."""

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
        """A critic as wide as the generator of `scale`, newly initialised."""
        return ScaleCritic(self.widths[scale])

    def training_images(self, image: Tensor) -> list[Tensor]:
        """[1, 3, H, W] in [-1, 1], of the size the pyramid was made for -> the image at every scale, coarsest first."""
        finest = imresize(image, self.plan.shrink)
        return [imresize(finest, self.plan.scale(scale)) for scale in range(len(self.sizes))]

    def inputs(self, scale: int, noise: Tensor | None, previous: Tensor) -> tuple[Tensor, Tensor]:
        """What a scale's generator takes: noise (None: zero) [B, 3 or 1, H, W] upon the image from below, already at
        this size, and that image itself, both with their border."""
        noisy = previous if noise is None else previous + self.amplitudes[scale] * noise
        border = (PADDING,) * 4
        return F.pad(noisy, border), F.pad(previous, border)

    def refine(self, scale: int, noise: Tensor | None, previous: Tensor) -> Tensor:
        """One scale: [B, 3, H, W] from noise and the image from below, both of that size."""
        return self.scales[scale](*self.inputs(scale, noise, previous))

    def forward(self, noises: Sequence[Tensor | None], ups: nn.ModuleList | None = None) -> Tensor:
        """One noise map a scale -> the image [B, 3, H, W] of the last scale given, in [-1, 1]."""
        image = noises[0].new_zeros(1, 3, *noises[0].shape[-2:]).expand(noises[0].shape[0], -1, -1, -1)
        for scale, noise in enumerate(noises):
            if scale:
                image = (self.ups if ups is None else ups)[scale - 1](image)
            image = self.refine(scale, noise, image)
        return image.clamp(-1, 1)

    def draw(
        self, scale: int, n: int, generator: torch.Generator | None, size: tuple[int, int] | None = None
    ) -> Tensor:
        """Gaussian noise of a scale, [n, 3, H, W]; at the coarsest one channel [n, 1, H, W] that serves all three."""
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
        """n new images [n, 3, H, W] in [-1, 1].

        Args:
            scale_sizes: another (height, width) for every scale, coarsest first: each at most 1 / scale_factor times
                the one below it.
            scales: stop after so many scales; default all.
        """
        sizes = self.sizes if scale_sizes is None else [tuple(size) for size in scale_sizes]
        noises = [self.draw(scale, n, generator, size) for scale, size in enumerate(sizes[:scales])]
        return self(noises, None if scale_sizes is None else self._resizers(sizes).to(self.amplitudes.device))

    @torch.no_grad()
    def reconstruct(self, scales: int | None = None) -> Tensor:
        """[1, 3, H, W] in [-1, 1]: the image made from the fixed noise, after `scales` scales (default all)."""
        above = (len(self.sizes) if scales is None else scales) - 1
        return self([self.fixed_noise, *[None] * above])

    def bicubic(self) -> Tensor:
        """[1, 3, H, W] in [-1, 1]: the coarsest training image brought to the finest size, learning nothing."""
        factor = 1 / self.plan.scale(0)  # not the ratio of the sizes, which were rounded up
        return Resize(self.sizes[0], factor, self.sizes[-1]).to(self.coarsest.device)(self.coarsest)
