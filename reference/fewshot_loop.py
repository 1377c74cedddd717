"""Reference implementation of the few-shot training step, in eager float32, written from the description of FastGAN.

Each iteration takes one discriminator and one generator step on the same generated images. The code has no speed
optimisations. It computes each value once, and its only host synchronisations and copies are those that the description
requires. `make bench` and the loss curves compare the engine with this code, so a change needs an entry in
CHANGELOG.md.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from reference.fastgan import ReferenceDiscriminator, ReferenceGenerator


def diffaugment(x: Tensor) -> Tensor:
    """Apply DiffAugment "color,translation": brightness, saturation, contrast, shift by up to an eighth of the size."""
    b, _, h, w = x.shape
    x = x + torch.rand(b, 1, 1, 1, device=x.device) - 0.5
    mean = x.mean(dim=1, keepdim=True)
    x = (x - mean) * (torch.rand(b, 1, 1, 1, device=x.device) * 2) + mean
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = (x - mean) * (torch.rand(b, 1, 1, 1, device=x.device) + 0.5) + mean
    reach_h, reach_w = int(h / 8 + 0.5), int(w / 8 + 0.5)
    dy = torch.randint(-reach_h, reach_h + 1, (b, 1, 1), device=x.device)
    dx = torch.randint(-reach_w, reach_w + 1, (b, 1, 1), device=x.device)
    batch, rows, columns = torch.meshgrid(
        torch.arange(b, device=x.device),
        torch.arange(h, device=x.device),
        torch.arange(w, device=x.device),
        indexing="ij",
    )
    rows = (rows + dy + 1).clamp(0, h + 1)
    columns = (columns + dx + 1).clamp(0, w + 1)
    padded = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    return padded[batch, rows, columns].permute(0, 3, 1, 2)


def quadrant(x: Tensor, part: int) -> Tensor:
    half = x.shape[2] // 2
    row, column = half * (part // 2), half * (part % 2)
    return x[:, :, row : row + half, column : column + half]


class ReferenceFewShot:
    """Few-shot training. `step` expects uint8 images [B, 3, S, S], and `percept(x, y)` returns one distance per image.

    S is 256 or 1024. At 1024 px the pair 32->512 has a SLIM gate, too. `ngf` is the number of base channels.
    """

    def __init__(
        self, device: torch.device, percept: Callable[[Tensor, Tensor], Tensor], image_size: int = 256, ngf: int = 64
    ):
        self.device, self.percept = device, percept
        slim = (128, 256, 512) if image_size == 1024 else (128, 256)
        self.net_g = ReferenceGenerator(image_size, ngf, slim).to(device)
        self.net_d = ReferenceDiscriminator(ngf, image_size).to(device)
        self.average = [p.detach().clone() for p in self.net_g.parameters()]
        self.adam_g = torch.optim.Adam(self.net_g.parameters(), 2e-4, (0.5, 0.999))
        self.adam_d = torch.optim.Adam(self.net_d.parameters(), 2e-4, (0.5, 0.999))

    def step(self, images: Tensor) -> dict[str, Tensor]:
        real = images.float() / 127.5 - 1
        flips = torch.rand(len(real), 1, 1, 1, device=self.device) < 0.5
        real = torch.where(flips, real.flip(3), real)
        fakes = self.net_g(torch.randn(len(real), 256, device=self.device))
        real = diffaugment(real)
        fakes = [diffaugment(fake) for fake in fakes]

        self.net_d.zero_grad()
        part = int(torch.randint(0, 4, ()))
        logits, (whole, small, corner) = self.net_d(real, F.interpolate(real, 128), part)
        margin = torch.rand_like(logits) * 0.2 + 0.8
        loss_real = F.relu(margin - logits).mean()
        loss_rec = (
            self.percept(whole, F.interpolate(real, 128)).sum()
            + self.percept(small, F.interpolate(real, 128)).sum()
            + self.percept(corner, F.interpolate(quadrant(real, part), 128)).sum()
        )
        (loss_real + loss_rec).backward()
        logits = self.net_d(*(fake.detach() for fake in fakes))
        margin = torch.rand_like(logits) * 0.2 + 0.8
        loss_fake = F.relu(margin + logits).mean()
        loss_fake.backward()
        self.adam_d.step()

        self.net_g.zero_grad()
        loss_g = -self.net_d(*fakes).mean()
        loss_g.backward()
        self.adam_g.step()
        for average, parameter in zip(self.average, self.net_g.parameters(), strict=True):
            average.mul_(0.999).add_(parameter.data, alpha=0.001)
        losses = {"loss_d": loss_real + loss_fake, "loss_reconstruction": loss_rec, "loss_g": loss_g}
        return {name: value.detach() for name, value in losses.items()}
