"""FastGAN's discriminator (Liu et al. 2021, arXiv 2101.04775) with two paths, three SLE gates and three decoders.

Residual blocks reduce the whole image to 8x8. SLE gates re-weight the maps of 32, 16 and 8 px by the maps of 256, 128
and 64 px. Blocks without a residual path reduce the small image to 8x8. Each path returns 5x5 logits. The decoders
reconstruct the whole image from the 8x8 map of each path, and one quadrant of the image from the same quadrant of the
16x16 map. The reconstruction loss regularises the discriminator on real images.

Below 256 px (not in the paper) the stem keeps the image size, the small image has half that size, and only the gates
whose two maps exist are built. Each map has the same width as at 256 px.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from baselines.fastgan_generator import small_size
from baselines.fastgan_layers import GLU, batch_norm, check_size, conv, up_conv
from baselines.sle import SLEGate

GATES = {32: 256, 16: 128, 8: 64}
"""Size in px of the target map -> size in px of the source map, for each gate of the discriminator."""
SLOPE = 0.2
DECODER_WIDTHS = (128, 64, 64, 32)
DECODER_SIZE = 128
_WIDTH = {8: 8, 16: 4, 32: 2, 64: 1, 128: 1 / 2, 256: 1 / 4, 512: 1 / 8}


class Reconstructions(NamedTuple):
    """Decoded images [B, 3, d, d]: the whole image from the main and the small path, and one quadrant."""

    whole: Tensor
    small: Tensor
    part: Tensor


class Discriminator(nn.Module):
    """Discriminator of FastGAN: (image [B, 3, S, S], small image [B, 3, s, s]) -> logits [B, 50].

    If `part` is 0..3, the output also contains the reconstructions. `part` is the index of the reconstructed quadrant,
    and quadrants are numbered row by row. `decoder_scaled` multiplies the decoders' widths by
    base_channels / 64 (the result is at least 4), and limits the decoded images to min(128, S) px.
    """

    def __init__(self, *, image_size: int, base_channels: int, decoder_scaled: bool, spectral_norm: bool) -> None:
        super().__init__()
        check_size(image_size, base_channels)
        self.image_size, self.small_size = image_size, small_size(image_size)
        top = min(image_size, 256)
        self.sizes = [top >> n for n in range(1, top.bit_length() - 3)]  # 128, 64, 32, 16, 8 at 256 px
        channels = {size: int(factor * base_channels) for size, factor in _WIDTH.items()}
        self.stem = _stem(image_size, channels, spectral_norm)
        self.blocks = nn.ModuleDict(
            {str(size): ResidualDown(channels[2 * size], channels[size], spectral=spectral_norm) for size in self.sizes}
        )
        self.gates = nn.ModuleDict()
        for target, source in GATES.items():
            if source <= top:
                self.gates[str(target)] = SLEGate(
                    low_channels=channels[source], high_channels=channels[target], spectral_norm=spectral_norm
                )
        self.head = nn.Sequential(
            conv(channels[8], 2 * channels[8], 1, spectral=spectral_norm),
            batch_norm(2 * channels[8]),
            nn.LeakyReLU(SLOPE),
            conv(2 * channels[8], 1, 4, spectral=spectral_norm, pad=False),
        )
        self.small_path = _small_path(self.small_size, channels, spectral_norm)
        self.small_head = conv(channels[16], 1, 4, spectral=spectral_norm, pad=False)
        size = min(DECODER_SIZE, image_size) if decoder_scaled else DECODER_SIZE
        widths = [max(4, w * base_channels // 64) if decoder_scaled else w for w in DECODER_WIDTHS]
        self.decode_whole = _decoder(channels[8], widths, size, spectral_norm)
        self.decode_small = _decoder(channels[16], widths, size, spectral_norm)
        self.decode_part = _decoder(channels[16], widths, size, spectral_norm)

    def forward(self, image: Tensor, small: Tensor, part: int | None = None) -> Tensor | tuple[Tensor, Reconstructions]:
        self._check(image, small, part)
        last, middle = self._whole(image)
        low = self.small_path(small)
        logits = torch.cat([self.head(last).flatten(1), self.small_head(low).flatten(1)], dim=1)
        if part is None:
            return logits
        row, column = 8 * (part // 2), 8 * (part % 2)
        quadrant = middle[:, :, row : row + 8, column : column + 8]
        whole, part_image = self.decode_whole(last), self.decode_part(quadrant)
        return logits, Reconstructions(whole=whole, small=self.decode_small(low), part=part_image)

    def _whole(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the 8x8 and the 16x16 map of the main path."""
        x = self.stem(image)
        maps = {x.shape[2]: x}
        for size in self.sizes:
            x = self.blocks[str(size)](x)
            if str(size) in self.gates:
                x = self.gates[str(size)](maps[GATES[size]], x)
            maps[size] = x
        return maps[8], maps[16]

    def _check(self, image: Tensor, small: Tensor, part: int | None) -> None:
        for name, value, size in (("image", image, self.image_size), ("small", small, self.small_size)):
            if value.ndim != 4 or tuple(value.shape[1:]) != (3, size, size):
                raise ValueError(f"{name} must be [B, 3, {size}, {size}], got {list(value.shape)}")
        if image.shape[0] != small.shape[0]:
            raise ValueError(f"image and small must have equal batch sizes, got {image.shape[0]} and {small.shape[0]}")
        if part not in (None, 0, 1, 2, 3):
            raise ValueError(f"part must be a quadrant from 0 to 3, got {part}")


class ResidualDown(nn.Module):
    """Downsampling by 2: mean of (4x4 s2 conv, BN, LReLU, 3x3 conv, BN, LReLU) and (avg pool, 1x1 conv, BN, LReLU)."""

    def __init__(self, in_channels: int, out_channels: int, *, spectral: bool) -> None:
        super().__init__()
        self.main = nn.Sequential(
            *_down(in_channels, out_channels, spectral),
            conv(out_channels, out_channels, 3, spectral=spectral),
            batch_norm(out_channels),
            nn.LeakyReLU(SLOPE),
        )
        self.side = nn.Sequential(
            nn.AvgPool2d(2),
            conv(in_channels, out_channels, 1, spectral=spectral),
            batch_norm(out_channels),
            nn.LeakyReLU(SLOPE),
        )

    def forward(self, x: Tensor) -> Tensor:
        return (self.main(x) + self.side(x)) / 2


class UpGLU(nn.Sequential):
    """Block of a decoder: nearest x2, 3x3 conv, BN, GLU."""

    def __init__(self, in_channels: int, out_channels: int, *, spectral: bool) -> None:
        layer = up_conv(in_channels, 2 * out_channels, spectral=spectral)
        super().__init__(layer, batch_norm(2 * out_channels), GLU())


def _down(in_channels: int, out_channels: int, spectral: bool) -> list[nn.Module]:
    layer = conv(in_channels, out_channels, 4, spectral=spectral, stride=2)
    return [layer, batch_norm(out_channels), nn.LeakyReLU(SLOPE)]


def _stem(image_size: int, channels: dict[int, int], spectral: bool) -> nn.Sequential:
    """Return the stem, which reduces images above 256 px to 256x256.

    At 1024 px it has a second convolution, followed by a BN.
    """
    if image_size <= 256:
        return nn.Sequential(conv(3, channels[image_size], 3, spectral=spectral), nn.LeakyReLU(SLOPE))
    first = conv(3, channels[image_size // 2], 4, spectral=spectral, stride=2)
    second = _down(channels[512], channels[256], spectral) if image_size == 1024 else []
    return nn.Sequential(first, nn.LeakyReLU(SLOPE), *second)


def _small_path(size: int, channels: dict[int, int], spectral: bool) -> nn.Sequential:
    """Return the small path [B, 3, size, size] -> [B, C, 8, 8].

    Its map of m px has as many channels as the main path's map of 2 m px.
    """
    layers = [conv(3, channels[size], 4, spectral=spectral, stride=2), nn.LeakyReLU(SLOPE)]
    while (size := size // 2) > 8:
        layers += _down(channels[2 * size], channels[size], spectral)
    return nn.Sequential(*layers)


def _decoder(in_channels: int, widths: list[int], size: int, spectral: bool) -> nn.Sequential:
    """Return a decoder from an 8x8 map to an image of `size` px in [-1, 1]. Below 128 px it omits the last blocks."""
    blocks = []
    for out_channels in widths[: (size // 8).bit_length() - 1]:
        blocks.append(UpGLU(in_channels, out_channels, spectral=spectral))
        in_channels = out_channels
    return nn.Sequential(*blocks, conv(in_channels, 3, 3, spectral=spectral), nn.Tanh())
