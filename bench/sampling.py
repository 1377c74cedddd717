"""Generates images of the few-shot task with the authors' protocol.

The latents depend only on the evaluation seed, so they are equal for every network, training seed and checkpoint.
Batch norm uses batch statistics and does not update its buffers. Batches are always full, because an image depends on
the other images of its batch. Images beyond n are dropped.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from bench.errors import RunFailedError
from bench.export import batch_statistics
from bench.metrics.features import exact_float32
from bench.runtime.images import to_uint8
from bench.runtime.rng import derive, generator, seed_global_generator


def latents(n: int, dim: int, batch_size: int, seed: int, purpose: str = "latents") -> Iterator[Tensor]:
    """Yield at least n Gaussian latents in full batches [batch_size, dim].

    The latents are drawn on the CPU, so that they are equal on all devices.
    """
    source = generator("cpu", seed, purpose)
    for _ in range(0, n, batch_size):
        yield torch.randn(batch_size, dim, generator=source)


def generate(
    network: nn.Module, n: int, batch_size: int, seed: int, purpose: str = "latents", keep: frozenset[int] | None = None
) -> Iterator[Tensor]:
    """Yield `n` images of `network` as uint8 batches on its device. Batches without an index in `keep` are skipped."""
    device = next(network.parameters()).device
    start = 0
    with torch.inference_mode(), batch_statistics(network), exact_float32():
        for z in latents(n, network.latent_dim, batch_size, seed, purpose):
            indices = range(start, min(start + batch_size, n))
            start += batch_size
            if keep is not None and keep.isdisjoint(indices):
                continue
            with seed_global_generator(derive(seed, purpose, "noise", indices.start)):
                image, _ = network(z.to(device))
            yield to_uint8(check_finite(image, "generator"))[: len(indices)]


def generate_at(network: nn.Module, indices: list[int], n: int, batch_size: int, seed: int) -> Tensor:
    """Return the images at `indices` among the n images of `generate`, uint8 [len(indices), 3, H, W] on the CPU."""
    wanted = sorted({index // batch_size for index in indices})
    batches = list(generate(network, n, batch_size, seed, keep=frozenset(indices)))
    by_batch = dict(zip(wanted, batches, strict=True))
    return torch.stack([by_batch[index // batch_size][index % batch_size] for index in indices]).cpu()


def check_finite(images: torch.Tensor, what: str) -> torch.Tensor:
    """Return `images`. Raises RunFailedError for NaN or infinity, because such images have no score."""
    bad = int((~torch.isfinite(images.flatten(1)).all(dim=1)).sum())
    if bad:
        raise RunFailedError(f"{what}: {bad} of {len(images)} images contain NaN or infinity")
    return images
