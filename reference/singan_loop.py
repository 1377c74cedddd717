"""Reference implementation of the training of one pyramid scale of SinGAN, in eager float32.

The code follows the published description of SinGAN. Training uses batch norm, one forward pass per image, and a new
sample of the coarser scales for each critic step. The code is not optimised for speed, but computes only the values
that the description requires. `make bench` reports the speed-up of the one-shot engine over this code, so every change
needs an entry in CHANGELOG.md.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def block(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3), nn.BatchNorm2d(out_channels), nn.LeakyReLU(0.2))


def network(width: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(block(3, width), *(block(width, width) for _ in range(3)), nn.Conv2d(width, out_channels, 3))


class ReferenceScale:
    """Training of the last scale of `sizes`, with all coarser scales frozen. `ups[i]` resizes from scale i to i + 1."""

    def __init__(self, real: Tensor, sizes: list[tuple[int, int]], widths: list[int], ups: nn.ModuleList) -> None:
        self.real, self.sizes, self.ups, device = real, sizes, ups, real.device
        self.generators = [network(width, 3).to(device) for width in widths]
        self.critic = network(widths[-1], 1).to(device)
        self.adam_g = torch.optim.Adam(self.generators[-1].parameters(), 5e-4, (0.5, 0.999))
        self.adam_d = torch.optim.Adam(self.critic.parameters(), 5e-4, (0.5, 0.999))
        self.fixed_previous = torch.rand_like(real) * 2 - 1
        self.fixed_noise = torch.zeros_like(real)

    def generate(self, scale: int, noise: Tensor, previous: Tensor) -> Tensor:
        noisy, previous = F.pad(noise + previous, (5,) * 4), F.pad(previous, (5,) * 4)
        return torch.tanh(self.generators[scale](noisy)) + previous[..., 5:-5, 5:-5]

    @torch.no_grad()
    def sample_below(self) -> Tensor:
        image = torch.zeros(1, 3, *self.sizes[0], device=self.real.device)
        for scale, size in enumerate(self.sizes[:-1]):
            channels = 3 if scale else 1
            noise = (0.1 if scale else 1.0) * torch.randn(1, channels, *size, device=self.real.device)
            image = self.ups[scale](self.generate(scale, noise, image))
        return image

    def penalty(self, fake: Tensor) -> Tensor:
        share = torch.rand(1, 1, 1, 1, device=fake.device)
        between = (share * self.real + (1 - share) * fake).requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        return (gradient.norm(dim=1) - 1).square().mean()

    def epoch(self) -> None:
        for _ in range(3):
            previous = self.sample_below()
            noise = 0.1 * torch.randn_like(self.real)
            fake = self.generate(-1, noise, previous).detach()
            self.critic.zero_grad()
            loss = self.critic(fake).mean() - self.critic(self.real).mean() + 0.1 * self.penalty(fake)
            loss.backward()
            self.adam_d.step()
        for _ in range(3):
            self.generators[-1].zero_grad()
            adversarial = -self.critic(self.generate(-1, noise, previous)).mean()
            rebuilt = self.generate(-1, self.fixed_noise, self.fixed_previous)
            (adversarial + 10 * F.mse_loss(rebuilt, self.real)).backward()
            self.adam_g.step()
