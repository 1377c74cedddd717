"""Learning rate schedule and optimisers of supervised training."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from bench.run import ClassificationRecipe


def learning_rate(recipe: ClassificationRecipe, step: int, steps_per_epoch: int) -> float:
    """Return the rate at `step` (from 0): linear warm-up to learning_rate * batch_size / 256, then a cosine to 0."""
    peak = recipe.learning_rate * recipe.batch_size / 256
    warmup, total = recipe.warmup_epochs * steps_per_epoch, recipe.epochs * steps_per_epoch
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def make_optimiser(recipe: ClassificationRecipe, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return SGD with momentum, or AdamW. Weight decay applies to every parameter, as in the ResNet recipes."""
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(
            parameters, lr=0.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=True
        )
    return torch.optim.AdamW(parameters, lr=0.0, weight_decay=recipe.weight_decay, fused=True)
