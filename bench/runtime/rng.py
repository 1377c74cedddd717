"""Random streams by name: every generator is seeded from (seed, what it is for), never from the global state."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for `purpose`, independent of every other purpose and stable over versions and platforms."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(device: torch.device | str, seed: int, *purpose: str | int) -> torch.Generator:
    return torch.Generator(device).manual_seed(derive(seed, *purpose))


@contextmanager
def seeded_globally(seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed torch's global CPU generator for code that takes no generator (weight initialisation); restore it after."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, *purpose))
        yield


def permutation(n: int, seed: int, *purpose: str | int) -> Tensor:
    """int64 [n] on the CPU: the order of an epoch is a function of (seed, epoch), so a resumed run continues it."""
    return torch.randperm(n, generator=generator("cpu", seed, *purpose))


def batch_indices(n: int, batch_size: int, step: int, seed: int, *purpose: str | int) -> Tensor:
    """int64 [batch_size]: indices of batch `step` of an endless pass over `n` items, each epoch shuffled anew.

    Batches run over epoch borders, so every item is seen equally often whatever the batch size.
    """
    parts, position, wanted = [], step * batch_size, batch_size
    while wanted > 0:
        epoch, offset = divmod(position, n)
        part = permutation(n, seed, *purpose, epoch)[offset : offset + wanted]
        parts.append(part)
        position, wanted = position + len(part), wanted - len(part)
    return torch.cat(parts)
