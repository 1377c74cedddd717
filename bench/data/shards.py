"""Batches of WebDataset shards, tar files of KEY.jpg|jpeg|png|webp and KEY.cls. Reading needs the extra `webdataset`.

In each pass, the shards are shuffled and distributed to the processes, and samples are shuffled in a buffer. The order
depends on seed, rollback and number of processes, so a run must be resumed with the number of processes that it was
started with. A resumed run does not read the completed passes, and reads but does not decode the skipped samples of the
interrupted pass. Global batch size and epoch length do not depend on the number of processes, but the images of each
batch do. With datasets of arrays or image files, in contrast, the batches are equal for any number of processes.
"""

import io
import itertools
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torch import Tensor

from bench.data.batches import Batch, BatchPlan, File, Stream, count_steps, crop, decode_ahead
from bench.data.images import WHITE, Colour, decoded
from bench.errors import InputError
from bench.runtime.processes import rank, world_size
from bench.runtime.rng import derive

BUFFER = 2000
IMAGES = ("jpg", "jpeg", "png", "webp")


def decode_sample(
    sample: dict[str, Any], size: int, crop_seed: int | None, number: int, background: Colour = WHITE
) -> tuple[Tensor, int]:
    """Decode and crop one sample, and return it with its label."""
    location = f"{sample['__url__']}: {sample['__key__']}"
    kind = next((kind for kind in IMAGES if kind in sample), None)
    if kind is None or "cls" not in sample:
        raise InputError(f"{location} needs an image ({', '.join(IMAGES)}) and .cls")
    try:
        label = int(sample["cls"])
    except ValueError as error:
        raise InputError(f"{location}.cls: not a class number ({error})") from None
    with decoded(io.BytesIO(sample[kind]), background, f"{location}.{kind}") as image:
        return crop(image, size, crop_seed, number), label


class ShardBatches:
    """Batches of samples from shards. The total number of samples in the shards defines the length of an epoch."""

    def __init__(
        self, shards: list[File], size: int, plan: BatchPlan, *, crop: bool, source: str, background: Colour = WHITE
    ) -> None:
        if len(shards) < world_size():
            raise InputError(f"{source}: {len(shards)} shards are too few for {world_size()} processes")
        self.steps_per_epoch = count_steps(sum(count for _, count in shards), plan.rows.total, source)
        self.shards, self.size, self.plan, self.cropped = shards, size, plan, crop
        self.background = background
        self.reseed(0)

    def reseed(self, rollback: int) -> None:
        self.seed = derive(self.plan.seed, "stream", rollback)
        self._stream = Stream(lambda step: decode_ahead(self._jobs(step), self.plan.device))

    def batch(self, step: int) -> Batch:
        return self._stream.batch(step)

    def _jobs(self, step: int) -> Iterator[list[Callable[[], tuple[Tensor, int]]]]:
        local = self.plan.rows.stop - self.plan.rows.start
        crop_seed = derive(self.seed, "crop", rank()) if self.cropped else None
        samples = self._samples(step * local)
        while True:
            part = list(itertools.islice(samples, local))
            yield [
                partial(decode_sample, sample, self.size, crop_seed, number, self.background) for number, sample in part
            ]

    def _samples(self, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (number, undecoded sample) from number `start` on, in endless passes over this process's shards."""
        passed = 0
        for number in itertools.count():
            order = list(self.shards)
            random.Random(derive(self.seed, "shards", number)).shuffle(order)
            own_shards = order[rank() :: world_size()]
            length = sum(count for _, count in own_shards)
            if start < passed + length:
                shuffle = random.Random(derive(self.seed, "samples", number, rank()))
                samples = _buffered(read_shards([path for path, _ in own_shards]), shuffle)
                yield from itertools.islice(enumerate(samples, passed), max(0, start - passed), None)
            passed += length


def read_shards(shards: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the undecoded samples of tar files, in the order of the files."""
    try:
        from webdataset.tariterators import tarfile_samples
    except ModuleNotFoundError:
        raise InputError("shards need a package: pip install webdataset") from None
    return tarfile_samples({"url": shard} for shard in shards)


def _buffered(samples: Iterator[dict[str, Any]], order: random.Random) -> Iterator[dict[str, Any]]:
    """Yield samples in random order, using a shuffle buffer of BUFFER samples."""
    window: list[dict[str, Any]] = []
    for sample in samples:
        window.append(sample)
        if len(window) >= BUFFER:
            chosen = order.randrange(len(window))
            window[chosen], window[-1] = window[-1], window[chosen]
            yield window.pop()
    order.shuffle(window)
    yield from window
