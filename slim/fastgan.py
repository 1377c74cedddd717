"""FastGAN generator with skip-layer SLIM in place of skip-layer excitation (arXiv 2112.14804, few-shot synthesis).

The authors use SLIM for the pairs 8->128 and 16->256 at 256 px. At 1024 px they add 32->512 with dilation 4 and use
mask noise in all three pairs. The pair 4->64 keeps SLE, and so does 32->512 in a 512-px network.
"""

from typing import Unpack

from baselines.fastgan import Generator, gate_pairs, with_gates
from baselines.options import GateTarget, ImageSize, Positive
from slim.options import SlimOptions
from slim.skip import SkipLayerSLIM

PAPER_PAIRS = {128: (128,), 256: (128, 256), 512: (128, 256), 1024: (128, 256, 512)}
"""Image size -> target sizes that use SLIM. The entries for 128 and 512 px contain those pairs of 256 px that exist at
these sizes. At 64 px none of them exists."""


def generator(
    *,
    image_size: ImageSize = 256,
    base_channels: Positive = 64,
    latent_dim: Positive = 256,
    tanh: bool | None = None,
    spectral_norm: bool = True,
    pairs: tuple[GateTarget, ...] | None = None,
    reduction: Positive = 16,
    dilation: Positive | None = None,
    residual: bool = True,
    mask_noise: bool | None = None,
    **slim: Unpack[SlimOptions],
) -> Generator:
    """Build a generator whose gates at the target sizes `pairs` are SLIM and whose other gates are SLE.

    None selects the authors' setting, which depends on the image size for `pairs`, `mask_noise` and `tanh`, and on the
    pair for `dilation`. Raises ValueError if `pairs` is None and the paper defines no pairs at `image_size`.
    """

    def make_gate(size: int, low: int, high: int) -> SkipLayerSLIM:
        return SkipLayerSLIM(
            low_channels=low,
            high_channels=high,
            reduction=reduction,
            dilation=(4 if size == 512 else 2) if dilation is None else dilation,
            residual=residual,
            mask_noise=image_size == 1024 if mask_noise is None else mask_noise,
            spectral_norm=spectral_norm,
            **slim,
        )

    return with_gates(
        _paper_pairs(image_size, base_channels) if pairs is None else pairs,
        make_gate,
        image_size=image_size,
        base_channels=base_channels,
        latent_dim=latent_dim,
        tanh=tanh,
        spectral_norm=spectral_norm,
    )


def _paper_pairs(image_size: int, base_channels: int) -> tuple[int, ...]:
    existing = tuple(gate_pairs(image_size, base_channels))
    if image_size not in PAPER_PAIRS:
        raise ValueError(f"the paper defines no pairs at {image_size} px; give pairs from {existing}")
    return PAPER_PAIRS[image_size]
