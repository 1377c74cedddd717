"""Reference implementation of FastGAN's networks, written module by module with torch's standard layers.

SLIM gates upsample their masks to full size, each SLIM group is a separate module, and the networks use torch's
spectral norm, a separate interpolation at the start of each upsampling block, and contiguous memory. The generator
supports powers of two from 8 to 1024 px. The code is not optimised for speed.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


def conv(cin: int, cout: int, kernel: int, stride: int = 1, padding: int = 0, **options) -> nn.Module:
    layer = nn.Conv2d(cin, cout, kernel, stride, padding, **{"bias": False, **options})
    nn.init.normal_(layer.weight, 0.0, 0.02)
    return spectral_norm(layer)


def norm(channels: int, kind: type = nn.BatchNorm2d) -> nn.Module:
    layer = kind(channels)
    nn.init.normal_(layer.weight, 1.0, 0.02)
    return layer


class Noise(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight * torch.randn(x.size(0), 1, x.size(2), x.size(3), device=x.device)


class SLE(nn.Module):
    def __init__(self, cin: int, cout: int):
        super().__init__()
        self.main = nn.Sequential(
            nn.AdaptiveAvgPool2d(4), conv(cin, cout, 4), nn.SiLU(), conv(cout, cout, 1), nn.Sigmoid()
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        return high * self.main(low)


class SlimGroup(nn.Module):
    """Style branch and mask branch of one SLIM group."""

    def __init__(self, width: int, cout: int, reduction: int = 16, dilation: int = 2):
        super().__init__()
        hidden = width // reduction
        self.style = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            spectral_norm(nn.Linear(width, hidden)),
            norm(hidden, nn.BatchNorm1d),
            nn.ReLU(),
            spectral_norm(nn.Linear(hidden, cout)),
        )
        layers = [conv(width, hidden, 1, bias=True), norm(hidden), nn.ReLU()]
        for _ in range(2):
            layers += [
                conv(hidden, hidden, 3, padding=dilation, dilation=dilation, bias=True),
                norm(hidden),
                nn.ReLU(),
            ]
        self.mask = nn.Sequential(*layers, conv(hidden, 1, 1, bias=True))


class SLIM(nn.Module):
    def __init__(self, cin: int, cout: int, groups: int = 4, dilation: int = 2):
        super().__init__()
        self.groups = nn.ModuleList(SlimGroup(cin // groups, cout, dilation=dilation) for _ in range(groups))

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        parts = low.chunk(len(self.groups), dim=1)
        styles = torch.stack([g.style(x) for g, x in zip(self.groups, parts, strict=True)], dim=1)  # [B, G, C]
        masks = torch.sigmoid(torch.cat([g.mask(x) for g, x in zip(self.groups, parts, strict=True)], dim=1))
        masks = F.interpolate(masks, size=high.shape[2:])[:, :, None]  # [B, G, 1, H, W]
        weight = 1 + (masks * styles[:, :, :, None, None]).sum(1) / (masks.sum(1) + 1e-6)
        return high * weight


def up(cin: int, cout: int) -> nn.Module:
    return nn.Sequential(nn.Upsample(scale_factor=2), conv(cin, 2 * cout, 3, padding=1), norm(2 * cout), nn.GLU(dim=1))


def up_composite(cin: int, cout: int) -> nn.Module:
    return nn.Sequential(
        nn.Upsample(scale_factor=2),
        *(conv(cin, 2 * cout, 3, padding=1), Noise(), norm(2 * cout), nn.GLU(dim=1)),
        *(conv(cout, 2 * cout, 3, padding=1), Noise(), norm(2 * cout), nn.GLU(dim=1)),
    )


class ReferenceGenerator(nn.Module):
    """Generator that maps latents [B, nz] to (image, small image).

    It uses SLIM gates at the target sizes in `slim`, and SLE gates at the other target sizes. At 1024 px both images
    pass through tanh. SLIM has no mask noise, which the authors use at 1024 px only.
    """

    def __init__(self, image_size: int = 256, ngf: int = 64, slim: tuple[int, ...] = (128, 256), nz: int = 256):
        super().__init__()
        factors = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25, 1024: 0.125}
        width = {size: int(factor * ngf) for size, factor in factors.items()}
        self.sizes = [size for size in width if 4 < size <= image_size]
        self.small_size = min(128, image_size // 2)
        start = nn.ConvTranspose2d(nz, 2 * width[4], 4, bias=False)
        nn.init.normal_(start.weight, 0.0, 0.02)
        self.start = nn.Sequential(spectral_norm(start), norm(2 * width[4]), nn.GLU(dim=1))
        self.blocks, self.gates = nn.ModuleDict(), nn.ModuleDict()
        for size in self.sizes:
            make = up_composite if size in (8, 32, 128, 512) else up
            self.blocks[str(size)] = make(width[size // 2], width[size])
            if size in (64, 128, 256, 512):
                low, high = width[size // 16], width[size]
                gate = SLIM(low, high, dilation=4 if size == 512 else 2) if size in slim else SLE(low, high)
                self.gates[str(size)] = gate
        self.to_small = conv(width[self.small_size], 3, 1)
        self.to_image = conv(width[image_size], 3, 3, padding=1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        maps = {4: self.start(z[:, :, None, None])}
        for size in self.sizes:
            x = self.blocks[str(size)](maps[size // 2])
            maps[size] = self.gates[str(size)](maps[size // 16], x) if str(size) in self.gates else x
        images = self.to_image(maps[self.sizes[-1]]), self.to_small(maps[self.small_size])
        return images if self.sizes[-1] < 1024 else tuple(torch.tanh(image) for image in images)


def down(cin: int, cout: int) -> list[nn.Module]:
    return [conv(cin, cout, 4, 2, 1), norm(cout), nn.LeakyReLU(0.2)]


class Down(nn.Module):
    def __init__(self, cin: int, cout: int):
        super().__init__()
        self.main = nn.Sequential(*down(cin, cout), conv(cout, cout, 3, padding=1), norm(cout), nn.LeakyReLU(0.2))
        self.side = nn.Sequential(nn.AvgPool2d(2), conv(cin, cout, 1), norm(cout), nn.LeakyReLU(0.2))

    def forward(self, x: Tensor) -> Tensor:
        return (self.main(x) + self.side(x)) / 2


def decoder(cin: int) -> nn.Module:
    widths = (128, 64, 64, 32)
    blocks = [up(i, o) for i, o in zip((cin, *widths), widths, strict=False)]
    return nn.Sequential(nn.AdaptiveAvgPool2d(8), *blocks, conv(32, 3, 3, padding=1), nn.Tanh())


class ReferenceDiscriminator(nn.Module):
    """Discriminator that maps (image, small image) to logits [B, 50], for 256 or 1024 px.

    If `part`, the index of a quadrant, is given, the output also contains three reconstructions.
    """

    def __init__(self, ngf: int = 64, image_size: int = 256):
        super().__init__()
        width = {8: 8 * ngf, 16: 4 * ngf, 32: 2 * ngf, 64: ngf, 128: ngf // 2, 256: ngf // 4, 512: ngf // 8}
        if image_size == 1024:
            first = conv(3, width[512], 4, 2, 1)
            self.stem = nn.Sequential(first, nn.LeakyReLU(0.2), *down(width[512], width[256]))
        else:
            self.stem = nn.Sequential(conv(3, width[256], 3, padding=1), nn.LeakyReLU(0.2))
        self.blocks = nn.ModuleDict({str(s): Down(width[2 * s], width[s]) for s in (128, 64, 32, 16, 8)})
        self.gates = nn.ModuleDict({str(t): SLE(width[s], width[t]) for t, s in ((32, 256), (16, 128), (8, 64))})
        self.head = nn.Sequential(
            conv(width[8], 2 * width[8], 1), norm(2 * width[8]), nn.LeakyReLU(0.2), conv(2 * width[8], 1, 4)
        )
        self.small_path = nn.Sequential(
            *(conv(3, width[128], 4, 2, 1), nn.LeakyReLU(0.2)),
            *(layer for s in (64, 32, 16) for layer in down(width[2 * s], width[s])),
        )
        self.small_head = conv(width[16], 1, 4)
        self.decode_whole, self.decode_small, self.decode_part = (
            decoder(width[8]),
            decoder(width[16]),
            decoder(width[16]),
        )

    def forward(self, image: Tensor, small: Tensor, part: int | None = None):
        maps = {256: self.stem(image)}
        for size, source in ((128, None), (64, None), (32, 256), (16, 128), (8, 64)):
            x = self.blocks[str(size)](maps[2 * size])
            maps[size] = x if source is None else self.gates[str(size)](maps[source], x)
        low = self.small_path(small)
        logits = torch.cat([self.head(maps[8]).flatten(1), self.small_head(low).flatten(1)], dim=1)
        if part is None:
            return logits
        row, column = 8 * (part // 2), 8 * (part % 2)
        quadrant = maps[16][:, :, row : row + 8, column : column + 8]
        return logits, (self.decode_whole(maps[8]), self.decode_small(low), self.decode_part(quadrant))
