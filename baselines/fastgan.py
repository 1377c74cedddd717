"""FastGAN with skip-layer excitation: constructors of the generator and of the discriminator."""

from typing import Literal

from baselines.fastgan_discriminator import Discriminator, Reconstructions
from baselines.fastgan_generator import GATE_TARGETS, Generator, gate_pairs, small_size
from baselines.sle import SLEGate

__all__ = [
    "GATE_TARGETS",
    "Discriminator",
    "Generator",
    "Reconstructions",
    "SLEGate",
    "discriminator",
    "gate_pairs",
    "generator",
    "small_size",
]


def generator(
    *,
    image_size: int = 256,
    base_channels: int = 64,
    latent_dim: int = 256,
    tanh: bool | None = None,
    gate: Literal["sle", "sle-residual", "none"] = "sle",
    spectral_norm: bool = True,
) -> Generator:
    """FastGAN's generator. tanh=None follows the authors: on at 1024 px, off below; gate="none": every slot empty."""
    if gate not in ("sle", "sle-residual", "none"):
        raise ValueError(f"gate must be 'sle', 'sle-residual' or 'none', got {gate!r}")
    pairs = {} if gate == "none" else gate_pairs(image_size, base_channels)
    gates = {
        size: SLEGate(
            low_channels=low, high_channels=high, residual=gate == "sle-residual", spectral_norm=spectral_norm
        )
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


def default_tanh(image_size: int, tanh: bool | None) -> bool:
    """The authors' choice where none is given: always at 1024 px, off at 256."""
    return image_size == 1024 if tanh is None else tanh


def discriminator(
    *,
    image_size: int = 256,
    base_channels: int = 64,
    decoder_scaled: bool = False,
    spectral_norm: bool = True,
) -> Discriminator:
    """FastGAN's discriminator, the same whatever the generator's gates."""
    return Discriminator(
        image_size=image_size,
        base_channels=base_channels,
        decoder_scaled=decoder_scaled,
        spectral_norm=spectral_norm,
    )
