"""Batches from image files. A crop depends only on (seed, rollback, epoch, image index).

`evaluation_batches` also reads shards.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from bench.data.batches import Batch, BatchPlan, File, Stream, count_steps, decode_ahead, decode_file
from bench.data.images import WHITE, Colour
from bench.data.shards import decode_sample, read_shards
from bench.runtime.rng import derive, permutation


class FolderBatches:
    """Batches of image files, in an order given by (seed, rollback, epoch)."""

    def __init__(
        self, files: list[File], size: int, plan: BatchPlan, *, crop: bool, source: str, background: Colour = WHITE
    ) -> None:
        self.steps_per_epoch = count_steps(len(files), plan.rows.total, source)
        self.files, self.size, self.plan, self.cropped = files, size, plan, crop
        self.background = background
        self.reseed(0)

    def reseed(self, rollback: int) -> None:
        self.rollback = rollback
        self._stream = Stream(lambda step: decode_ahead(self._jobs(step), self.plan.device))

    def batch(self, step: int) -> Batch:
        return self._stream.batch(step)

    def _jobs(self, step: int) -> Iterator[list[Callable[[], tuple[Tensor, int]]]]:
        rows, seed = self.plan.rows, self.plan.seed
        epoch, start = divmod(step, self.steps_per_epoch)
        while True:
            order = permutation(len(self.files), seed, "order", self.rollback, epoch).tolist()
            crop_seed = derive(seed, "crop", self.rollback, epoch) if self.cropped else None
            for index in range(start, self.steps_per_epoch):
                chosen = order[index * rows.total :][rows.start : rows.stop]
                yield [
                    partial(decode_file, self.files[image], self.size, crop_seed, image, self.background)
                    for image in chosen
                ]
            epoch, start = epoch + 1, 0


def evaluation_batches(files: list[File], size: int, batch_size: int, background: Colour = WHITE) -> Iterator[Batch]:
    """Yield all images once and in order, as centre crops on the CPU. A file ending in .tar is a shard."""
    jobs = (job for file in files for job in _evaluation_jobs(file, size, background))
    batches = iter(lambda: list(itertools.islice(jobs, batch_size)), [])
    return decode_ahead(batches, torch.device("cpu"))


def _evaluation_jobs(file: File, size: int, background: Colour) -> Iterator[Callable[[], tuple[Tensor, int]]]:
    if not file[0].endswith(".tar"):
        return iter([partial(decode_file, file, size, None, 0, background)])
    return (partial(decode_sample, sample, size, None, 0, background) for sample in read_shards([file[0]]))
