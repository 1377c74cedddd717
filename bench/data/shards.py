"""WebDataset shards (tar files of KEY.jpg|png|webp and KEY.cls) as batches; needs the extra `webdataset`.

Pass by pass the shards are shuffled and dealt to the (process, worker) pairs; samples go through a shuffle buffer. The
order is a function of seed, rollback and the numbers of processes and workers, so a resumed run must keep those; what
it skips is read but not decoded. Global batch and epoch length do not depend on the number of processes, the choice of
images in a batch does (arrays and ImageFolders give equal batches for any number).
"""

import io
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from bench.data.loaders import Batch, Plan, count_steps, count_workers, evaluation_crop, training_crop
from bench.errors import InputError
from bench.train.group import rank, world_size
from bench.train.rng import derive, generator

BUFFER = 2000
IMAGES = ("jpg", "jpeg", "png", "webp")


def list_shards(folder: Path) -> list[str]:
    """Tar files of a folder by name; fewer than there are processes is an error."""
    shards = sorted(str(path) for path in Path(folder).glob("*.tar"))
    if len(shards) < world_size():
        raise InputError(f"{folder}: {len(shards)} shards (*.tar) for {world_size()} processes")
    return shards


class ShardStream(IterableDataset):
    """Endless batches of one process from its part of the shards, starting at batch `start`."""

    def __init__(self, shards: list[str], size: int, plan: Plan, *, crop: bool, seed: int, start: int) -> None:
        self.shards, self.size, self.plan = shards, size, plan
        self.crop, self.seed, self.start = crop, seed, start

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        workers = info.num_workers if info else 1
        # the loader asks its workers in turn: the one asked first makes batch `start`
        worker = ((info.id if info else 0) + self.start) % workers
        local = self.plan.rows.stop - self.plan.rows.start
        skipped = len(range(worker, self.start, workers)) * local
        samples = itertools.islice(self._samples(worker, workers), skipped, None)
        while True:
            decoded = [self._decode(number, sample) for number, sample in itertools.islice(samples, local)]
            yield torch.stack([image for image, _ in decoded]), torch.tensor([label for _, label in decoded])

    def _samples(self, worker: int, workers: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """(running number, undecoded sample), pass after pass over this worker's shards."""
        part, parts = rank() * workers + worker, world_size() * workers
        counter = itertools.count()
        for number in itertools.count():
            order = list(self.shards)
            random.Random(derive(self.seed, "shards", number)).shuffle(order)
            shuffled = _buffered(_read(order[part::parts]), random.Random(derive(self.seed, "samples", number, part)))
            yield from ((derive(part, next(counter)), sample) for sample in shuffled)

    def _decode(self, number: int, sample: dict[str, Any]) -> tuple[torch.Tensor, int]:
        kind = next((kind for kind in IMAGES if kind in sample), None)
        if kind is None or "cls" not in sample:
            raise InputError(f"{sample['__url__']}: {sample['__key__']} needs an image ({', '.join(IMAGES)}) and .cls")
        try:
            image = Image.open(io.BytesIO(sample[kind]))
            if self.crop:
                uniform = torch.rand(5, generator=generator("cpu", self.seed, "crop", number))
                return training_crop(image, self.size, uniform), int(sample["cls"])
            return evaluation_crop(image, self.size), int(sample["cls"])
        except (OSError, Image.DecompressionBombError) as error:
            raise InputError(f"{sample['__url__']}: {sample['__key__']} is not a readable image ({error})") from None


def _read(shards: list[str]) -> Iterator[dict[str, Any]]:
    try:
        from webdataset.tariterators import tarfile_samples
    except ModuleNotFoundError:
        raise InputError("shards need the extra: pip install 'slim-bench[webdataset]'") from None
    return tarfile_samples({"url": shard} for shard in shards)


def _buffered(samples: Iterator[dict[str, Any]], order: random.Random) -> Iterator[dict[str, Any]]:
    """Samples in random order within a sliding window of BUFFER."""
    window: list[dict[str, Any]] = []
    for sample in samples:
        window.append(sample)
        if len(window) >= BUFFER:
            chosen = order.randrange(len(window))
            window[chosen], window[-1] = window[-1], window[chosen]
            yield window.pop()
    order.shuffle(window)
    yield from window


class ShardBatches:
    """Batches from shards; `count` is the number of training images, which sets the length of an epoch."""

    def __init__(self, shards: list[str], count: int, size: int, plan: Plan, *, crop: bool, source: str) -> None:
        self.steps_per_epoch = count_steps(count, plan.rows.total, source)
        self.shards, self.size, self.plan, self.cropped = shards, size, plan, crop
        self.reseed(0)

    def reseed(self, rollback: int) -> None:
        self.rollback, self._next, self._iterator = rollback, -1, iter(())

    def batch(self, step: int) -> Batch:
        if step != self._next:
            self._iterator, self._next = self._restart(step), step
        self._next += 1
        return next(self._iterator)

    def _restart(self, step: int) -> Iterator[Batch]:
        seed = derive(self.plan.seed, "stream", self.rollback)
        stream = ShardStream(self.shards, self.size, self.plan, crop=self.cropped, seed=seed, start=step)
        workers = min(count_workers(), max(1, len(self.shards) // world_size()))
        loader = DataLoader(stream, batch_size=None, num_workers=workers)
        for images, labels in loader:
            yield images.to(self.plan.device, non_blocking=True), labels.to(self.plan.device, non_blocking=True)
