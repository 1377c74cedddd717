"""FastGAN's adversarial hinge losses with a random margin, drawn from U(0.8, 1) for each logit."""

import torch
from torch import Tensor
from torch.nn import functional as F

MARGIN_LOW, MARGIN_HIGH = 0.8, 1.0


class RandomMarginHinge:
    """Losses of logits of any shape, with the margin u drawn from U(0.8, 1) for each logit.

    real: mean relu(u - D(x)); fake: mean relu(u + D(G(z))); generator_loss: -mean D(G(z)).
    """

    def __init__(self, generator: torch.Generator):
        self.generator = generator

    def _margin(self, logits: Tensor) -> Tensor:
        uniform = torch.rand(logits.shape, generator=self.generator, device=logits.device)
        return MARGIN_LOW + (MARGIN_HIGH - MARGIN_LOW) * uniform

    def real(self, logits: Tensor) -> Tensor:
        return F.relu(self._margin(logits) - logits).mean()

    def fake(self, logits: Tensor) -> Tensor:
        return F.relu(self._margin(logits) + logits).mean()

    @staticmethod
    def generator_loss(logits: Tensor) -> Tensor:
        return -logits.mean()
