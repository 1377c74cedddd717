"""Constructors of FastGAN's discriminator and of its generator with SLE or any other gate."""

from collections.abc import Callable, Collection
from typing import Literal

import torch
from torch import nn

from baselines.fastgan_discriminator import Discriminator, Reconstructions
from baselines.fastgan_generator import GATE_RATIO, GATE_TARGETS, Generator, gate_pairs, small_size
from baselines.options import GateTarget, ImageSize, Positive
from baselines.sle import SLEGate

MakeGate = Callable[[int, int, int], nn.Module]
"""Constructor of a gate: (target size, low_channels, high_channels) -> gate."""

__all__ = [
    "GATE_TARGETS",
    "Discriminator",
    "Generator",
    "Reconstructions",
    "SLEGate",
    "discriminator",
    "gate_pairs",
    "gated_generator",
    "generator",
    "small_size",
    "with_gates",
]


def generator(
    *,
    image_size: ImageSize = 256,
    base_channels: Positive = 64,
    latent_dim: Positive = 256,
    tanh: bool | None = None,
    gate: Literal["sle", "sle-residual", "none"] = "sle",
    spectral_norm: bool = True,
) -> Generator:
    """Build FastGAN's generator. gate="none" omits the gates.

    tanh=None selects the authors' setting, which applies tanh to the output only at 1024 px. Raises ValueError if
    `gate` is unknown.
    """
    if gate not in ("sle", "sle-residual", "none"):
        raise ValueError(f"gate must be 'sle', 'sle-residual' or 'none', got {gate!r}")
    pairs = {} if gate == "none" else gate_pairs(image_size, base_channels)
    residual = gate == "sle-residual"
    gates = {
        size: SLEGate(low_channels=low, high_channels=high, residual=residual, spectral_norm=spectral_norm)
        for size, (low, high) in pairs.items()
    }
    return Generator(
        image_size=image_size,
        base_channels=base_channels,
        latent_dim=latent_dim,
        tanh=default_tanh(image_size, tanh),
        spectral_norm=spectral_norm,
        gates=gates,
    )


def with_gates(
    gated_sizes: Collection[int],
    make_gate: MakeGate,
    *,
    image_size: int,
    base_channels: int,
    latent_dim: int,
    tanh: bool | None,
    spectral_norm: bool,
) -> Generator:
    """Build a FastGAN generator with gates from `make_gate` at `gated_sizes` and SLE gates at the other target sizes.

    Raises ValueError if `gated_sizes` is empty or names a target size that does not exist at this image size.
    """
    channels = gate_pairs(image_size, base_channels)
    wrong = [size for size in gated_sizes if size not in channels]
    if wrong or not gated_sizes:
        existing, given = tuple(channels), tuple(gated_sizes)
        raise ValueError(
            f"pairs must name target sizes that exist at {image_size} px, which are {existing}; got {given}"
        )
    gates = {}
    for size, (low, high) in channels.items():
        if size in gated_sizes:
            gates[size] = make_gate(size, low, high)
        else:
            gates[size] = SLEGate(low_channels=low, high_channels=high, spectral_norm=spectral_norm)
    return Generator(
        image_size=image_size,
        base_channels=base_channels,
        latent_dim=latent_dim,
        tanh=default_tanh(image_size, tanh),
        spectral_norm=spectral_norm,
        gates=gates,
    )


def gated_generator(
    make_gate: Callable[..., nn.Module],
    *,
    image_size: ImageSize = 256,
    base_channels: Positive = 64,
    latent_dim: Positive = 256,
    tanh: bool | None = None,
    pairs: tuple[GateTarget, ...] | None = None,
    spectral_norm: bool = True,
) -> Generator:
    """Build a FastGAN generator with gates from `make_gate` at the target sizes `pairs`.

    Each gate is built by `make_gate(low_channels=..., high_channels=...)`. pairs=None selects every pair. Raises a
    ValueError that names the pair if a gate does not map low [B, C_low, h, w] and high [B, C_high, H, W] to
    [B, C_high, H, W].
    """

    def checked(size: int, low: int, high: int) -> nn.Module:
        gate = make_gate(low_channels=low, high_channels=high)
        check_gate(gate, size, low, high)
        return gate

    return with_gates(
        tuple(gate_pairs(image_size, base_channels)) if pairs is None else pairs,
        checked,
        image_size=image_size,
        base_channels=base_channels,
        latent_dim=latent_dim,
        tanh=tanh,
        spectral_norm=spectral_norm,
    )


def check_gate(gate: nn.Module, size: int, low_channels: int, high_channels: int) -> None:
    """Raise ValueError if a gate is not a module or returns a tensor of the wrong shape.

    The gate runs once on zeros in evaluation mode, so the error occurs before training.
    """
    pair = f"the gate of the pair {size // GATE_RATIO} to {size}"
    if not isinstance(gate, nn.Module):
        raise ValueError(f"{pair} must be a torch.nn.Module, got {type(gate).__name__}")
    low = torch.zeros(2, low_channels, size // GATE_RATIO, size // GATE_RATIO)
    high = torch.zeros(2, high_channels, size, size)
    was_training = gate.training
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        out = gate.eval()(low, high)
    gate.train(was_training)
    if not isinstance(out, torch.Tensor) or out.shape != high.shape:
        shape = list(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        raise ValueError(f"{pair} must return {list(high.shape)}, the shape of `high`, got {shape}")


def default_tanh(image_size: int, tanh: bool | None) -> bool:
    """Return `tanh`, or the authors' setting if `tanh` is None: True at 1024 px, False at smaller sizes."""
    return image_size == 1024 if tanh is None else tanh


def discriminator(
    *,
    image_size: ImageSize = 256,
    base_channels: Positive = 64,
    decoder_scaled: bool = False,
    spectral_norm: bool = True,
) -> Discriminator:
    """Build FastGAN's discriminator, which does not depend on the generator's gates."""
    return Discriminator(
        image_size=image_size,
        base_channels=base_channels,
        decoder_scaled=decoder_scaled,
        spectral_norm=spectral_norm,
    )
