"""FastGAN's generator with skip-layer SLIM in place of skip-layer excitation (arXiv 2112.14804, the few-shot part).

Where the authors put it: at 256 px on 8->128 and 16->256; at 1024 px also on 32->512, there with dilation 4, and with
mask noise on all three. The pair 4->64 keeps SLE, and so does 32->512 in a 512-px network.
"""

from baselines.fastgan import Generator, SLEGate, default_tanh, gate_pairs
from slim.skip import SkipLayerSLIM

PAPER_PAIRS = {128: (128,), 256: (128, 256), 512: (128, 256), 1024: (128, 256, 512)}
"""Image size -> target sizes that carry SLIM. The entries at 128 and 512 px follow 256 px; at 64 px none is left."""


def generator(
    *,
    image_size: int = 256,
    base_channels: int = 64,
    latent_dim: int = 256,
    tanh: bool | None = None,
    pairs: tuple[int, ...] | None = None,
    groups: int = 4,
    reduction: int = 16,
    dilation: int | None = None,
    mask_noise: bool | None = None,
    residual: bool = True,
    normalise: bool = True,
    style: bool = True,
    mask: bool = True,
    shared: bool = False,
    allow_constant: bool = False,
    spectral_norm: bool = True,
) -> Generator:
    """Generator whose gates at the target sizes `pairs` are SLIM, the others SLE.

    None stands for the authors' choice: pairs, mask noise and tanh by image size, dilation by pair.
    """
    channels = gate_pairs(image_size, base_channels)
    carriers = _carriers(image_size, pairs, tuple(channels))
    gates = {}
    for size, (low, high) in channels.items():
        if size not in carriers:
            gates[size] = SLEGate(low_channels=low, high_channels=high, spectral_norm=spectral_norm)
            continue
        gates[size] = SkipLayerSLIM(
            low_channels=low,
            high_channels=high,
            groups=groups,
            reduction=reduction,
            dilation=(4 if size == 512 else 2) if dilation is None else dilation,
            mask_noise=image_size == 1024 if mask_noise is None else mask_noise,
            residual=residual,
            normalise=normalise,
            style=style,
            mask=mask,
            shared=shared,
            allow_constant=allow_constant,
            spectral_norm=spectral_norm,
        )
    return Generator(
        image_size=image_size,
        base_channels=base_channels,
        latent_dim=latent_dim,
        tanh=default_tanh(image_size, tanh),
        spectral_norm=spectral_norm,
        gates=gates,
    )


def _carriers(image_size: int, pairs: tuple[int, ...] | None, existing: tuple[int, ...]) -> tuple[int, ...]:
    if pairs is None:
        if image_size not in PAPER_PAIRS:
            raise ValueError(f"the paper's pairs do not exist at {image_size} px: give pairs, out of {existing}")
        return PAPER_PAIRS[image_size]
    wrong = [size for size in pairs if size not in existing]
    if wrong or not pairs:
        raise ValueError(
            f"pairs must name target sizes out of those that exist at {image_size} px, {existing}: got {tuple(pairs)}"
        )
    return tuple(pairs)
