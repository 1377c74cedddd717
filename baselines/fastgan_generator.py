"""FastGAN's generator (Liu et al. 2021, arXiv 2101.04775) with a gate slot at each skip-layer pair.

The start block maps z to 4x4 (transposed conv, BN, GLU), and each up-block then doubles the size. Plain blocks produce
the sizes 16, 64, 256 and 1024; composite blocks (two convs, with noise) produce 8, 32, 128 and 512. The map of size t
(64, 128, 256, 512) is gated by the map of size t / 16. The generator returns two images, one at full size (3x3 conv)
and one at min(128, half the full size) px (1x1 conv).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from baselines.fastgan_layers import INIT_STD, batch_norm, check_size, conv, glu, up_conv
from baselines.ops.spectral_norm import spectral_norm

GATE_TARGETS = (64, 128, 256, 512)
GATE_RATIO = 16
COMPOSITE = (8, 32, 128, 512)
_WIDTH = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 1 / 2, 512: 1 / 4, 1024: 1 / 8}


def width(size: int, base_channels: int) -> int:
    """Return the number of channels of the generator's feature map of `size` x `size`."""
    return int(_WIDTH[size] * base_channels)


def gate_pairs(image_size: int, base_channels: int) -> dict[int, tuple[int, int]]:
    """Return target size -> (low_channels, high_channels) for every pair whose two maps exist at this image size."""
    check_size(image_size, base_channels)
    sizes = [t for t in GATE_TARGETS if t <= image_size]
    return {t: (width(t // GATE_RATIO, base_channels), width(t, base_channels)) for t in sizes}


def small_size(image_size: int) -> int:
    """Return the size in px of the generator's second image, which is the input of the discriminator's small path."""
    return min(128, image_size // 2)


class Generator(nn.Module):
    """Generator: z [B, latent_dim] -> (image [B, 3, S, S], small [B, 3, s, s]). `gates`: target size -> gate module."""

    def __init__(
        self,
        *,
        image_size: int,
        base_channels: int,
        latent_dim: int,
        tanh: bool,
        spectral_norm: bool,
        gates: Mapping[int, nn.Module],
    ) -> None:
        super().__init__()
        check_size(image_size, base_channels)
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
        self.image_size, self.latent_dim, self.tanh = image_size, latent_dim, tanh
        self.small_size = small_size(image_size)
        self.sizes = [2**n for n in range(3, image_size.bit_length())]
        channels = {size: width(size, base_channels) for size in [4, *self.sizes]}
        self.start = Start(latent_dim, channels[4], spectral=spectral_norm)
        self.blocks = nn.ModuleDict()
        for size in self.sizes:
            block = CompositeUp if size in COMPOSITE else PlainUp
            self.blocks[str(size)] = block(channels[size // 2], channels[size], spectral=spectral_norm)
        self.gates = nn.ModuleDict({str(size): gate for size, gate in gates.items()})
        self.to_small = conv(channels[self.small_size], 3, 1, spectral=spectral_norm)
        self.to_image = conv(channels[image_size], 3, 3, spectral=spectral_norm)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x = self.start(z)
        maps = {4: x}
        for size in self.sizes:
            x = self.blocks[str(size)](x)
            if str(size) in self.gates:
                x = self.gates[str(size)](maps[size // GATE_RATIO], x)
            maps[size] = x
        image, small = self.to_image(x), self.to_small(maps[self.small_size])
        return (torch.tanh(image), torch.tanh(small)) if self.tanh else (image, small)


class Start(nn.Module):
    """Start block that maps z [B, L] to [B, C, 4, 4] by a transposed convolution of a 1x1 map, BN and GLU.

    The transposed convolution is computed as one matrix product.
    """

    def __init__(self, latent_dim: int, channels: int, *, spectral: bool) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(latent_dim, 2 * channels, 4, bias=False)
        nn.init.normal_(self.conv.weight, 0.0, INIT_STD)
        if spectral:
            spectral_norm(self.conv, dim=1)  # axis 1 of a transposed convolution's weight is the output axis
        self.norm = batch_norm(2 * channels)

    def forward(self, z: Tensor) -> Tensor:
        weight = self.conv.weight  # [L, 2 C, 4, 4]
        x = (z @ weight.flatten(1)).unflatten(1, weight.shape[1:])
        # all following layers use channels_last, whatever the memory format of the weights, because channels-first took
        # 1.2 times the CPU time for the forward and backward pass at 128 px (32 base channels, batch 8, one AVX-512
        # core)
        return glu(self.norm(x.contiguous(memory_format=torch.channels_last)))


class Noise(nn.Module):
    """Noise layer that adds one Gaussian map per image, multiplied by a learned scalar that is initially 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape[0], 1, *x.shape[2:], dtype=x.dtype, device=x.device)
        return x + self.weight.to(x.dtype) * noise


class PlainUp(nn.Module):
    """Plain up-block: nearest x2, 3x3 conv, BN, GLU."""

    def __init__(self, in_channels: int, out_channels: int, *, spectral: bool) -> None:
        super().__init__()
        self.conv = up_conv(in_channels, 2 * out_channels, spectral=spectral)
        self.norm = batch_norm(2 * out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return glu(self.norm(self.conv(x)))


class CompositeUp(nn.Module):
    """Composite up-block: nearest x2, then the sequence (3x3 conv, noise, BN, GLU) two times."""

    def __init__(self, in_channels: int, out_channels: int, *, spectral: bool) -> None:
        super().__init__()
        self.conv1 = up_conv(in_channels, 2 * out_channels, spectral=spectral)
        self.noise1 = Noise()
        self.norm1 = batch_norm(2 * out_channels)
        self.conv2 = conv(out_channels, 2 * out_channels, 3, spectral=spectral)
        self.noise2 = Noise()
        self.norm2 = batch_norm(2 * out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = glu(self.norm1(self.noise1(self.conv1(x))))
        return glu(self.norm2(self.noise2(self.conv2(x))))
