"""Named random streams. Every generator is seeded from (seed, purpose) and never from the global state."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def derive(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed, independent of seeds for other purposes, and equal on all versions and platforms."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(device: torch.device | str, seed: int, *purpose: str | int) -> torch.Generator:
    return torch.Generator(device).manual_seed(derive(seed, *purpose))


@contextmanager
def seed_global_generator(seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed torch's global CPU generator for code that takes no generator (weight initialisation), then restore it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, *purpose))
        yield


def permutation(n: int, seed: int, *purpose: str | int) -> Tensor:
    """Return a permutation, int64 [n] on the CPU. It depends only on the arguments, so a resumed run repeats it."""
    return torch.randperm(n, generator=generator("cpu", seed, *purpose))


def batch_indices(n: int, batch_size: int, step: int, seed: int, *purpose: str | int) -> Tensor:
    """Return the indices of batch `step`, int64 [batch_size], over `n` items that are reshuffled every epoch.

    Batches may span two epochs, so every item is used equally often for any batch size.
    """
    parts, position, wanted = [], step * batch_size, batch_size
    while wanted > 0:
        epoch, offset = divmod(position, n)
        part = permutation(n, seed, *purpose, epoch)[offset : offset + wanted]
        parts.append(part)
        position, wanted = position + len(part), wanted - len(part)
    return torch.cat(parts)
