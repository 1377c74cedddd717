"""Fits the control of the classification task, a linear classifier on the pixels of the training images.

The classifier is a multinomial logistic regression on normalised pixels. Full-batch L-BFGS minimises the mean
cross-entropy plus PENALTY / 2 * |W|^2, starting from zero. The result is deterministic, and therefore the same for
every seed.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.data.augment import Normalise, measure_statistics

PENALTY, ITERATIONS = 0.01, 100


class LinearClassifier(nn.Module):
    """Linear classifier: uint8 images [B, C, H, W] -> logits [B, classes]."""

    weight: Tensor
    bias: Tensor

    def __init__(self, normalise: Normalise, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.normalise = normalise
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, images: Tensor) -> Tensor:
        return F.linear(self.normalise(images).flatten(1), self.weight, self.bias)


def fit_linear(images: Tensor, labels: Tensor, classes: int) -> LinearClassifier:
    """Fit the classifier to images, uint8 [N, C, H, W], and labels, int64 [N], on the device of the images."""
    normalise = Normalise(measure_statistics(images), images.device)
    features = normalise(images).flatten(1)
    weight = features.new_zeros(classes, features.shape[1]).requires_grad_()
    bias = features.new_zeros(classes).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe", tolerance_change=1e-7
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(F.linear(features, weight, bias), labels) + PENALTY / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return LinearClassifier(normalise, weight.detach(), bias.detach())
